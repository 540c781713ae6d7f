package engine_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"galley/engine"
	"galley/engine/enginetest"
)

// TestADetachedNetworkIsSeenThoughListsLag detaches a container, of which the Engine tells before its lists show it.
func TestADetachedNetworkIsSeenThoughListsLag(t *testing.T) {
	t.Parallel()
	e := enginetest.New(t)
	e.AddImage(enginetest.Image{Ref: "busybox:latest"})
	s := newSuite(t, e.Host(), "lagging", "10.231.3.0/24")
	h := s.hold(t, s.recipe(svc("web", joins("back", "front"))), func(o *engine.RunOptions) { o.Resync = time.Hour })
	h.untilUp()
	recordWhenInspected(e)
	h.mended(func() { must(t, s.docker.NetworkDisconnect(impatient(t), "lagging_front", "lagging-web-1", false)) })
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.service("web").Containers[0].Summary.NetworkSettings.Networks["lagging_front"] == nil {
		t.Error("the container is not on its network")
	}
}

// TestAPauseIsSeenThoughListsLag pauses a container, of which the Engine tells before its lists show it.
func TestAPauseIsSeenThoughListsLag(t *testing.T) {
	t.Parallel()
	e := enginetest.New(t)
	e.AddImage(enginetest.Image{Ref: "busybox:latest"})
	s := newSuite(t, e.Host(), "paused", "10.231.4.0/24")
	h := s.hold(t, s.recipe(svc("web")), func(o *engine.RunOptions) { o.Resync = time.Hour })
	h.untilUp()
	recordWhenInspected(e)
	must(t, s.docker.ContainerPause(impatient(t), "paused-web-1"))
	h.until("the pause is seen", func() bool { return h.service("web").Why == "is paused" })
	h.neverAdrift()
}

// recordWhenInspected holds the Engine's records up until somebody inspects a container.
func recordWhenInspected(e *enginetest.Engine) {
	until := make(chan struct{})
	inspected := sync.OnceFunc(func() { close(until) })
	e.HoldRecords(until)
	e.Intercept(func(c enginetest.Call) *enginetest.Fault {
		if c.Op == "GET /containers/*/json" {
			inspected()
		}
		return nil
	})
}

// impatient ends with the test, or a minute from now: what waits for a record waits for the supervisor.
func impatient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
