package engine_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"galley/compose"
	"galley/engine"
	"galley/engine/enginetest"
)

// What of the suite is about deploy.update_config and rollback_config.

// replicated is a service of two replicas that is updated and put back so; a command that ends makes its update fail.
func (s *suite) replicated(command string, update, rollback compose.Update) *compose.Project {
	update.Monitor = max(update.Monitor, time.Second)
	return s.recipe(svc("web", sh(command), func(s *compose.Service) { s.Replicas, s.Update, s.Rollback = 2, update, rollback }))
}

// testFailureActions holds what becomes of the other replicas when one fails, and that the next up heals either.
func testFailureActions(t *testing.T, s *suite) {
	for action, want := range map[compose.FailureAction][]string{
		// The old one of the first group is stopped beside its failed successor; the second was created and not begun.
		compose.FailurePause:    {"created", "exited", "exited", "running"},
		compose.FailureContinue: {"exited", "exited", "exited", "exited"},
	} {
		update := compose.Update{Parallelism: 1, OnFailure: action, Monitor: time.Minute}
		s.mustUp(t, s.replicated("sleep 1000", compose.Update{}, compose.Update{}), engine.DiffOptions{})
		err := s.up(t, s.replicated("exit 3", update, compose.Update{}), engine.DiffOptions{})
		if err == nil || wasPutBack(err) {
			t.Errorf("%s: got error %v, want one without a rollback", action, err)
		}
		if got := slices.Sorted(maps.Values(s.phases(t))); !slices.Equal(got, want) {
			t.Errorf("%s: got containers %v, want %v", action, s.phases(t), want)
		}
		s.mustUp(t, s.replicated("sleep 2000", compose.Update{}, compose.Update{}), engine.DiffOptions{})
		s.expect(t, map[string]string{"web-1": "running", "web-2": "running"})
	}
}

// testPace holds that monitor and delay pass between one group of replicas and the next, in an update and when it is put
// back.
func testPace(t *testing.T, s *suite) {
	pace := compose.Update{Parallelism: 1, Delay: 300 * time.Millisecond, Monitor: 1200 * time.Millisecond}
	between := func() time.Duration {
		t.Helper()
		first, second := instant(t, s.inspect(t, "web-1").State.StartedAt), instant(t, s.inspect(t, "web-2").State.StartedAt)
		return second.Sub(first)
	}
	s.mustUp(t, s.replicated("sleep 1000", compose.Update{}, compose.Update{}), engine.DiffOptions{})
	s.mustUp(t, s.replicated("sleep 2000", pace, compose.Update{}), engine.DiffOptions{})
	if got := between(); got < pace.Monitor+pace.Delay {
		t.Errorf("the second replica was replaced %s after the first, want %s", got, pace.Monitor+pace.Delay)
	}
	err := s.up(t, s.replicated("exit 3", compose.Update{Monitor: time.Minute}, pace), engine.DiffOptions{})
	if !wasPutBack(err) {
		t.Fatalf("got error %v, want that the update was put back", err)
	}
	if got := between(); got < pace.Monitor+pace.Delay {
		t.Errorf("the second replica was put back %s after the first, want %s", got, pace.Monitor+pace.Delay)
	}
}

func wasPutBack(err error) bool {
	var back *engine.RolledBackError
	return errors.As(err, &back)
}

// TestARollbackThatFailsIsToldAndHealed refuses to start the old container again when a failed update is put back.
func TestARollbackThatFailsIsToldAndHealed(t *testing.T) {
	memory, s, _ := inMemory(t, "1.51")
	s.mustUp(t, s.recipe(svc("db")), engine.DiffOptions{})
	old := s.inspect(t, "db-1").ID
	var once sync.Once
	memory.Intercept(func(c enginetest.Call) (fault *enginetest.Fault) {
		if strings.Contains(c.Path, old+"/start") {
			once.Do(func() { fault = &enginetest.Fault{Status: 500, Message: "injected"} })
		}
		return fault
	})
	err := s.up(t, s.recipe(svc("db", sh("exit 3"), watched)), engine.DiffOptions{})
	memory.Intercept(nil)
	var back *engine.RolledBackError
	if !errors.As(err, &back) || back.Restore == nil || !strings.Contains(back.Restore.Error(), "injected") {
		t.Fatalf("got error %v, want that putting back failed as well", err)
	}
	if got := s.inspect(t, "db-1"); got.ID != old {
		t.Error("the old container is gone")
	}
	s.mustUp(t, s.recipe(svc("db")), engine.DiffOptions{})
	s.expect(t, map[string]string{"db-1": "running"})
	if s.inspect(t, "db-1").ID != old {
		t.Error("the next up did not start the old container again")
	}
}
