package engine_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"galley/compose"
	"galley/engine"
	"galley/engine/enginetest"
	"galley/engine/enginetest/dockerd"
)

// faults are the ways in which one call goes wrong.
func faults() map[string]enginetest.Fault {
	return map[string]enginetest.Fault{
		"refused":           {Status: http.StatusInternalServerError, Message: "injected"},
		"dropped":           {Drop: true},
		"done, but dropped": {After: true, Drop: true},
		"done, but refused": {After: true, Status: http.StatusInternalServerError, Message: "injected"},
		"hanging":           {Hang: true},
	}
}

func TestAnUpdateSurvivesAFaultAtEachCall(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(upgrades())) {
		for _, fault := range slices.Sorted(maps.Keys(faults())) {
			t.Run(name+"/"+fault, func(t *testing.T) {
				t.Parallel()
				disturbEverywhere(t, upgrades()[name], faults()[fault])
			})
		}
	}
}

// disturbance lets one call go wrong, and holds at each call that no service lost its last container.
type disturbance struct {
	memory *enginetest.Engine
	fault  enginetest.Fault
	always []string // services that must have a container

	mu     sync.Mutex
	rest   int // calls until the fault
	struck *enginetest.Call
	lost   map[string]bool
}

func (d *disturbance) intercept(c enginetest.Call) *enginetest.Fault {
	snapshot := d.memory.Snapshot()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, service := range d.always {
		if !hasContainer(snapshot, service) {
			d.lost[service+" at "+c.Method+" "+c.Path] = true
		}
	}
	d.rest--
	if d.rest != 0 {
		return nil
	}
	d.struck = &c
	return &d.fault
}

func (d *disturbance) result() (struck *enginetest.Call, lost []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.struck, slices.Sorted(maps.Keys(d.lost))
}

func hasContainer(snapshot enginetest.Snapshot, service string) bool {
	for _, c := range snapshot.Containers {
		if c.Labels[compose.LabelService] == service && c.Labels[compose.LabelOneOff] == "False" {
			return true
		}
	}
	return false
}

func disturbEverywhere(t *testing.T, u upgrade, fault enginetest.Fault) {
	memory, s, opts := inMemory(t, "1.41")
	ending := u.ending(t, s)
	opts.AnswerWithin, opts.FinishWithin = 400*time.Millisecond, 200*time.Millisecond
	disturbed := *s
	disturbed.engine = connect(t, opts)
	for nth := 1; !t.Failed(); nth++ {
		memory.Reset()
		memory.AddImage(enginetest.Image{Ref: "busybox:latest"})
		u.prepare(t, s)
		d := &disturbance{memory: memory, fault: fault, always: u.same(s), rest: nth, lost: map[string]bool{}}
		memory.Intercept(d.intercept)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := disturbed.converge(ctx, u.to(s), u.options())
		hung := ctx.Err() != nil
		cancel()
		memory.Intercept(nil)
		struck, lost := d.result()
		if struck == nil {
			return // all calls have had their turn
		}
		if hung {
			t.Error("converge did not return")
		}
		u.judge(t, s, err)
		for _, what := range lost {
			t.Errorf("there was no container of %s", what)
		}
		if diff := cmp.Diff(ending, u.finish(t, s)); diff != "" {
			t.Errorf("the next up ends elsewhere (-undisturbed +now):\n%s", diff)
		}
		if leaked := s.anonymousVolumes(t.Context(), t, true); len(leaked) > 0 {
			t.Errorf("%d anonymous volumes leaked", len(leaked))
		}
		if t.Failed() {
			t.Logf("the fault was at call %d, %s %s; converge said: %v; the calls were:\n%s", nth, struck.Method, struck.Path, err, changing(memory.Calls()))
		}
	}
}

// judge holds that what converge says is sensible, and that a fault that struck once left no service without a running
// container that had one before.
func (u upgrade) judge(t *testing.T, s *suite, err error) {
	t.Helper()
	if err != nil && !sensible(err) {
		t.Errorf("the error does not say what went wrong: %q (%T)", err, err)
	}
	if back := (*engine.RolledBackError)(nil); errors.As(err, &back) && u.then != nil && back.Restore != nil {
		return // the fault struck when the service was put back: two failures at once leave it down, and say so
	}
	running := map[string]bool{}
	for _, c := range s.state(t).Containers {
		running[c.Service] = running[c.Service] || c.Running()
	}
	for _, service := range u.same(s) {
		if !running[service] {
			t.Errorf("service %s was left without a running container", service)
		}
	}
}

// sensible tells whether an error says that the Engine was away, or what the Engine said, or what became of a service.
func sensible(err error) bool {
	var unreachable *engine.UnreachableError
	var unhealthy *engine.UnhealthyError
	var step *engine.StepError
	switch {
	case errors.As(err, &unreachable), errors.As(err, &unhealthy):
		return true
	case errors.As(err, &step):
		// Of a refused upgrade, the Engine's client keeps only the status.
		return strings.Contains(err.Error(), "injected") || strings.Contains(err.Error(), "received 50")
	}
	return strings.Contains(err.Error(), "listing ") && strings.Contains(err.Error(), "injected")
}

// TestNoDependentOfAFailedStepRuns refuses each call that changes something in turn, and holds, in the plan and in what the
// Engine was asked, that nothing runs that needed it.
func TestNoDependentOfAFailedStepRuns(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(upgrades())) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refuseEverywhere(t, upgrades()[name])
		})
	}
}

func refuseEverywhere(t *testing.T, u upgrade) {
	memory, s, _ := inMemory(t, "1.41")
	for nth := 1; !t.Failed(); nth++ {
		memory.Reset()
		memory.AddImage(enginetest.Image{Ref: "busybox:latest"})
		u.prepare(t, s)
		have := s.state(t)
		if err := s.engine.Complete(t.Context(), u.to(s), have, u.options()); err != nil {
			t.Fatal(err)
		}
		plan, err := engine.Diff(u.to(s), have, u.options())
		if err != nil {
			t.Fatal(err)
		}
		refusal := &refusal{rest: nth}
		memory.Intercept(refusal.intercept)
		begun, failed := map[int]bool{}, map[int]bool{}
		s.engine.Notify = func(e engine.Event) {
			begun[e.Index] = begun[e.Index] || e.Kind == engine.Begun
			failed[e.Index] = failed[e.Index] || e.Kind == engine.Failed
		}
		err = s.engine.Apply(t.Context(), plan)
		s.engine.Notify = nil
		memory.Intercept(nil)
		if refusal.call == nil {
			return // all calls have had their turn
		}
		if err == nil {
			t.Errorf("%s %s was refused, and there was no error", refusal.call.Method, refusal.call.Path)
		}
		for i := range dependents(plan, failed) {
			if begun[i] {
				step := plan.Steps[i]
				t.Errorf("%s %s was begun although a step that it needs had failed: %v", step.Action.Verb(), step.Action.Target(), err)
			}
		}
		noFurtherCalls(t, memory, refusal.call)
	}
}

// refusal refuses one call that changes something.
type refusal struct {
	mu   sync.Mutex
	rest int
	call *enginetest.Call
}

func (r *refusal) intercept(c enginetest.Call) *enginetest.Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !changes(c) {
		return nil
	}
	if r.rest--; r.rest != 0 {
		return nil
	}
	r.call = &c
	return &enginetest.Fault{Status: http.StatusInternalServerError, Message: "injected"}
}

// dependents are the steps that need, directly or not, one that failed.
func dependents(plan *engine.Plan, failed map[int]bool) map[int]bool {
	found := map[int]bool{}
	for i, step := range plan.Steps {
		for _, need := range step.Needs {
			if failed[need] || found[need] {
				found[i] = true
			}
		}
	}
	return found
}

// noFurtherCalls holds that the Engine was asked nothing more of a container that it refused to start.
func noFurtherCalls(t *testing.T, memory *enginetest.Engine, refused *enginetest.Call) {
	t.Helper()
	seen := false
	for _, c := range memory.Calls() {
		if c.Op == refused.Op && c.Nth == refused.Nth {
			seen = true
			continue
		}
		about := strings.HasPrefix(c.Path, strings.TrimSuffix(refused.Path, "start"))
		if seen && changes(c) && refused.Op == "POST /containers/*/start" && about {
			t.Errorf("after %s %s was refused, there was %s %s", refused.Method, refused.Path, c.Method, c.Path)
		}
	}
}

// TestAContainerThatCanNeverStartIsReplaced lets an Engine refuse, for ever, to start a container of which a process outlived
// it: one that an update made, and one that was there and had ended.
func TestAContainerThatCanNeverStartIsReplaced(t *testing.T) {
	for name, message := range map[string]string{"task": "task %s: already exists", "directory": "id already in use"} {
		for which, change := range map[string]func(*compose.Service){"new": env("LEVEL=debug"), "ended": func(*compose.Service) {}} {
			t.Run(name+" of the "+which, func(t *testing.T) {
				memory, s, _ := inMemory(t, "1.41")
				s.mustUp(t, s.recipe(svc("db")), engine.DiffOptions{})
				must(t, s.docker.ContainerKill(t.Context(), s.project+"-db-1", "KILL"))
				var mu sync.Mutex
				stuck := ""
				memory.Intercept(func(c enginetest.Call) *enginetest.Fault {
					mu.Lock()
					defer mu.Unlock()
					if c.Op == "POST /containers/*/start" && (stuck == "" || stuck == c.Path) {
						stuck = c.Path
						return &enginetest.Fault{Status: http.StatusInternalServerError, Message: strings.ReplaceAll(message, "%s", path.Base(path.Dir(c.Path)))}
					}
					return nil
				})
				s.mustUp(t, s.recipe(svc("db", change)), engine.DiffOptions{})
				s.expect(t, map[string]string{"db-1": "running"})
			})
		}
	}
}

// TestADaemonThatIsKilledInMidPlanIsWaitedFor kills dockerd when the first container of an update was stopped, started or
// removed, and starts it again.
func TestADaemonThatIsKilledInMidPlanIsWaitedFor(t *testing.T) {
	dockerd.ForTest(t) // skips where it must
	daemon, err := dockerd.Start(t.Context(), dockerd.Options{Version: os.Getenv("GALLEY_TEST_ENGINE"), Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := daemon.Stop(); err != nil {
			t.Error(err)
		}
	})
	image, err := dockerd.Busybox(t.Context(), t.Output())
	if err == nil {
		err = dockerd.LoadImage(t.Context(), daemon.Client(), image)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := newSuite(t, daemon.Host(), "restarted", "")
	u := upgrades()["a chain with gates changes"]
	ending := u.ending(t, s)
	for _, verb := range []engine.Verb{engine.VerbStop, engine.VerbStart, engine.VerbRemove} {
		t.Run(string(verb), func(t *testing.T) { killDaemonAt(t, s, daemon, u, verb, ending) })
	}
}

func killDaemonAt(t *testing.T, s *suite, daemon *dockerd.Daemon, u upgrade, verb engine.Verb, ending string) {
	s.clear(t)
	u.prepare(t, s)
	restarted := make(chan error, 1)
	killed := false
	s.engine.Notify = func(e engine.Event) {
		if killed || e.Kind != engine.Done || e.Step.Action.Verb() != verb {
			return
		}
		killed = true
		if err := daemon.Kill(); err != nil {
			t.Error(err)
		}
		go func() { restarted <- daemon.Restart(context.WithoutCancel(t.Context())) }()
	}
	err := s.converge(t.Context(), u.to(s), u.options())
	s.engine.Notify = nil
	if !killed {
		t.Fatalf("there was no %s", verb)
	}
	if err := errors.Join(err, <-restarted); err != nil {
		t.Fatal(err)
	}
	if plan, err := engine.Diff(u.to(s), s.state(t), u.options()); err != nil || !plan.Empty() {
		t.Errorf("the second plan is not empty (%v):\n%s", err, plan)
	}
	if diff := cmp.Diff(ending, s.inventory(t)); diff != "" {
		t.Errorf("it ends elsewhere (-undisturbed +now):\n%s", diff)
	}
}
