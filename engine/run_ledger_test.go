package engine

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

func TestAnEndThatIsNotToldYetIsWaitedFor(t *testing.T) {
	began := time.Now()
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	for name, c := range map[string]struct {
		phase         string
		finished, now time.Time
		told          time.Time // zero: never
		want          bool
	}{
		"running":                        {phase: container.StateRunning, now: at(10)},
		"ended before anybody listened":  {phase: container.StateExited, finished: at(-5), now: at(1)},
		"ended and told":                 {phase: container.StateExited, finished: at(5), told: at(5).Add(time.Millisecond), now: at(6)},
		"ended and not told":             {phase: container.StateExited, finished: at(5), now: at(6), want: true},
		"ended again, told of the first": {phase: container.StateExited, finished: at(5), told: at(3), now: at(6), want: true},
		"ended, and never told":          {phase: container.StateExited, finished: at(5), now: at(5).Add(eventLag)},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(RunOptions{})
			l.since = began
			if !c.told.IsZero() {
				l.heard(events.Message{Action: events.ActionDie, Actor: events.Actor{ID: "one"}, TimeNano: c.told.UnixNano()})
			}
			have := &Container{Phase: c.phase, Finished: c.finished}
			have.ID = "one"
			if _, got := l.untold(have, c.now); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}
