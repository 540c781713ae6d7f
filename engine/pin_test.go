package engine

import (
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"galley/compose"
)

// TestWhatCameWithATarballIsPinnedByItsDigest: also where the recipe names another image by now.
func TestWhatCameWithATarballIsPinnedByItsDigest(t *testing.T) {
	ones, twos := strings.Repeat("1", 64), strings.Repeat("2", 64)
	service := &compose.Service{Name: "web", Config: container.Config{Image: "reg.example/app:1@sha256:" + twos}}
	s := &State{
		Images: []image.Summary{
			{ID: "sha256:a", RepoTags: []string{"other:sha256-" + twos, "reg.example/app:sha256-" + ones}},
			{ID: "sha256:b", RepoTags: []string{"reg.example/app:sha256-" + twos}},
		},
		Containers: []*Container{{Service: "web", ImageID: "sha256:a"}},
	}
	p := &compose.Project{Services: []*compose.Service{service}}
	want := Pin{ID: "sha256:a", Digest: "reg.example/app@sha256:" + ones}
	if got := s.Pins(p)[service.Config.Image]; got != want {
		t.Errorf("got %+v of what runs, want %+v", got, want)
	}
	s.Containers = nil
	want = Pin{ID: "sha256:b", Digest: "reg.example/app@sha256:" + twos}
	if got := s.Pins(p)[service.Config.Image]; got != want {
		t.Errorf("got %+v of what would run, want %+v", got, want)
	}
}
