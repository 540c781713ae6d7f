package engine

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
)

// Operation is what is done to the containers that a project has, going by their labels alone.
type Operation struct {
	// Verb is VerbStart, VerbRestart, VerbKill, VerbRemove, VerbPause or VerbUnpause.
	Verb Verb
	// Services limits the operation to these; empty means all. A start also starts what they need, a restart also restarts
	// what asks to follow them (depends_on: restart) or lives in their namespace, unless NoDeps.
	Services []string
	NoDeps   bool
	// StopTimeout overrides the containers' own grace period, in seconds; nil keeps it.
	StopTimeout *int
	// Signal is what VerbKill sends; "" is SIGKILL.
	Signal string
	// Stop lets VerbRemove stop what runs; else only what has ended is removed. Volumes removes anonymous volumes too.
	Stop, Volumes bool
	// Wait adds a gate for every container started, WaitTimeout bounds it, from the beginning of the walk; 0 is for ever.
	Wait        bool
	WaitTimeout time.Duration
	// Want is the recipe's project, for what labels don't tell: configs and secrets that are gone; see [State.FilesGone].
	Want *compose.Project
}

// Operate plans an operation. Like [Diff] it is pure. Of have, the project and its containers count.
func Operate(have *State, op Operation) (*Plan, error) {
	opts := DiffOptions{StopTimeout: op.StopTimeout, WaitTimeout: op.WaitTimeout}
	if op.Want == nil {
		op.Want = &compose.Project{Name: have.Project}
	}
	o := &operator{differ: newDiffer(op.Want, have, opts), op: op, begun: map[string]*node{}}
	for _, name := range op.Services {
		scheduled := slices.ContainsFunc(have.Containers, func(c *Container) bool { return c.Service == name && c.Scheduled() })
		if op.Verb == VerbStart && len(o.replicas(name)) == 0 && !scheduled {
			o.fail("service %q has no container to start: up creates one", name)
		}
	}
	for _, c := range o.chosen() {
		switch op.Verb {
		case VerbStart:
			o.start(c)
		case VerbRestart:
			o.restart(c)
		case VerbKill:
			o.kill(c)
		case VerbPause:
			o.pause(c)
		case VerbUnpause:
			o.unpause(c)
		}
	}
	if op.Verb == VerbRemove {
		o.remove()
	}
	if err := errors.Join(o.errs...); err != nil {
		return nil, err
	}
	return &Plan{Project: have.Project, Steps: o.steps()}, nil
}

// operator makes the plan of an operation.
type operator struct {
	*differ
	op Operation
	// begun are the nodes that start or restart a container, by id.
	begun map[string]*node
}

// chosen are the replicas to act on, each after those that it needs. What runs at times is not started out of turn, but can be
// held, ended and removed like any other.
func (o *operator) chosen() []*Container {
	wanted := map[string]bool{}
	for _, name := range o.op.Services {
		wanted[name] = true
	}
	if !o.op.NoDeps {
		o.widen(wanted)
	}
	var all []*Container
	begins := o.op.Verb == VerbStart || o.op.Verb == VerbRestart
	for _, c := range o.have.Containers {
		if (!c.OneOff || c.Scheduled() && !begins) && (len(wanted) == 0 || wanted[c.Service]) {
			all = append(all, c)
		}
	}
	order := teardownOrder(all)
	slices.Reverse(order)
	return order
}

// widen adds, to the services named, those that must be started before them, or restarted with them.
func (o *operator) widen(wanted map[string]bool) {
	for grown := true; grown; {
		before := len(wanted)
		for _, c := range o.have.Containers {
			if host := o.hostOf(c); host != nil && wanted[host.Service] && o.strands(host, c) {
				wanted[c.Service] = true
			}
			for _, need := range c.Needs {
				switch {
				case c.OneOff:
				case o.op.Verb == VerbStart && wanted[c.Service]:
					wanted[need.Service] = true
				case o.op.Verb == VerbRestart && need.Restart && wanted[need.Service]:
					wanted[c.Service] = true
				}
			}
		}
		grown = len(wanted) > before
	}
}

// hostOf is the container in whose network namespace another one lives; nil if that has its own.
func (o *operator) hostOf(c *Container) *Container {
	id, ok := strings.CutPrefix(c.Summary.HostConfig.NetworkMode, "container:")
	if i := slices.IndexFunc(o.have.Containers, func(other *Container) bool { return other.ID == id }); ok && i >= 0 {
		return o.have.Containers[i]
	}
	return nil
}

// strands tells whether the operation takes away the namespace in which a container lives.
func (o *operator) strands(host, c *Container) bool {
	return !c.OneOff && (o.op.Verb == VerbRestart || o.op.Verb == VerbStart && !host.Running() && c.Phase == container.StateRunning)
}

// replicas are the containers of a service.
func (o *operator) replicas(service string) []*Container {
	return slices.DeleteFunc(slices.Clone(o.have.Containers), func(c *Container) bool { return c.OneOff || c.Service != service })
}

// start starts a container that does not run. A completed one-shot that others wait for stays completed, unless it is named.
// What runs in a namespace that has gone is restarted.
func (o *operator) start(c *Container) {
	if host := o.hostOf(c); host != nil && o.begun[host.ID] != nil && c.Phase == container.StateRunning {
		o.restart(c)
		return
	}
	oneShot := o.isAwaited(c.Service) && !slices.Contains(o.op.Services, c.Service)
	if c.Running() || oneShot && c.completed() {
		if o.op.Wait && c.Running() && !(c.Phase == container.StateRunning && (c.Health == "" || c.Health == container.Healthy)) {
			o.gate(c, gateReady, "--wait", nil)
		}
		return
	}
	started := o.add(startContainer{subject: subject{c.ref(), c.Service}}, o.whyStart(c), append(o.open(c), o.rewrite(c)...)...)
	started = o.hook(c, started)
	o.begun[c.ID] = started
	if o.op.Wait {
		o.gate(c, gateReady, "--wait", started)
	}
}

// isAwaited tells whether somebody waits for a service's completion.
func (o *operator) isAwaited(service string) bool {
	return slices.ContainsFunc(o.have.Containers, func(c *Container) bool {
		return slices.ContainsFunc(c.Needs, func(n compose.Need) bool { return n.Service == service && n.Condition == compose.Completed })
	})
}

// open are the nodes after which a container may start, by its label.
func (o *operator) open(c *Container) []*node {
	var nodes []*node
	for _, need := range c.Needs {
		why := fmt.Sprintf("service %s waits for it", c.Service)
		for _, dependency := range o.replicas(need.Service) {
			started := o.begun[dependency.ID]
			switch {
			case need.Condition == compose.Healthy && (started != nil || dependency.Health != container.Healthy):
				nodes = append(nodes, o.gate(dependency, gateHealthy, why, started))
			case need.Condition == compose.Completed && (started != nil || !dependency.completed()):
				nodes = append(nodes, o.gate(dependency, gateCompleted, why, started))
			default:
				nodes = append(nodes, started)
			}
		}
	}
	return nodes
}

func (o *operator) gate(c *Container, g gate, why string, started *node) *node {
	for _, n := range o.nodes {
		if a, ok := n.action.(awaitContainer); ok && a.id == c.ID && a.gate == g {
			return n
		}
	}
	return o.add(awaitContainer{subject: subject{c.ref(), c.Service}, gate: g, within: o.op.WaitTimeout, early: true}, why, started)
}

// restart restarts a container, or starts one that does not run, after those that it needs.
func (o *operator) restart(c *Container) {
	why := "asked for"
	switch host := o.hostOf(c); {
	case host != nil && o.begun[host.ID] != nil:
		why = fmt.Sprintf("service %s, whose namespace it shares, began anew", host.Service)
	case len(o.op.Services) > 0 && !slices.Contains(o.op.Services, c.Service):
		why = "a service that it depends on is restarted"
	}
	var open []*node
	for _, n := range c.Needs {
		if slices.ContainsFunc(o.replicas(n.Service), func(d *Container) bool { return o.begun[d.ID] != nil }) {
			open = o.open(c)
			break
		}
	}
	open = append(open, o.rewrite(c)...)
	open = append(open, o.planPreStop(c, open)...)
	o.begun[c.ID] = o.hook(c, o.add(restartContainer{subject{c.ref(), c.Service}, o.op.StopTimeout}, why, open...))
}

// hook adds the hooks that run once a container has started, by its label; only then it counts as started.
func (o *operator) hook(c *Container, started *node) *node {
	for i, hook := range hooksOf(c, compose.LabelPostStart) {
		stage := fmt.Sprintf("post_start[%d]", i)
		started = o.add(runHook{subject: subject{c.ref(), c.Service}, stage: stage, hook: hook}, stage, started)
	}
	return started
}

// rewrite adds what writes a container's configs and secrets that are gone: without them the Engine would not start it.
func (o *operator) rewrite(c *Container) []*node {
	if !o.have.filesGone(c) {
		return nil
	}
	s := o.want.Service(c.Service)
	if s == nil || s.Hash != c.Hash || o.misplaced(s, c) != "" {
		o.fail("configs or secrets of container %s are gone, and it is not what the recipe says: up replaces it", c.Name)
		return nil
	}
	return o.planFiles(&servicePlan{spec: s}, &replica{number: c.Number, ref: c.ref()}, filesOf(s, c.Number))
}

func (o *operator) kill(c *Container) {
	if c.Running() {
		o.add(killContainer{subject{c.ref(), c.Service}, o.op.Signal}, "signal "+cmp.Or(o.op.Signal, "SIGKILL"))
	}
}

func (o *operator) pause(c *Container) {
	if c.Phase == container.StateRunning {
		o.add(pauseContainer{subject{c.ref(), c.Service}}, "asked for")
	}
}

func (o *operator) unpause(c *Container) {
	if c.Phase == container.StatePaused {
		o.add(unpauseContainer{subject{c.ref(), c.Service}}, "asked for")
	}
}

// remove removes the containers that have ended, or all of them, and then the anonymous volumes that nobody else mounts.
func (o *operator) remove() {
	containers := slices.DeleteFunc(o.chosen(), func(c *Container) bool { return c.Running() && !o.op.Stop })
	o.takeDown(containers, "asked for", true)
	if !o.op.Volumes {
		return
	}
	names := map[string]bool{}
	for _, c := range containers {
		for _, m := range anonymousMounts(c) {
			names[m.Name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if gone, unused := o.unmounted(name); unused {
			o.add(removeVolume{name}, "--volumes", gone...)
		}
	}
}
