package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
	"galley/engine"
)

func hook(script string) compose.Hook { return compose.Hook{Command: []string{"sh", "-c", script}} }

// testHooks has each hook write into a volume that the next one reads: a wrong order fails.
func testHooks(t *testing.T, s *suite) {
	build := func(level string) *compose.Project {
		return s.recipe(svc("web", env("LEVEL="+level), func(svc *compose.Service) {
			svc.Host.Binds = []string{s.project + "_trail:/trail"}
			svc.PreStart = []compose.Init{{Config: container.Config{Image: "busybox:latest", Cmd: []string{"sh", "-c", "echo init-" + level + " >> /trail/log"}}}}
			svc.PostStart = []compose.Hook{hook("echo up-$LEVEL >> /trail/log")}
			svc.PreStop = []compose.Hook{hook("echo bye-$LEVEL >> /trail/log")}
		}), svc("reader", runs("cat", "/trail/log"), waits("web", compose.Started), func(svc *compose.Service) {
			svc.Host.Binds = []string{s.project + "_trail:/trail"}
		}), svc("after", waits("reader", compose.Completed)))
	}
	t.Cleanup(func() { s.docker.VolumeRemove(context.Background(), s.project+"_trail", true) })
	s.mustUp(t, build("1"), engine.DiffOptions{Wait: true})
	s.mustUp(t, build("2"), engine.DiffOptions{Wait: true})
	s.expect(t, map[string]string{"web-1": "running", "reader-1": "exited", "after-1": "running"})
	read := build("2")
	read.Service("reader").Hash = "2:again"
	s.mustUp(t, read, engine.DiffOptions{Wait: true})
	var lines []string
	err := s.engine.Logs(t.Context(), engine.LogOptions{Project: s.project, Containers: s.state(t).Containers}, func(l engine.LogLine) {
		if l.Service == "reader" {
			lines = append(lines, l.Text)
		}
	})
	want := []string{"init-1", "up-1", "bye-1", "init-2", "up-2"}
	if err != nil || !slices.Equal(lines, want) {
		t.Errorf("the hooks left %q (%v), want %q", lines, err, want)
	}
}

// testPartingHook replaces a container that ends while its pre_stop runs, as one does that was being stopped already.
func testPartingHook(t *testing.T, s *suite) {
	build := func(level string) *compose.Project {
		return s.recipe(svc("web", env("LEVEL="+level), sh("trap 'exit 0' TERM; sleep infinity & wait"), func(svc *compose.Service) {
			svc.PreStop = []compose.Hook{hook("kill 1; sleep 60")}
		}))
	}
	s.mustUp(t, build("1"), engine.DiffOptions{})
	s.mustUp(t, build("2"), engine.DiffOptions{})
	s.expect(t, map[string]string{"web-1": "running"})
}

func testFailedHook(t *testing.T, s *suite) {
	err := s.up(t, s.recipe(svc("web", func(svc *compose.Service) { svc.PostStart = []compose.Hook{hook("echo no disk; exit 7")} })), engine.DiffOptions{})
	var step *engine.StepError
	if !errors.As(err, &step) || !strings.Contains(err.Error(), "post_start[0] exited with code 7") || !slices.Equal(step.Logs, []string{"no disk"}) {
		t.Errorf("got error %v, want the hook by name, its code and output", err)
	}
}
