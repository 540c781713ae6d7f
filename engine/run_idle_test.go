package engine_test

import (
	"fmt"
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
