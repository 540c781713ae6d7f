package engine_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/docker/docker/api/types/container"

	"galley/engine"
	"galley/engine/enginetest"
)

// begunLate is a supervised web whose first start waits until start is closed.
func begunLate(t *testing.T, name string, intercept func(enginetest.Call) *enginetest.Fault) (h *held, start func()) {
	t.Helper()
	e := enginetest.New(t)
	e.AddImage(enginetest.Image{Ref: "busybox:latest"})
	s := newSuite(t, e.Host(), name, "10.231.2.0/24")
	released := make(chan struct{})
	e.Intercept(func(c enginetest.Call) *enginetest.Fault {
		if c.Op == "POST /containers/*/start" {
			select {
			case <-released:
			case <-t.Context().Done():
			}
		}
		return intercept(c)
	})
	return s.hold(t, s.recipe(svc("web", joins("back")))), sync.OnceFunc(func() { close(released) })
}

// neverAdrift fails the test if the supervisor saw something to repair.
func (h *held) neverAdrift() {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if told(h.notes, engine.NoteDrift, "") || h.service("web").Restarts != 0 {
		h.t.Errorf("what was as wanted was to be repaired: %d restarts, notes %+v", h.service("web").Restarts, h.notes)
	}
}

// TestWhatWasReadAmidAChangeIsNotJudgedAfterIt has the containers read before the only one is started, in the middle of the
// walk. After the walk that is no reason to start it.
func TestWhatWasReadAmidAChangeIsNotJudgedAfterIt(t *testing.T) {
	t.Parallel()
	h, start := begunLate(t, "amid", func(enginetest.Call) *enginetest.Fault { return nil })
	h.until("web is seen before its start", func() bool {
		web := h.service("web")
		return h.report.Busy && len(web.Containers) == 1 && web.Containers[0].Phase == container.StateCreated
	})
	start()
	h.untilUp()
	h.neverAdrift()
}

// TestWhatIsReadFromAmidAChangeIsNotJudged has the Engine answer after the walk what was so in the middle of it.
func TestWhatIsReadFromAmidAChangeIsNotJudged(t *testing.T) {
	t.Parallel()
	var walking atomic.Bool
	var once sync.Once
	listed, answer := make(chan struct{}), make(chan struct{})
	h, start := begunLate(t, "late", func(c enginetest.Call) (fault *enginetest.Fault) {
		if c.Op == "POST /containers/create" {
			walking.Store(true)
		}
		if c.Op == "GET /containers/json" && walking.Load() {
			once.Do(func() {
				fault = &enginetest.Fault{Late: func() {
					close(listed)
					select {
					case <-answer:
					case <-t.Context().Done():
					}
				}}
			})
		}
		return fault
	})
	<-listed
	start()
	h.until("the walk has ended", func() bool { return told(h.notes, engine.NoteConverged, "") })
	close(answer)
	h.untilUp()
	h.neverAdrift()
}
