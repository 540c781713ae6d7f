package main

import (
	"testing"
	"time"

	"galley/bosh"
)

func TestAServiceIsUpOnlyWhenItIsSteady(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	for _, tt := range []struct {
		name  string
		state string
		c     bosh.ContainerStatus
		left  time.Duration
		want  string
	}{
		{"it runs for long", "up", bosh.ContainerStatus{State: "running", Started: ago(time.Minute)}, 0, "up"},
		{"it runs for just long enough", "up", bosh.ContainerStatus{State: "running", Started: ago(10 * time.Second)}, 0, "up"},
		{"it has just started", "up", bosh.ContainerStatus{State: "running", Started: ago(3 * time.Second)}, 7 * time.Second, "starting"},
		{"it has just started, and is healthy", "up", bosh.ContainerStatus{State: "running", Health: "healthy", Started: ago(0)}, 0, "up"},
		{"it has just completed", "completed", bosh.ContainerStatus{State: "exited", Started: ago(time.Second)}, 0, "completed"},
		{"it has failed", "failed", bosh.ContainerStatus{State: "exited", Started: ago(time.Second)}, 0, "failed"},
	} {
		s := &bosh.Status{Up: tt.want != "failed", Services: []bosh.ServiceStatus{{Name: "web", State: tt.state, Containers: []bosh.ContainerStatus{tt.c}}}}
		left := awaitSteady(s, 10*time.Second, now)
		if got := s.Services[0].State; left != tt.left || got != tt.want || s.Up != (tt.want == "up" || tt.want == "completed") {
			t.Errorf("%s: got %s (up: %t) and %s to wait, want %s and %s", tt.name, got, s.Up, left, tt.want, tt.left)
		}
	}
}
