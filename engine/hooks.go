package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"galley/compose"
)

// labelInit marks a container of pre_start, which is nobody's replica, with its place in the list.
const labelInit = "io.galley.pre-start"

// runHook runs a command of post_start or pre_stop in a container.
type runHook struct {
	subject
	// stage is the hook's place in the recipe, as "pre_stop[0]".
	stage string
	hook  compose.Hook
	// parting: the container is stopped next, so that its end while the hook runs is no failure.
	parting bool
}

func (runHook) Verb() Verb { return VerbRun }

func (a runHook) do(ctx context.Context, r *run) error {
	err := a.run(ctx, r)
	if err != nil && a.parting && r.endsSoon(ctx, r.id(a.ref)) {
		return nil
	}
	return err
}

func (a runHook) run(ctx context.Context, r *run) error {
	ctx, cancel := r.bounded(ctx, longestHook)
	defer cancel()
	result, err := r.exec(ctx, r.id(a.ref), container.ExecOptions{
		Cmd:        a.hook.Command,
		User:       a.hook.User,
		WorkingDir: a.hook.WorkingDir,
		Env:        a.hook.Env,
		Privileged: a.hook.Privileged,
	})
	if err != nil {
		return r.explain(ctx, err)
	}
	if result.code != 0 {
		return &hookError{stage: a.stage, code: result.code, output: lastLines(result.output)}
	}
	return nil
}

// endsSoon tells whether a container has ended, or does within a moment: a command in one that ends fails before it is known
// why.
func (r *run) endsSoon(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, eventLag)
	defer cancel()
	ended, broken := r.api.ContainerWait(ctx, id, container.WaitConditionNotRunning)
	select {
	case <-ended:
		return true
	case err := <-broken:
		return errdefs.IsNotFound(err)
	}
}

// longestHook bounds a hook; the recipe has no word for it.
const longestHook = time.Hour

// hookError says that a hook failed.
type hookError struct {
	stage  string
	code   int
	output []string
}

func (e *hookError) Error() string { return fmt.Sprintf("%s exited with code %d", e.stage, e.code) }

// lastLines are the last lines of what a hook wrote, none if it wrote nothing.
func lastLines(text string) []string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return nil
	}
	return lines[max(0, len(lines)-failureLines):]
}

// planPostStart adds the hooks that run in a container once it has started; only then does it count as started.
func (d *differ) planPostStart(p *servicePlan, r *replica) {
	for i, hook := range p.spec.PostStart {
		stage := fmt.Sprintf("post_start[%d]", i)
		r.started = d.add(runHook{subject: subject{r.ref, p.spec.Name}, stage: stage, hook: hook}, stage, r.started)
	}
}

// hooksOf are a container's hooks by its label. One that somebody mangled must not keep it from being stopped, or started.
func hooksOf(c *Container, label string) (hooks []compose.Hook) {
	_ = json.Unmarshal([]byte(c.Summary.Labels[label]), &hooks)
	return hooks
}

// planPreStop adds the hooks that a running container wants run before it is stopped, one after the other, by its label: a
// container is stopped properly without its recipe.
func (d *differ) planPreStop(c *Container, needs []*node) []*node {
	hooks := hooksOf(c, compose.LabelPreStop)
	if c.Phase != container.StateRunning {
		return nil
	}
	for i, hook := range hooks {
		stage := fmt.Sprintf("pre_stop[%d]", i)
		ran := d.add(runHook{subject{c.ref(), c.Service}, stage, hook, true}, stage, needs...)
		needs = []*node{ran}
	}
	if len(hooks) == 0 {
		return nil
	}
	return needs
}

// planInits adds the containers of pre_start, one after the other, and returns the last step: each is created with the
// volumes of the replica, run to completion, and removed.
func (d *differ) planInits(p *servicePlan, r *replica, urgent bool, open gates, needs []*node) []*node {
	last := p.inits
	for i, init := range p.spec.PreStart {
		if !init.PerReplica && p.inits != nil {
			continue // another replica has it run for the whole service
		}
		last = d.planInit(p, r, i, urgent, open, append(needs, last...))
		if !init.PerReplica {
			p.inits = last
		}
	}
	return last
}

func (d *differ) planInit(p *servicePlan, r *replica, i int, urgent bool, open gates, needs []*node) []*node {
	why := fmt.Sprintf("pre_start[%d]", i)
	init := p.spec.PreStart[i]
	c := subject{ref{name: fmt.Sprintf("%s.pre_start-%d", d.want.ContainerName(p.spec, r.number), i)}, p.spec.Name}
	action := createContainer{
		subject:    c,
		project:    d.want,
		spec:       initSpec(p.spec, init),
		image:      d.have.local(init.Config.Image),
		mounted:    d.localMounts(&init.Host),
		number:     r.number,
		parents:    map[string]ref{},
		connectAll: d.connectsAll(),
		init:       &initOf{place: i, replica: r.ref},
	}
	files := placeFiles(folderOf(p.spec, r.number), fmt.Sprintf("init%d-", i), init.Files)
	action.files = fileMounts(d.files.Dir, files)
	needs = append(d.planFiles(p, r, files), needs...)
	created := d.add(action, why, append(append(needs, d.pulls(init.Config.Image, init.Platform, &init.Host)...), d.nameFreed(c.name))...)
	d.needParents(created, action.spec, action.parents)
	d.needResources(created, init.Endpoints, &init.Host)
	after([]*node{created}, open.after)
	steps := []*node{created}
	if !d.connectsAll() && len(init.Endpoints) > 1 {
		for _, e := range init.Endpoints[1:] {
			steps = append(steps, d.add(connectNetwork{c, e.Name, e.Settings, nil}, why, created))
		}
	}
	started := d.add(startContainer{subject: c}, why, steps...)
	completed := d.add(awaitContainer{subject: c, gate: gateCompleted}, why, started)
	removed := d.add(removeContainer{subject: c}, why, completed)
	for _, n := range append(steps, started, completed, removed) {
		n.urgent = urgent
	}
	return []*node{removed}
}

// initSpec is a container of pre_start as if it were a service's.
func initSpec(s *compose.Service, init compose.Init) *compose.Service {
	return &compose.Service{Name: s.Name, Config: init.Config, Host: init.Host, Platform: init.Platform, Endpoints: init.Endpoints, Hash: s.Hash}
}

// initOf tells a container of pre_start from a replica.
type initOf struct {
	place   int
	replica ref
}

// clearInits removes what earlier attempts left of pre_start.
func (d *differ) clearInits(p *servicePlan) {
	for _, c := range d.have.Containers {
		if c.Service == p.spec.Name && c.Summary.Labels[labelInit] != "" {
			d.remove(c, d.stop(c, "left over"), "left over")
		}
	}
}
