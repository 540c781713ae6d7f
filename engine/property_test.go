package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/volume"
	"pgregory.net/rapid"

	"galley/compose"
	"galley/engine"
	"galley/engine/enginetest"
)

// drawRecipe draws a small recipe out of a few services, networks and volumes, so that two of them overlap and differ.
func drawRecipe(t *rapid.T, s *suite, label string) *compose.Project {
	var services []*compose.Service
	for i, name := range []string{"a", "b", "c", "d"} {
		if rapid.IntRange(0, 4).Draw(t, label+name) == 0 {
			continue
		}
		services = append(services, drawService(t, services, label, name, i))
	}
	p := s.recipe(services...)
	for _, n := range p.Networks {
		*n = *s.network(n.Key, rapid.SampledFrom([]string{"", "", "10.77.1.0/24"}).Draw(t, label+n.Key+"subnet"))
		if n.Key == "back" && n.Create.IPAM != nil {
			*n = *s.network(n.Key, "10.77.2.0/24")
		}
	}
	p.Volumes = []*compose.Volume{{Key: "data", Name: s.project + "_data", Hash: "1:data"}}
	p.Volumes[0].Create.Labels = map[string]string{compose.LabelProject: s.project, compose.LabelVolume: "data", compose.LabelHash: "1:data"}
	return p
}

func drawService(t *rapid.T, earlier []*compose.Service, label, name string, i int) *compose.Service {
	chance := func(what string, of int) bool { return rapid.IntRange(1, of).Draw(t, label+name+what) == 1 }
	svc := svc(name, env(fmt.Sprintf("LEVEL=%d", rapid.IntRange(0, 2).Draw(t, label+name+"level"))))
	svc.Replicas = rapid.SampledFrom([]int{0, 1, 1, 1, 2, 3}).Draw(t, label+name+"replicas")
	svc.Update.StartFirst = chance("start-first", 4)
	if chance("checked", 3) {
		checked("true")(svc)
		svc.Config.Healthcheck.Timeout = time.Hour // the Engine's time runs fast here, the machine's may not
	}
	if chance("anonymous", 4) {
		svc.Config.Volumes = map[string]struct{}{"/anonymous": {}}
	}
	if chance("data", 4) {
		svc.Host.Binds = []string{"property_data:/data"}
	}
	for _, other := range earlier {
		switch rapid.IntRange(0, 7).Draw(t, label+name+other.Name) {
		case 0, 1:
			waits(other.Name, compose.Started)(svc)
		case 2:
			if other.Config.Healthcheck != nil {
				waits(other.Name, compose.Healthy)(svc)
			}
		case 3:
			if other.Replicas > 0 && len(other.Endpoints) > 0 && svc.Host.NetworkMode == "" {
				waits(other.Name, compose.Started)(svc)
				svc.Host.NetworkMode = container.NetworkMode(compose.ServicePrefix + other.Name)
			}
		case 4:
			waits(other.Name, compose.Started)(svc)
			svc.Needs[len(svc.Needs)-1].Restart = true
		}
	}
	if svc.Host.NetworkMode == "" {
		joins(rapid.SampledFrom([][]string{{"front"}, {"back"}, {"front", "back"}}).Draw(t, label+name+"networks")...)(svc)
		for i := range svc.Endpoints {
			svc.Endpoints[i].Settings.Aliases = rapid.SampledFrom([][]string{nil, nil, {"x"}, {"x", "y"}}).Draw(t, label+name+"aliases")
		}
	}
	drawLimits(t, svc, label+name)
	return svc
}

// drawLimits draws what changes in place, and what can't be taken back in place.
func drawLimits(t *rapid.T, svc *compose.Service, label string) {
	resources := &svc.Host.Resources
	resources.Memory = rapid.SampledFrom([]int64{0, 0, 64 << 20, 128 << 20}).Draw(t, label+"memory")
	if resources.Memory > 0 {
		resources.MemorySwap = rapid.SampledFrom([]int64{0, 0, -1, 256 << 20}).Draw(t, label+"swap")
	}
	if pids := rapid.SampledFrom([]int64{0, 0, 50, 100}).Draw(t, label+"pids"); pids > 0 {
		resources.PidsLimit = &pids
	}
	switch rapid.IntRange(0, 5).Draw(t, label+"cpu") {
	case 0:
		resources.NanoCPUs = 500_000_000
	case 1:
		resources.CPUQuota = 50_000
	case 2:
		resources.CPUShares = 512
	}
	svc.Host.RestartPolicy.Name = rapid.SampledFrom([]container.RestartPolicyMode{"", "", "no", "always"}).Draw(t, label+"restart")
}

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

// TestAnyStateConvergesToAnyRecipe draws two recipes; the first is brought up, then the second is with something going
// wrong on the way, and then the second again with nothing in its way.
func TestAnyStateConvergesToAnyRecipe(t *testing.T) {
	memory := enginetest.New(t, enginetest.WithAPI("1.41"), enginetest.WithSpeed(1000))
	rapid.Check(t, func(t *rapid.T) {
		memory.Reset()
		memory.AddImage(enginetest.Image{Ref: "busybox:latest"})
		e := another(t, memory)
		defer e.Close()
		s := &suite{project: "property", engine: e}
		first, second := drawRecipe(t, s, "first "), drawRecipe(t, s, "second ")
		if err := converge(s, first, nil); err != nil {
			t.Fatalf("the first recipe: %v", err)
		}
		var recreate []string
		if rapid.IntRange(0, 3).Draw(t, "the volume is redefined") == 0 {
			redefine(second.Volumes[0])
			recreate = []string{"data"}
		}
		memory.Intercept(drawFault(t))
		watched := watchReplacements(t, s, first, second, recreate)
		_ = converge(s, second, recreate) // may fail: that is the point
		watched()
		memory.Intercept(nil)
		if rapid.Bool().Draw(t, "memory is lost") {
			s.engine = another(t, memory)
			defer s.engine.Close()
		}
		if err := converge(s, second, recreate); err != nil {
			t.Fatalf("the second recipe: %v", err)
		}
		if n := removals(memory, second.Volumes[0].Name); n > len(recreate) {
			t.Errorf("the volume was removed %d times, and it was asked for %d times", n, len(recreate))
		}
		have := holds(t, s, second)
		if !shrinks(first, second) {
			noVolumeLeaks(t, have)
		}
	})
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

// removals counts the removals of a named volume that an Engine carried out.
func removals(memory *enginetest.Engine, volume string) (n int) {
	for _, c := range memory.Calls() {
		if c.Method == "DELETE" && strings.HasSuffix(c.Path, "/volumes/"+volume) && c.Status == 204 {
			n++
		}
	}
	return n
}

func converge(s *suite, p *compose.Project, recreate []string) error {
	have, err := s.engine.State(context.Background(), p.Name)
	if err != nil {
		return err
	}
	_, err = s.engine.Converge(context.Background(), p, have, engine.DiffOptions{RemoveOrphans: true, RecreateVolumes: recreate})
	return err
}

// watchReplacements holds, after every step, that a service that both recipes want has a container, old or new; but for
// those on a volume that is made anew.
func watchReplacements(t *rapid.T, s *suite, first, second *compose.Project, recreate []string) (stop func()) {
	s.engine.Notify = func(event engine.Event) {
		if event.Kind != engine.Done {
			return
		}
		containers, err := s.engine.Containers(context.Background(), s.project)
		if err != nil {
			return // the Engine may be made to fail here
		}
		for _, svc := range second.Services {
			before := first.Service(svc.Name)
			if before == nil || before.Replicas == 0 || svc.Replicas == 0 || recreate != nil && before.Host.Binds != nil {
				continue
			}
			if !slices.ContainsFunc(containers, func(c *engine.Container) bool { return c.Service == svc.Name }) {
				t.Errorf("after %s %s, service %s has no container", event.Step.Action.Verb(), event.Step.Action.Target(), svc.Name)
			}
		}
	}
	return func() { s.engine.Notify = nil }
}

// holds checks what must be so when a recipe is up.
func holds(t *rapid.T, s *suite, p *compose.Project) *engine.State {
	have, err := s.engine.State(context.Background(), p.Name)
	if err != nil {
		t.Fatal(err)
	}
	full, err := s.engine.StateInFull(context.Background(), p.Name)
	if err != nil {
		t.Fatal(err)
	}
	for how, state := range map[string]*engine.State{"as remembered": have, "inspected": full} {
		plan, err := engine.Diff(p, state, engine.DiffOptions{RemoveOrphans: true})
		if err != nil {
			t.Fatal(err)
		}
		if !plan.Empty() {
			t.Errorf("the second plan, of the state %s, is not empty:\n%s", how, plan)
		}
	}
	count := map[string]int{}
	for _, c := range have.Containers {
		count[c.Service]++
		if want := fmt.Sprintf("property-%s-%d", c.Service, c.Number); c.Name != want {
			t.Errorf("container %s should be named %s", c.Name, want)
		}
		if c.Phase != "running" {
			t.Errorf("container %s is %s", c.Name, c.Phase)
		}
	}
	for _, svc := range p.Services {
		if count[svc.Name] != svc.Replicas {
			t.Errorf("service %s has %d containers, want %d", svc.Name, count[svc.Name], svc.Replicas)
		}
		delete(count, svc.Name)
	}
	if len(count) > 0 {
		t.Errorf("orphans are left: %v", count)
	}
	return have
}

// shrinks tells whether a service loses replicas. The anonymous volumes of those are kept: nobody said that their data may
// go.
func shrinks(first, second *compose.Project) bool {
	return slices.ContainsFunc(first.Services, func(before *compose.Service) bool {
		after := second.Service(before.Name)
		return after == nil || after.Replicas < before.Replicas
	})
}

// noVolumeLeaks holds that every anonymous volume is in use.
func noVolumeLeaks(t *rapid.T, have *engine.State) {
	for _, v := range have.Volumes {
		if len(v.Name) == 64 && !slices.ContainsFunc(have.Containers, func(c *engine.Container) bool { return mounts(c, v) }) {
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
