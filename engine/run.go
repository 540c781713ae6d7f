package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"galley/compose"
)

// RunOptions say how a project is held as its recipe wants it. Its functions are called from one goroutine, but for Lock and Prepare.
type RunOptions struct {
	// Engine says which Engine to talk to. It need not answer yet.
	Engine Options
	// Load reads the recipe: at the start, and again after each value from Reload.
	Load func(ctx context.Context) (*compose.Project, error)
	// LastGood gives what ran when all was well, with its images, for a recipe that can't be read at the start, or does not come up; nil:
	// there is none.
	LastGood func() (*compose.Project, map[string]Pin, error)
	// Save is given the project once everything of it is up, with what the Engine has then; nil: nobody wants it.
	Save func(*compose.Project, *State) error
	// Lock is taken around each change, so that nobody else changes the project meanwhile.
	Lock func(ctx context.Context, project string) (release func(), err error)
	// Prepare is called under the lock before a recipe that was loaded is applied, as for importing images; nil: nothing is
	// to be prepared.
	Prepare func(ctx context.Context, e *Engine, project *compose.Project) error
	// Reload wakes the loop to load the recipe again.
	Reload <-chan struct{}
	// Turns are requests of others to change the project.
	Turns <-chan Turn

	// Diff narrows or widens the plans; Services must be empty. With OwnRestarts the loop applies the restart policies.
	Diff DiffOptions
	// Resync is how often everything is read again although nothing was heard; 0 means 5 minutes.
	Resync time.Duration
	// RestartExited starts also what exited by itself and has no restart policy.
	RestartExited bool
	// NoRepair reports what is not as wanted, and changes something only when a recipe was loaded.
	NoRepair bool
	// RollBackAfter is how long a new recipe may take to come up before the last good one is put in its place; 0 is for ever.
	RollBackAfter time.Duration

	// Step is told of every step of a walk, Note of what else happens, Publish how the project is: after each convergence,
	// and whenever the state of a service changes. Any may be nil.
	Step    func(Event)
	Note    func(Note)
	Publish func(Report)
}

const defaultResync = 5 * time.Minute

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

// Note is something that happened, beside the steps of a walk.
type Note struct {
	Kind NoteKind
	// Service is what it is about, "" for the project.
	Service string
	// Text says what; Err why, with NoteFailed, NoteLost, NoteInvalid and NoteRolledBack, and sometimes with NoteWarned.
	Text string
	Err  error
	// Took is how long a convergence took.
	Took time.Duration
}

// NoteKind is a kind of [Note].
type NoteKind string

// The kinds of notes.
const (
	NoteConnected  NoteKind = "connected"   // an Engine answered
	NoteLost       NoteKind = "lost"        // the Engine went away, or does not answer
	NoteLoaded     NoteKind = "loaded"      // a recipe is in force
	NoteInvalid    NoteKind = "invalid"     // the recipe can't be used; what was in force before still is
	NoteDrift      NoteKind = "drift"       // something is not as wanted although nobody changed the recipe
	NoteWarned     NoteKind = "warned"      // a finding that changes nothing
	NoteConverged  NoteKind = "converged"   // something was changed, with success
	NoteFailed     NoteKind = "failed"      // something was to be changed, and failed
	NoteYielded    NoteKind = "yielded"     // somebody else has their turn
	NoteRolledBack NoteKind = "rolled-back" // the last good project took the new one's place
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
	// compared yet.
	raw, fresh, look, all, unjudged bool
	rest                            time.Time
	lookAt, resync                  time.Time
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

// load takes the recipe into force. One that can't be used leaves what was in force before; at the start that is the last
// good project.
func (s *supervisor) load(ctx context.Context) error {
	project, err := s.opts.Load(ctx)
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil && s.want != nil && project.Name != s.want.Name:
		err = &RenamedError{Was: s.want.Name, Is: project.Name}
	}
	s.condition.recipe = err
	if err == nil {
		s.condition.lastGood, s.condition.rolledBack = false, nil
		s.enforce(scaled(project, s.scale), nil)
		return nil
	}
	s.note(Note{Kind: NoteInvalid, Err: err})
	if s.want != nil {
		return nil
	}
	good, pins, without := s.lastGood()
	if good == nil {
		return errors.Join(err, without)
	}
	s.condition.lastGood = true
	s.enforce(good, pins)
	return nil
}

// scaled is the project with other numbers of replicas.
func scaled(p *compose.Project, scale map[string]int) *compose.Project {
	if len(scale) == 0 {
		return p
	}
	changed := *p
	changed.Services = nil
	for _, s := range p.Services {
		if n, ok := scale[s.Name]; ok {
			another := *s
			another.Replicas = n
			s = &another
		}
		changed.Services = append(changed.Services, s)
	}
	return &changed
}

// rescale takes note of the numbers of replicas that somebody asks for. As with docker compose, who brings services up
// without asking for a number wants the recipe's.
func (s *supervisor) rescale(w Wish) {
	scale := maps.Clone(w.Scale)
	if scale == nil {
		scale = map[string]int{}
	}
	for name, n := range s.scale {
		if _, asked := scale[name]; !asked && len(w.Services) > 0 && !slices.Contains(w.Services, name) {
			scale[name] = n
		}
	}
	s.scale = scale
}

// lastGood gives the last good project, nil where there is none.
func (s *supervisor) lastGood() (*compose.Project, map[string]Pin, error) {
	if s.opts.LastGood == nil {
		return nil, nil, nil
	}
	return s.opts.LastGood()
}

// enforce makes a project the wanted one; pins, if any, say which images its references mean.
func (s *supervisor) enforce(project *compose.Project, pins map[string]Pin) {
	s.book.pins = pins
	s.condition.good, s.condition.saved = false, false
	if s.want == nil || !reflect.DeepEqual(project, s.want) {
		s.condition.hopeless = false
		s.condition.loaded = time.Now()
	}
	s.want, s.fresh = project, true
	s.raw, s.rest = s.opts.Prepare != nil, time.Time{}
	s.readSoon(true, 0)
	s.book.forgive()
	s.planJobs(time.Now())
	s.note(Note{Kind: NoteLoaded, Text: project.Name})
}

// RenamedError says that the recipe that was loaded again is another project's.
type RenamedError struct {
	Was, Is string
}

func (e *RenamedError) Error() string {
	return "the recipe's project was " + e.Was + " and is now " + e.Is + ": the supervisor holds one project; start it anew"
}

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
	if s.have == nil || s.work != nil || now.Before(s.rest) || !(s.unjudged || s.fresh || due(s.verdict.next, now)) {
		return
	}
	if v := s.judge(now); (!v.empty || s.raw) && s.turn == nil {
		s.prepare(ctx)
	}
}

func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// judge compares what is wanted with what was read last, and remembers the verdict.
func (s *supervisor) judge(now time.Time) verdict {
	v := s.book.decide(now, s.want, s.have, s.fresh)
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

// rollBackAt is when a recipe that was not up once has had its time; zero: never.
func (s *supervisor) rollBackAt() time.Time {
	c := &s.condition
	if s.opts.RollBackAfter <= 0 || c.good || c.lastGood || c.rolledBack != nil || c.hopeless {
		return time.Time{}
	}
	return c.loaded.Add(s.opts.RollBackAfter)
}

// rollBack puts the last good project in the place of a recipe that did not come up in time.
func (s *supervisor) rollBack(now time.Time) {
	if !due(s.rollBackAt(), now) {
		return
	}
	good, pins, err := s.lastGood()
	if err != nil || good == nil || reflect.DeepEqual(good, s.want) {
		s.condition.hopeless = true
		if err != nil {
			s.note(Note{Kind: NoteFailed, Err: err})
		}
		return
	}
	report := s.report(now)
	late := fmt.Errorf("the recipe was not up within %s", s.opts.RollBackAfter)
	s.condition.rolledBack = &Rollback{At: now, Err: errors.Join(append([]error{late}, report.complaints()...)...)}
	s.note(Note{Kind: NoteRolledBack, Err: s.condition.rolledBack.Err})
	s.interrupt()
	s.enforce(good, pins)
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
		if s.turn == nil && s.work == nil {
			earlier(s.verdict.next)
		}
	}
	return next
}
