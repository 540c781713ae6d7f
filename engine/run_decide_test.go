package engine

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
)

// TestWhatWasHeardSinceAListIsReadFirst has a service's only container listed as ended. Whatever was told of it since, it is no
// reason to repair before it is read again; a recipe that was just loaded waits for nothing.
func TestWhatWasHeardSinceAListIsReadFirst(t *testing.T) {
	want := &compose.Project{Name: "p", Services: []*compose.Service{{Name: "web", Replicas: 1, Hash: "h"}}}
	ended := &Container{ID: "one", Service: "web", Phase: container.StateExited}
	ended.Number, ended.Hash, ended.Name = 1, "h", "p-web-1"
	have := &State{Project: "p", API: "1.51", Containers: []*Container{ended}}
	for name, c := range map[string]struct {
		heard map[string]bool
		fresh bool
		want  bool
	}{
		"nothing was heard":     {nil, false, true},
		"it was heard of":       {map[string]bool{"one": true}, false, false},
		"of another":            {map[string]bool{"two": true}, false, true},
		"with a recipe at hand": {map[string]bool{"one": true}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(RunOptions{})
			v := l.decide(time.Now(), want, have, c.heard, c.fresh)
			if got := len(v.drift["web"]) > 0; got != c.want {
				t.Errorf("web is to be changed: %t, want %t (held %v)", got, c.want, v.held)
			}
			if got := l.trouble("web").attempts; got > 0 != (c.want && !c.fresh) {
				t.Errorf("%d attempts are counted", got)
			}
		})
	}
}
