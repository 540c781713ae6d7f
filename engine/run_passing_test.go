package engine_test

import (
	"net/http"
	"strings"
	"testing"

	"galley/compose"
	"galley/engine"
	"galley/engine/enginetest"
)

// TestAnUpdateWaitsForItsRegistry has an update fail of a registry that is away: what ran goes on, and the registry's return is
// all that it takes.
func TestAnUpdateWaitsForItsRegistry(t *testing.T) {
	t.Parallel()
	e := enginetest.New(t)
	e.AddImage(enginetest.Image{Ref: "busybox:latest"})
	e.AddRemote(enginetest.Image{Ref: remote}, &enginetest.PullFault{Status: http.StatusInternalServerError, Message: "unexpected EOF"})
	s := newSuite(t, e.Host(), "passing", "10.231.1.0/24")
	h := s.hold(t, s.recipe(svc("web")), func(o *engine.RunOptions) { o.Engine.PullTries = 1 })
	h.untilUp()
	before := h.started("passing-web-1")
	h.take(func() {
		h.project = s.recipe(svc("web", env("A=1"), func(s *compose.Service) { s.Config.Image = remote }))
	})
	h.reload <- struct{}{}
	h.until("the failure is told", func() bool {
		web := h.service("web")
		return web.Phase == engine.PhaseFailed && !web.Final && strings.Contains(web.Err, "unexpected EOF") && !h.report.Busy
	})
	if h.started("passing-web-1") != before {
		t.Error("what ran was stopped")
	}
	e.AddRemote(enginetest.Image{Ref: remote}, nil)
	h.until("the update is made", func() bool {
		web := h.service("web")
		return h.up() && len(web.Containers) == 1 && web.Containers[0].Summary.Image == remote
	})
}
