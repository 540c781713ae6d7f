package engine_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"galley/engine"
)

func testUsages(t *testing.T, s *suite) {
	p := s.recipe(svc("web"), svc("late"))
	s.mustUp(t, p, engine.DiffOptions{Services: []string{"web"}})
	once, err := s.engine.Usages(t.Context(), s.state(t).Containers)
	if err != nil || len(once) != 1 || once[0].Memory == 0 || once[0].Limit < once[0].Memory || once[0].Processes == 0 {
		t.Fatalf("got %+v, error %v, want what web uses", once, err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	enough := errors.New("seen enough")
	begun := make(chan error, 1)
	step := 0
	err = s.engine.FollowUsages(ctx, s.project, func(*engine.Container) bool { return true }, func(now []engine.Usage) error {
		running := map[string]bool{}
		for _, u := range now {
			running[u.Container.Service] = u.Processes > 0
		}
		switch {
		case step == 0 && running["web"]:
			step = 1
			go func() { begun <- s.converge(ctx, p, engine.DiffOptions{}) }()
		case step == 1 && running["web"] && running["late"]:
			step = 2
			now := 0
			return s.docker.ContainerStop(ctx, s.inspect(t, "web-1").ID, container.StopOptions{Timeout: &now})
		case step == 2 && !running["web"] && running["late"]:
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("after step %d: %v", step, err)
	}
	if err := <-begun; err != nil {
		t.Error(err)
	}
}
