package engine

import (
	"context"
	"time"

	"galley/compose"
)

// Run holds a project as its recipe wants it until ctx ends: it loads, observes, compares and applies, and then waits for
// an event of the Engine, a reload or the next resync. It returns an error only where there is nothing to hold: no recipe
// that can be read, and none that was good before. When ctx ends the containers are left as they are.
func Run(ctx context.Context, opts RunOptions) error {
	s := newSupervisor(opts)
	defer s.close()
	if err := s.load(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		s.advance(ctx)
		s.publish()
		s.wait(ctx)
	}
	return nil
}

// supervisor is the loop: one goroutine, which starts at most one reading and one change at a time and is told when they end.
type supervisor struct {
	opts RunOptions
	want *compose.Project
	book *ledger
	// have and facts are what was read last; dirty are the containers of which something was heard since that was asked for.
	have  *State
	facts map[string]*Facts
	dirty map[string]bool
	// told is when something was heard of a container last, by id; times that don't matter any more are dropped.
	told map[string]time.Time

	link       *link
	links      chan *link
	connecting bool
	pause      time.Duration // before the next attempt to connect, at retry
	retry      time.Time

	reading  bool
	readings chan *reading
	work     *work
	done     chan *work
	steps    chan Event // from the walk's goroutine
	quit     chan struct{}

	turn    *Turn
	granted bool

	// raw: a recipe was loaded and is not prepared yet; after a failure not before rest. fresh: it is not applied yet. look:
	// there is something new to be read, at lookAt; with all, not of containers alone. unjudged: what was read has not been
	// compared yet. stale: something was changed here since that reading began, so that it is not to be compared.
	raw, fresh, look, all, unjudged, stale bool
	rest                                   time.Time
	lookAt, resync                         time.Time
	// inFull: what is known of settings is not enough, somebody changed some; wasInFull: what was read last has them all.
	inFull, wasInFull bool

	// scale is how many replicas somebody asked for, by service.
	scale map[string]int
	// jobs are the services that run at times, by name.
	jobs map[string]*job

	verdict   verdict
	condition condition
	published Report
}

func newSupervisor(opts RunOptions) *supervisor {
	if opts.Resync == 0 {
		opts.Resync = defaultResync
	}
	return &supervisor{
		opts:      opts,
		book:      newLedger(opts),
		facts:     map[string]*Facts{},
		dirty:     map[string]bool{},
		told:      map[string]time.Time{},
		links:     make(chan *link),
		readings:  make(chan *reading),
		done:      make(chan *work),
		steps:     make(chan Event),
		quit:      make(chan struct{}),
		condition: condition{since: map[string]phaseSince{}},
	}
}

// close ends what is under way. A walk gets a moment to finish its steps; what it can't, the Engine does by itself.
func (s *supervisor) close() {
	moment := time.After(lastMoment)
	for w := s.work; w != nil; {
		w.cancel()
		select {
		case e := <-s.steps:
			s.stepped(e)
			continue
		case ended := <-s.done:
			ended.free()
		case <-moment:
		}
		w = nil
	}
	close(s.quit)
	s.link.close()
}

// lastMoment is how long the end waits for the steps under way.
const lastMoment = 700 * time.Millisecond

func (s *supervisor) note(n Note) {
	if s.opts.Note != nil {
		s.opts.Note(n)
	}
}

// advance starts what is to be done now.
func (s *supervisor) advance(ctx context.Context) {
	now := time.Now()
	if s.turn != nil && s.work == nil && !s.granted {
		s.granted = true
		close(s.turn.Granted)
		s.note(Note{Kind: NoteYielded})
	}
	s.rollBack(now)
	if s.link == nil {
		s.runJobs(ctx, now)
		s.connect(ctx, now)
		return
	}
	if s.reading || s.work != nil && !s.work.walking {
		return
	}
	if s.have != nil && !s.look && !now.Before(s.resync) {
		s.readSoon(true, 0)
	}
	if s.look && !now.Before(s.lookAt) {
		s.observe(ctx)
		return
	}
	if s.runJobs(ctx, now) {
		return
	}
	if s.have == nil || s.stale || s.work != nil || now.Before(s.rest) || !(s.unjudged || s.fresh || due(s.verdict.next, now)) {
		return
	}
	if v := s.judge(now); (!v.empty || s.raw) && s.turn == nil {
		s.prepare(ctx)
	}
}

func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// judge compares what is wanted with what was read last, and remembers the verdict.
func (s *supervisor) judge(now time.Time) verdict {
	v := s.book.decide(now, s.want, s.have, s.dirty, s.fresh)
	s.unjudged = false
	if !s.fresh {
		s.tellDrift(v)
	}
	if v.empty && !s.raw && s.turn == nil && !(s.opts.NoRepair && len(v.drift) > 0) {
		s.fresh = false
	}
	s.tellWarnings(v)
	s.verdict = v
	return v
}

// wait sleeps until there is something new.
func (s *supervisor) wait(ctx context.Context) {
	timer := time.NewTimer(time.Until(s.nextMoment()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case l := <-s.links:
		s.linked(l)
	case m := <-s.link.messages():
		s.heard(m)
	case err := <-s.link.errs():
		s.lost(err)
	case r := <-s.readings:
		s.read(r)
	case <-s.opts.Reload:
		s.interrupt()
		s.scale = nil
		// What can't be loaded is told by load, and what was in force stays.
		_ = s.load(ctx)
	case t := <-s.turns():
		s.turn, s.granted = &t, false
		s.interrupt()
	case w, more := <-s.wishes():
		s.wished(ctx, w, more)
	case e := <-s.steps:
		s.stepped(e)
	case w := <-s.done:
		s.ended(ctx, w)
	}
}

// nextMoment is when the clock alone gives something to do.
func (s *supervisor) nextMoment() time.Time {
	next := time.Now().Add(time.Hour)
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	earlier(s.rollBackAt())
	earlier(s.jobsAt())
	switch {
	case s.link == nil && !s.connecting:
		earlier(s.retry)
	case s.link == nil, s.reading, s.work != nil && !s.work.walking:
	default:
		earlier(s.resync)
		if s.look {
			earlier(s.lookAt)
		}
		if s.turn == nil && s.work == nil && !s.stale {
			earlier(s.verdict.next)
		}
	}
	return next
}
