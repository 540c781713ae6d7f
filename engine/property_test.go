package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"pgregory.net/rapid"

	"galley/compose"
	"galley/engine"
	"galley/engine/enginetest"
)

// drawFault draws something that goes wrong at some call that changes the Engine.
func drawFault(t *rapid.T) func(enginetest.Call) *enginetest.Fault {
	nth := rapid.IntRange(0, 40).Draw(t, "fault at")
	fault := rapid.SampledFrom([]enginetest.Fault{
		{Status: 500, Message: "injected"}, {Drop: true}, {After: true, Drop: true}, {After: true, Status: 500, Message: "injected"},
	}).Draw(t, "fault")
	var n atomic.Int64
	return func(c enginetest.Call) *enginetest.Fault {
		if c.Method == "GET" || c.Method == "HEAD" {
			return nil
		}
		if n.Add(1) == int64(nth) {
			return &fault
		}
		return nil
	}
}

// TestAnyStateConvergesToAnyRecipe draws two recipes; the first is brought up and harmed by hand, then the second is with
// something going wrong on the way, and then the second again with nothing in its way.
func TestAnyStateConvergesToAnyRecipe(t *testing.T) {
	t.Parallel()
	memory := enginetest.New(t, enginetest.WithAPI("1.41"), enginetest.WithSpeed(1000))
	docker, err := client.NewClientWithOpts(client.WithHost(memory.Host()), client.WithVersion("1.41"))
	must(t, err)
	t.Cleanup(func() { docker.Close() })
	rapid.Check(t, func(t *rapid.T) {
		memory.Reset()
		memory.AddImage(enginetest.Image{Ref: "busybox:latest"})
		addOutside(t, docker)
		e := another(t, memory)
		defer e.Close()
		s := &suite{project: "property", engine: e, docker: docker}
		first, second := drawRecipe(t, s, "first "), drawRecipe(t, s, "second ")
		opts := engine.DiffOptions{RemoveOrphans: true, OwnRestarts: rapid.Bool().Draw(t, "own restarts")}
		if err := converge(s, first, opts); err != nil {
			t.Fatalf("the first recipe: %v", err)
		}
		harm(t, s)
		before := observe(t, s)
		opts.RemoveOrphans = rapid.IntRange(0, 3).Draw(t, "orphans stay") != 0
		if rapid.IntRange(0, 3).Draw(t, "the volume is redefined") == 0 {
			redefine(second.Volumes[0])
			opts.RecreateVolumes = []string{"data"}
		}
		memory.ResetCalls()
		memory.Intercept(drawFault(t))
		watched := watchReplacements(t, s, before, second, opts.RecreateVolumes)
		if err := converge(s, second, opts); errors.Is(err, errEndless) { // all else may fail: that is the point
			t.Fatal(err)
		}
		watched()
		memory.Intercept(nil)
		if rapid.Bool().Draw(t, "memory is lost") {
			s.engine = another(t, memory)
			defer s.engine.Close()
		}
		err := converge(s, second, opts)
		if err != nil && strings.Contains(err.Error(), ", which this plan would not ") {
			if text := changing(memory.Calls()); text != "" {
				t.Errorf("a plan was refused after something was done:\n%s", text)
			}
			return
		}
		if err != nil {
			t.Fatalf("the second recipe: %v", err)
		}
		keepsVolumes(t, memory, opts.RecreateVolumes, second)
		have := holds(t, s, second, opts)
		keepsAnonymous(t, before, have, second, opts.RecreateVolumes)
		if opts.RemoveOrphans && !shrinks(before, second) {
			noVolumeLeaks(t, before, have)
		}
	})
}

// addOutside makes what recipes have from elsewhere.
func addOutside(t *rapid.T, docker *client.Client) {
	if _, err := docker.NetworkCreate(context.Background(), "outside", network.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := docker.VolumeCreate(context.Background(), volume.CreateOptions{Name: "outside"}); err != nil {
		t.Fatal(err)
	}
}

// harm does by hand what leaves a project other than it was brought up. What the Engine refuses, as to restart a container
// whose namespace is gone, does no harm.
func harm(t *rapid.T, s *suite) {
	ctx := context.Background()
	for _, c := range observe(t, s).Containers {
		switch rapid.IntRange(0, 15).Draw(t, "harm to "+c.Name) {
		case 0:
			_ = s.docker.ContainerKill(ctx, c.ID, "KILL")
		case 1:
			_ = s.docker.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		case 2:
			_ = s.docker.ContainerRename(ctx, c.ID, c.Name+"-renamed")
		case 3:
			for name := range c.Summary.NetworkSettings.Networks {
				_ = s.docker.NetworkDisconnect(ctx, name, c.ID, true)
			}
		case 4:
			_ = s.docker.ContainerRestart(ctx, c.ID, container.StopOptions{})
		}
	}
}

func observe(t *rapid.T, s *suite) *engine.State {
	have, err := s.engine.State(context.Background(), s.project)
	if err != nil {
		t.Fatal(err)
	}
	return have
}

// another is what the next process has: it remembers nothing.
func another(t *rapid.T, memory *enginetest.Engine) *engine.Engine {
	e, err := engine.Connect(context.Background(), engine.Options{Host: memory.Host(), SteadyFor: time.Millisecond, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// redefine gives a volume another definition.
func redefine(v *compose.Volume) {
	v.Hash += " changed"
	v.Create.Labels[compose.LabelHash] = v.Hash
}

// keepsVolumes holds that named volumes are made anew when that was asked for, and else kept.
func keepsVolumes(t *rapid.T, memory *enginetest.Engine, recreate []string, p *compose.Project) {
	for _, v := range p.Volumes {
		allowed := 0
		if slices.Contains(recreate, v.Key) {
			allowed = 1
		}
		if n := removals(memory, v.Name); n > allowed {
			t.Errorf("the volume %s was removed %d times, and it was asked for %d times", v.Name, n, allowed)
		}
	}
}

// keepsAnonymous holds that replicas go on with the anonymous volume that they had; but for those that are removed before
// anything takes their place, to make a volume anew: when that is cut short, nothing tells any more what they had.
func keepsAnonymous(t *rapid.T, before, have *engine.State, p *compose.Project, recreate []string) {
	const place = "/anonymous"
	at := func(c *engine.Container) string {
		for _, m := range c.Summary.Mounts {
			if m.Destination == place {
				return m.Name
			}
		}
		return ""
	}
	for _, c := range have.Containers {
		svc := p.Service(c.Service)
		if svc == nil || svc.Config.Volumes == nil {
			continue
		}
		for _, old := range before.Containers {
			if same := old.Service == c.Service && old.Number == c.Number; !same || recreate != nil && onData(old) {
				continue
			}
			if at(old) != "" && at(old) != at(c) {
				t.Errorf("container %s has volume %q at %s, and had %q", c.Name, at(c), place, at(old))
			}
		}
	}
}

// removals counts the removals of a named volume that an Engine carried out.
func removals(memory *enginetest.Engine, volume string) (n int) {
	for _, c := range memory.Calls() {
		if c.Method == "DELETE" && strings.HasSuffix(c.Path, "/volumes/"+volume) && c.Status == 204 {
			n++
		}
	}
	return n
}

// errEndless is the cause of a plan's end that waits for what will not come.
var errEndless = errors.New("the plan does not end")

// converge takes a project to what it should be. No plan takes a minute on an Engine whose time runs so
// fast.
func converge(s *suite, p *compose.Project, opts engine.DiffOptions) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errEndless)
	defer cancel()
	have, err := s.engine.State(ctx, p.Name)
	if err != nil {
		return err
	}
	_, err = s.engine.Converge(ctx, p, have, opts)
	return errors.Join(err, context.Cause(ctx))
}

// watchReplacements holds, after every step, that a service that has a container and is wanted keeps one, old or new; but
// for those on a volume that is made anew. And that no step begins before all that it needs has succeeded.
func watchReplacements(t *rapid.T, s *suite, before *engine.State, second *compose.Project, recreate []string) (stop func()) {
	steps := map[int]*engine.Step{}
	done := map[int]bool{}
	s.engine.Notify = func(event engine.Event) {
		if known := steps[event.Index]; known != nil && known != event.Step {
			clear(steps) // another plan
			clear(done)
		}
		steps[event.Index] = event.Step
		done[event.Index] = event.Kind == engine.Done
		for _, need := range event.Step.Needs {
			if event.Kind == engine.Begun && !done[need] {
				t.Errorf("%s %s began although step %d, which it needs, is not done", event.Step.Action.Verb(), event.Step.Action.Target(), need)
			}
		}
		if event.Kind != engine.Done {
			return
		}
		containers, err := s.engine.Containers(context.Background(), s.project)
		if err != nil {
			return // the Engine may be made to fail here
		}
		for _, svc := range second.Services {
			of := func(c *engine.Container) bool { return c.Service == svc.Name }
			had := slices.ContainsFunc(before.Containers, of) && svc.Replicas > 0
			if lost := recreate != nil && slices.ContainsFunc(before.Containers, func(c *engine.Container) bool { return of(c) && onData(c) }); !had || lost {
				continue
			}
			if !slices.ContainsFunc(containers, of) {
				t.Errorf("after %s %s, service %s has no container", event.Step.Action.Verb(), event.Step.Action.Target(), svc.Name)
			}
		}
	}
	return func() { s.engine.Notify = nil }
}

// onData tells whether a container mounts the volume that may be made anew.
func onData(c *engine.Container) bool {
	return slices.ContainsFunc(c.Summary.Mounts, func(m container.MountPoint) bool { return m.Name == "property_data" })
}

// holds checks what must be so when a recipe is up.
func holds(t *rapid.T, s *suite, p *compose.Project, opts engine.DiffOptions) *engine.State {
	// A one-shot that nobody waited for may be running still.
	if err := s.engine.Await(context.Background(), p, observe(t, s), time.Minute); err != nil {
		t.Fatal(err)
	}
	have := observe(t, s)
	full, err := s.engine.StateInFull(context.Background(), p.Name)
	if err != nil {
		t.Fatal(err)
	}
	for how, state := range map[string]*engine.State{"as remembered": have, "inspected": full} {
		if err := s.engine.Complete(context.Background(), p, state, opts); err != nil {
			t.Fatal(err)
		}
		plan, err := engine.Diff(p, state, opts)
		if err != nil {
			t.Fatal(err)
		}
		if !plan.Empty() {
			t.Errorf("the second plan, of the state %s, is not empty:\n%s", how, plan)
		}
	}
	count := map[string]int{}
	for _, c := range have.Containers {
		svc := p.Service(c.Service)
		if svc == nil && (!opts.RemoveOrphans || p.Knows(c.Service)) {
			continue // it was left alone
		}
		count[c.Service]++
		if svc == nil {
			t.Errorf("container %s is an orphan that was left", c.Name)
			continue
		}
		if want := p.ContainerName(svc, c.Number); c.Name != want {
			t.Errorf("container %s should be named %s", c.Name, want)
		}
		phase := container.StateRunning
		if svc.Config.Cmd[0] == "true" {
			phase = container.StateExited
		}
		if c.Phase != phase {
			t.Errorf("container %s is %s, want %s", c.Name, c.Phase, phase)
		}
	}
	for _, svc := range p.Services {
		if count[svc.Name] != svc.Replicas {
			t.Errorf("service %s has %d containers, want %d", svc.Name, count[svc.Name], svc.Replicas)
		}
	}
	return have
}

// shrinks tells whether a service loses replicas. The anonymous volumes of those are kept: nobody said that their data may
// go.
func shrinks(before *engine.State, second *compose.Project) bool {
	count := map[string]int{}
	for _, c := range before.Containers {
		count[c.Service]++
	}
	for name, n := range count {
		if after := second.Service(name); after == nil || after.Replicas < n {
			return true
		}
	}
	return false
}

// noVolumeLeaks holds that every anonymous volume is in use, but for what was of no use before.
func noVolumeLeaks(t *rapid.T, before, have *engine.State) {
	used := func(s *engine.State, v *volume.Volume) bool {
		return slices.ContainsFunc(s.Containers, func(c *engine.Container) bool { return mounts(c, v) })
	}
	for _, v := range have.Volumes {
		old := slices.ContainsFunc(before.Volumes, func(had *volume.Volume) bool { return had.Name == v.Name })
		if len(v.Name) == 64 && !used(have, v) && !(old && !used(before, v)) {
			t.Errorf("the anonymous volume %s leaked", v.Name)
		}
	}
}

func mounts(c *engine.Container, v *volume.Volume) bool {
	for _, m := range c.Summary.Mounts {
		if strings.EqualFold(m.Name, v.Name) {
			return true
		}
	}
	return false
}
