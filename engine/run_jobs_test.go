package engine_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
	"galley/engine"
)

// every makes a service one that runs each second.
func every(s *compose.Service) { s.Replicas, s.Schedule = 0, "@every 1s" }

func testRunAtTimes(t *testing.T, s *suite) {
	p := s.recipe(svc("job", sh("exit 3"), every), svc("web"))
	must(t, s.up(t, p, engine.DiffOptions{}))
	if _, there := s.phases(t)[s.project+"-job-1"]; there {
		t.Error("up started what runs at times")
	}
	h := s.hold(t, p)
	h.until("job ran twice", func() bool {
		job := h.service("job").Job
		return job != nil && job.Runs >= 2 && len(job.Results) >= 2
	})
	h.until("its end is told", func() bool { return strings.Contains(h.service("job").Why, "exited with code 3") })
	h.mu.Lock()
	defer h.mu.Unlock()
	job := h.service("job")
	if r := job.Job.Results; !r[0].Finished.After(r[1].Finished) || r[0].Code != 3 {
		t.Errorf("got the results %+v, want the latest first, with code 3", r)
	}
	if job.Phase != engine.PhaseUp || !job.Job.Next.After(job.Job.Results[0].Started) || job.Restarts != 0 {
		t.Errorf("got %+v, want a service that is up and has a next time", job)
	}
	if n := h.service("web").Restarts; n != 0 {
		t.Errorf("web was restarted %d times", n)
	}
}

func testRunAtTimesWithoutOverlap(t *testing.T, s *suite) {
	h := s.hold(t, s.recipe(svc("job", every)))
	h.until("a time passed", func() bool {
		job := h.service("job").Job
		return job != nil && job.Runs == 1 && job.Skipped >= 1 && strings.Contains(h.service("job").Why, "it still ran")
	})
	if n := len(s.phases(t)); n != 1 {
		t.Errorf("%d containers are there, want the one that runs", n)
	}
}

func restarts(name container.RestartPolicyMode, most int) func(*compose.Service) {
	return func(s *compose.Service) {
		s.Host.RestartPolicy = container.RestartPolicy{Name: name, MaximumRetryCount: most}
	}
}

func testRunOwnRestarts(t *testing.T, s *suite) {
	p := s.recipe(
		svc("always", sh("exit 0"), restarts(container.RestartPolicyAlways, 0)),
		svc("failing", sh("exit 3"), restarts(container.RestartPolicyOnFailure, 2)),
		svc("fine", sh("exit 0"), restarts(container.RestartPolicyOnFailure, 0)),
		svc("no", sh("exit 3"), restarts(container.RestartPolicyDisabled, 0)),
		svc("unless", sh("exit 3"), restarts(container.RestartPolicyUnlessStopped, 0)),
	)
	h := s.hold(t, p, func(o *engine.RunOptions) { o.Diff.OwnRestarts = true })
	h.until("those that always run came back", func() bool { return h.service("always").Restarts >= 2 && h.service("unless").Restarts >= 2 })
	h.until("failing is given up", func() bool { return h.service("failing").Final })
	h.until("no is left", func() bool { return h.service("no").Final })
	h.untilPhase("fine", engine.PhaseCompleted)
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, want := range map[string]int{"failing": 2, "fine": 0, "no": 0} {
		if got := h.service(name).Restarts; got != want {
			t.Errorf("%s was restarted %d times, want %d", name, got, want)
		}
	}
	for _, one := range p.Services {
		c, err := s.docker.ContainerInspect(t.Context(), s.project+"-"+one.Name+"-1")
		must(t, err)
		if !c.HostConfig.RestartPolicy.IsNone() {
			t.Errorf("the engine restarts %s: %s", one.Name, c.HostConfig.RestartPolicy.Name)
		}
	}
}

func testRunOnlyReports(t *testing.T, s *suite) {
	h := s.hold(t, s.recipe(svc("web")), func(o *engine.RunOptions) { o.NoRepair = true })
	h.untilUp()
	must(t, s.docker.ContainerRemove(t.Context(), s.project+"-web-1", container.RemoveOptions{Force: true}))
	h.until("the drift is told", func() bool {
		return len(h.service("web").Drift) > 0 && h.service("web").Phase == engine.PhaseFailed && h.service("web").Final
	})
	if found := s.phases(t); len(found) != 0 {
		t.Errorf("got %v, want nothing repaired", found)
	}
	h.reload <- struct{}{}
	h.untilUp()
}

func testRunRollsBack(t *testing.T, s *suite) {
	good := s.recipe(svc("web"))
	h := s.hold(t, good, func(o *engine.RunOptions) {
		o.RollBackAfter = 3 * time.Second
		o.LastGood = func() (*compose.Project, map[string]engine.Pin, error) { return good, nil, nil }
	})
	h.until("it is saved", func() bool { return len(h.saved) == 1 && h.up() })
	h.take(func() { h.project = s.recipe(svc("web", sh("exit 3"))) })
	h.reload <- struct{}{}
	h.until("it is rolled back", func() bool { return h.report.RolledBack != nil && h.up() })
	h.mu.Lock()
	defer h.mu.Unlock()
	if !strings.Contains(h.report.RolledBack.Err.Error(), "not up within 3s") || len(h.saved) != 1 {
		t.Errorf("rolled back because of %v, with %d projects saved", h.report.RolledBack.Err, len(h.saved))
	}
	if !slices.ContainsFunc(h.notes, func(n engine.Note) bool { return n.Kind == engine.NoteRolledBack }) {
		t.Error("nobody was told")
	}
}
