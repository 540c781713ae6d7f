package engine_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"galley/compose"
	"galley/engine"
	"galley/engine/enginetest"
)

// TestAnIdleSupervisorAsksNothing holds thirty services, and looks at what the Engine is asked when nothing happens.
func TestAnIdleSupervisorAsksNothing(t *testing.T) {
	t.Parallel()
	e := enginetest.New(t)
	e.AddImage(enginetest.Image{Ref: "busybox:latest"})
	s := newSuite(t, e.Host(), "idle", "10.230.0.0/24")
	var services []*compose.Service
	for i := range 30 {
		services = append(services, svc(fmt.Sprintf("s%02d", i)))
	}
	h := s.hold(t, s.recipe(services...), func(o *engine.RunOptions) { o.Resync = time.Hour })
	h.untilUp()
	h.until("it is saved", func() bool { return len(h.saved) == 1 })
	h.mended(func() { must(t, s.docker.ContainerKill(t.Context(), "idle-s00-1", "KILL")) })
	e.ResetCalls()
	select {
	case <-time.After(2 * time.Second):
	case err := <-h.ended:
		t.Fatalf("the supervisor ended: %v", err)
	}
	if calls := e.Calls(); len(calls) != 0 {
		t.Errorf("an idle supervisor asked: %v", e.Count())
	}
}

// TestARepairAsksOnce counts what the Engine is asked from a kill to the end of the repair. The containers are listed to see
// that something is to be done, everything is read under the lock, and then the containers again, for what came of it; the one
// that was killed is inspected for its end and for its new beginning. Events that come late may have them looked at once more.
func TestARepairAsksOnce(t *testing.T) {
	t.Parallel()
	e := enginetest.New(t)
	e.AddImage(enginetest.Image{Ref: "busybox:latest"})
	s := newSuite(t, e.Host(), "repair", "10.231.0.0/24")
	h := s.hold(t, s.recipe(svc("db"), svc("web")), func(o *engine.RunOptions) { o.Resync = time.Hour })
	h.untilUp()
	h.until("it is saved", func() bool { return len(h.saved) == 1 })
	h.started("repair-web-1") // so that the test's own client has agreed on a version
	e.ResetCalls()
	h.mended(func() { must(t, s.docker.ContainerKill(t.Context(), "repair-web-1", "KILL")) })
	got := e.Count()
	t.Logf("a repair asked %v", got)
	for call, most := range map[string]int{"GET /containers/json": 3, "GET /containers/*/json": 2} {
		if n := got[call]; n < most || n > most+2 {
			t.Errorf("%s %d times, want %d", call, n, most)
		}
		delete(got, call)
	}
	want := map[string]int{
		"POST /containers/*/kill": 1, "POST /containers/*/start": 1, "GET /networks": 1, "GET /volumes": 1, "GET /images/json": 1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("a repair asked %v besides, want %v", got, want)
	}
}
