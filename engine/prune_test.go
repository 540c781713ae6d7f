package engine_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
	"galley/engine"
	"galley/engine/enginetest"
	"galley/engine/enginetest/dockerd"
)

// TestPrune has images of the project's repositories and of another's, wanted, in use, old and untagged.
func TestPrune(t *testing.T) {
	t.Parallel()
	e := enginetest.New(t)
	s := newSuite(t, e.Host(), "prune", "")
	for _, ref := range []string{"app:1", "app:2", "app:3", "db:1", "other:1", "busybox:latest"} {
		e.AddImage(enginetest.Image{Ref: ref, Layers: []string{ref}})
	}
	if _, err := s.docker.ContainerCreate(t.Context(), &container.Config{Image: "app:1", Cmd: []string{"true"}}, nil, nil, nil, "somebodys"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		ask  engine.Prune
		want []string
	}{
		{"older tags go, what is wanted or in use stays", engine.Prune{Wanted: []string{"app:3"}}, []string{"app:2"}},
		{"what was known once goes too", engine.Prune{Wanted: []string{"app:3"}, Known: []string{"db:2"}}, []string{"app:2", "db:1"}},
		{"other repositories go when asked", engine.Prune{Wanted: []string{"app:3", "busybox"}, All: true}, []string{"app:2", "db:1", "other:1"}},
		{"what is young stays", engine.Prune{Wanted: []string{"app:3"}, Age: time.Since(time.Unix(0, 0)) + time.Hour}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan, unwanted, err := s.engine.PlanPrune(t.Context(), test.ask)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, u := range unwanted {
				names = append(names, u.Names...)
			}
			slices.Sort(names)
			if !slices.Equal(names, test.want) || len(plan.Steps) != len(test.want) {
				t.Errorf("got %q in %d steps, want %q", names, len(plan.Steps), test.want)
			}
		})
	}
	plan, _, err := s.engine.PlanPrune(t.Context(), engine.Prune{Wanted: []string{"app:3"}})
	if err == nil {
		err = s.engine.Apply(t.Context(), plan)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.docker.ImageInspect(t.Context(), "app:2"); err == nil {
		t.Error("app:2 is still there")
	}
	for _, ref := range []string{"app:1", "app:3", "other:1"} {
		if _, err := s.docker.ImageInspect(t.Context(), ref); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestAPullNeedsRoom(t *testing.T) {
	t.Parallel()
	host := dockerd.ForTest(t).Host()
	s := newSuite(t, host, "pullroom", "")
	image := svc("web", func(s *compose.Service) { s.Config.Image = "localhost:1/nowhere:1"; s.Pull.Policy = compose.PullAlways })
	for room, refused := range map[int64]bool{1 << 62: true, -1: false} {
		e, err := engine.Connect(t.Context(), engine.Options{Host: host, PullRoom: room, PullTries: 1})
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Converge(t.Context(), s.recipe(image), s.state(t), engine.DiffOptions{})
		var space *engine.SpaceError
		var missing *engine.ImageError
		if !errors.As(err, &missing) || errors.As(err, &space) != refused {
			t.Errorf("room %d: got error %v", room, err)
		}
		e.Close()
	}
}
