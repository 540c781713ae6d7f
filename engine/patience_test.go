package engine_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"galley/engine"
	"galley/engine/enginetest"
)

// TestASlowEngineIsNotAway has a list take longer than a read may, of an Engine that answers pings, and of one that doesn't.
func TestASlowEngineIsNotAway(t *testing.T) {
	t.Parallel()
	for name, alive := range map[string]bool{"slow": true, "away": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := enginetest.New(t)
			s := newSuite(t, e.Host(), name, "")
			slow, err := engine.Connect(t.Context(), engine.Options{Host: e.Host(), AnswerWithin: 400 * time.Millisecond})
			must(t, err)
			defer slow.Close()
			asked := make(chan struct{}, 10)
			e.Intercept(func(c enginetest.Call) *enginetest.Fault {
				switch {
				case strings.HasSuffix(c.Op, " /_ping"):
					asked <- struct{}{}
					if !alive {
						return &enginetest.Fault{Hang: true}
					}
				case c.Op == "GET /containers/json": // not before its time is over
					select {
					case <-asked:
					case <-t.Context().Done():
					}
					if !alive {
						return &enginetest.Fault{Hang: true}
					}
				}
				return nil
			})
			_, err = slow.State(t.Context(), s.project)
			e.Intercept(nil)
			if alive && err != nil || !alive && !unreachable(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func unreachable(err error) bool {
	var away *engine.UnreachableError
	return errors.As(err, &away)
}

// TestAListThatNeverComesIsGivenUp has the Engine answer all but one list.
func TestAListThatNeverComesIsGivenUp(t *testing.T) {
	t.Parallel()
	e := enginetest.New(t)
	s := newSuite(t, e.Host(), "never", "")
	slow, err := engine.Connect(t.Context(), engine.Options{Host: e.Host(), AnswerWithin: 400 * time.Millisecond})
	must(t, err)
	defer slow.Close()
	e.Intercept(func(c enginetest.Call) *enginetest.Fault {
		if c.Op == "GET /images/json" {
			return &enginetest.Fault{Hang: true}
		}
		return nil
	})
	if _, err = slow.State(t.Context(), s.project); !unreachable(err) || !strings.Contains(err.Error(), "no answer within 1.2s") {
		t.Errorf("got %v", err)
	}
}

// TestAContainerThatCannotBeAskedKeepsNobodyElse has the Engine tell nothing of one container any more, as while that one is
// mounted something that does not answer. Others are repaired, and nobody says that the Engine is away.
func TestAContainerThatCannotBeAskedKeepsNobodyElse(t *testing.T) {
	t.Parallel()
	e := enginetest.New(t)
	e.AddImage(enginetest.Image{Ref: "busybox:latest"})
	s := newSuite(t, e.Host(), "mute", "10.231.5.0/24")
	h := s.hold(t, s.recipe(svc("mute"), svc("web")), func(o *engine.RunOptions) { o.Engine.AnswerWithin = time.Second })
	h.untilUp()
	mute := "/containers/" + h.id("mute-mute-1") + "/json"
	before := h.started("mute-web-1")
	var asked atomic.Int32
	e.Intercept(func(c enginetest.Call) *enginetest.Fault {
		if c.Path == mute {
			asked.Add(1)
			return &enginetest.Fault{Hang: true}
		}
		return nil
	})
	must(t, s.docker.ContainerPause(t.Context(), "mute-mute-1"))
	_, err := s.docker.ContainerUpdate(t.Context(), "mute-mute-1", container.UpdateConfig{Resources: container.Resources{CPUShares: 10}})
	must(t, err)
	must(t, s.docker.ContainerKill(t.Context(), "mute-web-1", "KILL"))
	h.until("web runs again", func() bool { return h.service("web").Restarts == 1 && h.service("web").Phase == engine.PhaseUp })
	if h.started("mute-web-1") == before || asked.Load() == 0 {
		t.Errorf("web did not start anew, or mute was not asked about (%d times)", asked.Load())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if told(h.notes, engine.NoteFailed, "") || told(h.notes, engine.NoteLost, "") {
		t.Errorf("a failure was told: %+v", h.notes)
	}
}
