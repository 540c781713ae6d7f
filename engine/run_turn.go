package engine

import (
	"context"
	"errors"
	"time"
)

// Turn is the request of somebody else to change the project. While it lasts, the loop changes nothing.
type Turn struct {
	// Granted is closed once the loop is still: what was under way has ended, and the lock is free.
	Granted chan<- struct{}
	// Wishes tell what the turn is for; the turn ends when it is closed.
	Wishes <-chan Wish
}

// Wish is what somebody did, or is about to do, that the loop must know of.
type Wish struct {
	// Stopped: the services shall stay as they are, which is stopped or gone; else they shall run again.
	Stopped bool
	// Services are those meant; none means all.
	Services []string
	// Reload: the recipe may have changed.
	Reload bool
	// Scale is how many replicas of services there shall be, until the recipe is loaded again for them.
	Scale map[string]int
	// GoBack: the last good project is in force until the recipe is loaded again.
	GoBack bool
}

// turns are requests, as long as nobody has their turn.
func (s *supervisor) turns() <-chan Turn {
	if s.turn != nil {
		return nil
	}
	return s.opts.Turns
}

func (s *supervisor) wishes() <-chan Wish {
	if s.turn == nil {
		return nil
	}
	return s.turn.Wishes
}

// wished takes a wish into account; without more, the turn is over.
func (s *supervisor) wished(ctx context.Context, w Wish, more bool) {
	s.readSoon(true, 0)
	if !more {
		s.turn = nil
		return
	}
	s.book.wish(w, s.want.Services)
	if w.Reload {
		s.rescale(w)
		// As with a reload.
		_ = s.load(ctx)
	}
	if !w.GoBack {
		return
	}
	if good, pins, err := s.lastGood(); err == nil && good != nil {
		s.condition.rolledBack = &Rollback{At: time.Now(), Err: errors.New("somebody asked for it (galley rollback)")}
		s.enforce(good, pins)
	}
}
