package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
	"galley/engine"
)

// held is a project under supervision.
type held struct {
	*suite
	t      *testing.T
	reload chan struct{}
	turns  chan engine.Turn
	end    func()
	ended  chan error

	mu      sync.Mutex
	project *compose.Project
	loading error
	report  engine.Report
	notes   []engine.Note
	saved   []*compose.Project
	changed chan struct{}
}

// hold supervises a project until the test ends.
func (s *suite) hold(t *testing.T, p *compose.Project, change ...func(*engine.RunOptions)) *held {
	t.Helper()
	h := &held{suite: s, t: t, project: p, reload: make(chan struct{}), turns: make(chan engine.Turn), changed: make(chan struct{}), ended: make(chan error, 1)}
	opts := engine.RunOptions{
		Engine: engine.Options{Host: s.host, Version: "test"},
		Load: func(context.Context) (*compose.Project, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.project, h.loading
		},
		Lock:   func(context.Context, string) (func(), error) { return func() {}, nil },
		Reload: h.reload, Turns: h.turns,
		Publish: func(r engine.Report) { h.take(func() { h.report = r }) },
		Note:    func(n engine.Note) { h.take(func() { h.notes = append(h.notes, n) }) },
		Save: func(p *compose.Project, _ *engine.State) error {
			h.take(func() { h.saved = append(h.saved, p) })
			return nil
		},
	}
	for _, c := range change {
		c(&opts)
	}
	ctx, cancel := context.WithCancel(t.Context())
	h.end = cancel
	go func() { h.ended <- engine.Run(ctx, opts) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-h.ended:
		case <-time.After(time.Minute):
			t.Error("the supervisor did not end")
		}
	})
	return h
}

// take changes what is known and wakes whoever waits for it.
func (h *held) take(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
	close(h.changed)
	h.changed = make(chan struct{})
}

// until waits for something to be so.
func (h *held) until(what string, so func() bool) {
	h.t.Helper()
	deadline := time.After(time.Minute)
	for {
		h.mu.Lock()
		yes, changed := so(), h.changed
		h.mu.Unlock()
		if yes {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			h.mu.Lock()
			defer h.mu.Unlock()
			h.t.Fatalf("waiting until %s:\nreport %s\nnotes %+v", what, describeReport(h.report), h.notes)
		}
	}
}

// service is the report of one service. The caller holds mu.
func (h *held) service(name string) engine.ServiceReport {
	i := slices.IndexFunc(h.report.Services, func(s engine.ServiceReport) bool { return s.Name == name })
	if i < 0 {
		return engine.ServiceReport{}
	}
	return h.report.Services[i]
}

// untilUp waits until every service is up and nothing is being changed.
func (h *held) untilUp() {
	h.t.Helper()
	h.until("all is up", func() bool { return h.up() })
}

func (h *held) up() bool { return h.report.Engine == nil && !h.report.Busy && h.report.Up() }

// untilPhase waits for a service.
func (h *held) untilPhase(service string, phase engine.Phase) {
	h.t.Helper()
	h.until(service+" is "+string(phase), func() bool { return h.service(service).Phase == phase })
}

func describeReport(r engine.Report) string {
	var b strings.Builder
	for _, s := range r.Services {
		b.WriteString("\n  " + s.Name + " " + string(s.Phase) + " " + s.Why + " " + s.Err + " " + strings.Join(s.Drift, ", "))
	}
	return b.String()
}

// id is the id of a container, by its name.
func (h *held) id(name string) string {
	h.t.Helper()
	c, err := h.docker.ContainerInspect(h.t.Context(), name)
	if err != nil {
		h.t.Fatal(err)
	}
	return c.ID
}

// started is when a container started last.
func (h *held) started(name string) string {
	h.t.Helper()
	c, err := h.docker.ContainerInspect(h.t.Context(), name)
	if err != nil {
		h.t.Fatal(err)
	}
	return c.State.StartedAt
}

// must fails the test on an error of what it does by hand.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testRunRepairs(t *testing.T, s *suite) {
	p := s.recipe(
		svc("db", joins("back")),
		svc("web", waits("db", compose.Started), joins("back", "front")),
	)
	h := s.hold(t, p)
	h.untilUp()
	h.neverAdrift()
	ctx := t.Context()
	web := s.project + "-web-1"
	db := s.project + "-db-1"

	before := h.started(web)
	h.mended(func() { must(t, s.docker.ContainerKill(ctx, web, "KILL")) })
	if h.started(web) == before {
		t.Error("the container that was killed did not start anew")
	}
	old := h.id(db)
	h.mended(func() { must(t, s.docker.ContainerRemove(ctx, db, container.RemoveOptions{Force: true})) })
	if h.id(db) == old {
		t.Error("the container that was removed is there still")
	}
	old = h.id(web)
	h.mended(func() { must(t, s.docker.ContainerRename(ctx, web, s.project+"-other")) })
	if h.id(web) != old || !told(h.notes, engine.NoteDrift, "was renamed") {
		t.Error("the container that was renamed did not get its name back, or it was not told")
	}
	h.mended(func() { must(t, s.docker.NetworkDisconnect(ctx, s.project+"_front", web, false)) })
	if h.service("web").Containers[0].Summary.NetworkSettings.Networks[s.project+"_front"] == nil {
		t.Error("the container that was detached is not on its network")
	}
	h.mended(func() { must(t, s.docker.ContainerStop(ctx, web, container.StopOptions{})) })
	if n := h.service("web").Restarts; n != 2 {
		t.Errorf("%d restarts are counted, want 2", n)
	}
}

// mended does something and waits until the supervisor has put it right.
func (h *held) mended(harm func()) {
	h.t.Helper()
	converged := func() (n int) {
		for _, note := range h.notes {
			if note.Kind == engine.NoteConverged {
				n++
			}
		}
		return n
	}
	before := -1
	h.take(func() { before = converged() })
	harm()
	h.until("it is put right", func() bool { return converged() > before && h.up() })
}

// told tells whether a note of that kind holds a text.
func told(notes []engine.Note, kind engine.NoteKind, text string) bool {
	return slices.ContainsFunc(notes, func(n engine.Note) bool { return n.Kind == kind && strings.Contains(n.Text, text) })
}

func testRunLeavesWhatEnded(t *testing.T, s *suite) {
	p := s.recipe(
		svc("once", sh("exit 0")),
		svc("job", sh("exit 3")),
		svc("needed", sh("exit 0")),
		svc("web", waits("needed", compose.Completed)),
	)
	h := s.hold(t, p)
	h.untilPhase("web", engine.PhaseUp)
	h.untilPhase("once", engine.PhaseCompleted)
	h.untilPhase("needed", engine.PhaseCompleted)
	h.until("job failed for good", func() bool {
		job := h.service("job")
		return job.Phase == engine.PhaseFailed && job.Final && job.Exit != nil && job.Exit.Code == 3 && !h.report.Busy
	})
	before := h.started(s.project + "-job-1")
	must(t, s.docker.ContainerKill(t.Context(), s.project+"-web-1", "KILL"))
	h.until("web runs again", func() bool {
		return h.service("web").Restarts == 1 && h.service("web").Phase == engine.PhaseUp && !h.report.Busy
	})
	if h.started(s.project+"-job-1") != before {
		t.Error("what had ended by itself was started again")
	}
}

func testRunRestartsWhatExitedWhenAsked(t *testing.T, s *suite) {
	h := s.hold(t, s.recipe(svc("job", sh("exit 3"))), func(o *engine.RunOptions) { o.RestartExited = true })
	h.until("job came back thrice", func() bool { return h.service("job").Restarts >= 3 })
}

func testRunReload(t *testing.T, s *suite) {
	h := s.hold(t, s.recipe(svc("web")))
	h.untilUp()
	h.until("it is saved", func() bool { return len(h.saved) == 1 })
	h.take(func() { h.project = s.recipe(svc("web", env("A=1")), svc("more")) })
	h.reload <- struct{}{}
	h.until("more is up", func() bool { return h.up() && h.service("more").Phase == engine.PhaseUp })
	h.until("it is saved again", func() bool { return len(h.saved) == 2 })
	c, err := s.docker.ContainerInspect(t.Context(), s.project+"-web-1")
	must(t, err)
	if !slices.Contains(c.Config.Env, "A=1") {
		t.Error("web was not replaced")
	}
	h.take(func() { h.loading = errors.New("it is broken") })
	h.reload <- struct{}{}
	h.until("the invalid recipe is told", func() bool { return h.report.Recipe != nil && h.up() })
}

func testRunPrepares(t *testing.T, s *suite) {
	var mu sync.Mutex
	var prepared []int // how many services had the recipes
	refusal := errors.New("a tarball is broken")
	h := s.hold(t, s.recipe(svc("web")), func(o *engine.RunOptions) {
		o.Prepare = func(_ context.Context, _ *engine.Engine, want *compose.Project) error {
			mu.Lock()
			defer mu.Unlock()
			prepared = append(prepared, len(want.Services))
			return refusal
		}
	})
	h.until("the refusal is told", func() bool { return errors.Is(h.report.Err, refusal) })
	if found := s.phases(t); len(found) > 0 {
		t.Fatalf("got %v before the recipe was prepared", found)
	}
	mu.Lock()
	refusal = nil
	mu.Unlock()
	h.take(func() { h.project = s.recipe(svc("web"), svc("more")) })
	h.reload <- struct{}{}
	h.until("more is up", func() bool { return h.up() && h.service("more").Phase == engine.PhaseUp })
	h.mended(func() {
		must(t, s.docker.ContainerRemove(t.Context(), s.project+"-web-1", container.RemoveOptions{Force: true}))
	})
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(prepared, []int{1, 2}) {
		t.Errorf("prepared %v, want each recipe once", prepared)
	}
}

func testRunTurns(t *testing.T, s *suite) {
	h := s.hold(t, s.recipe(svc("db"), svc("web", waits("db", compose.Started))))
	h.untilUp()
	ctx := t.Context()
	db := s.project + "-db-1"

	wishes := h.takeTurn()
	wishes <- engine.Wish{Stopped: true, Services: []string{"db"}}
	must(t, s.docker.ContainerStop(ctx, db, container.StopOptions{}))
	close(wishes)
	h.untilPhase("db", engine.PhaseStopped)
	must(t, s.docker.ContainerKill(ctx, s.project+"-web-1", "KILL"))
	h.untilPhase("web", engine.PhaseWaiting)

	wishes = h.takeTurn()
	wishes <- engine.Wish{Services: []string{"db"}}
	close(wishes)
	h.untilUp()
}

// takeTurn asks the supervisor to be still.
func (h *held) takeTurn() chan<- engine.Wish {
	h.t.Helper()
	granted, wishes := make(chan struct{}), make(chan engine.Wish)
	h.turns <- engine.Turn{Granted: granted, Wishes: wishes}
	select {
	case <-granted:
	case <-time.After(time.Minute):
		h.t.Fatal("no turn was granted")
	}
	return wishes
}

func testRunRestartsAChildOfANamespace(t *testing.T, s *suite) {
	h := s.hold(t, s.recipe(
		svc("net"),
		svc("child", waits("net", compose.Started), func(c *compose.Service) { c.Host.NetworkMode = compose.ServicePrefix + "net" }),
	))
	h.untilUp()
	child := s.project + "-child-1"
	before := h.started(child)
	must(t, s.docker.ContainerRestart(t.Context(), s.project+"-net-1", container.StopOptions{}))
	h.until("the child was put right", func() bool {
		drift := slices.IndexFunc(h.notes, func(n engine.Note) bool {
			return n.Kind == engine.NoteDrift && strings.Contains(n.Text, "whose namespace it shares")
		})
		return drift >= 0 && told(h.notes[drift:], engine.NoteConverged, "") && h.up() && !h.drifts()
	})
	if h.started(child) == before {
		t.Error("the child lives in the namespace that is gone")
	}
}

// drifts tells whether something is not as wanted. The caller holds mu.
func (h *held) drifts() bool {
	return slices.ContainsFunc(h.report.Services, func(s engine.ServiceReport) bool { return len(s.Drift) > 0 })
}

func testRunRestartsTheUnhealthy(t *testing.T, s *suite) {
	h := s.hold(t, s.recipe(svc("web", sh("touch /ok; sleep 1; rm /ok; sleep infinity"), checked("test -f /ok"), func(c *compose.Service) {
		c.RestartUnhealthy = true
	})))
	h.until("it was restarted", func() bool { return told(h.notes, engine.NoteDrift, "is unhealthy") })
	h.untilPhase("web", engine.PhaseUp)
}
