package engine

import (
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"

	"galley/compose"
)

// TestMountedImagesArePinned holds that what goes back mounts what was mounted then.
func TestMountedImagesArePinned(t *testing.T) {
	service := &compose.Service{Name: "web", Config: container.Config{Image: "app:1"}}
	service.Host.Mounts = []mount.Mount{{Type: mount.TypeImage, Source: "assets:1", Target: "/assets"}, {Type: mount.TypeBind, Source: "/srv", Target: "/srv"}}
	p := &compose.Project{Services: []*compose.Service{service}}
	then := &State{Images: []image.Summary{{ID: "sha256:a", RepoTags: []string{"app:1"}}, {ID: "sha256:b", RepoTags: []string{"assets:1"}}}}
	now := &State{Images: []image.Summary{{ID: "sha256:a", RepoTags: []string{"app:1"}}, {ID: "sha256:b"}, {ID: "sha256:c", RepoTags: []string{"assets:1"}}}}
	back := newDiffer(p, now, DiffOptions{Pins: then.Pins(p)}).pinned(p).Services[0]
	if got := back.Host.Mounts[0].Source; got != "sha256:b" {
		t.Errorf("got %q to be mounted, want what it was", got)
	}
	if service.Host.Mounts[0].Source != "assets:1" || back.Host.Mounts[1].Source != "/srv" {
		t.Error("something else was changed")
	}
}

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
