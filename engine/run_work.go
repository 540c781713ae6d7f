package engine

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"galley/compose"
)

// work is a change under way, in a goroutine of its own: first the lock is taken and everything read, then the plan walked.
type work struct {
	want *compose.Project
	link *link
	// have is what was read under the lock; release gives the lock back.
	have    *State
	facts   map[string]*Facts
	partial bool // as in [reading]
	release func()
	cancel  context.CancelFunc
	// fresh: a recipe is applied that was just loaded. raw: it is prepared before.
	fresh, raw bool
	began      time.Time

	// job is the service that is run because its time has come, "" if the project is changed.
	job string

	// walking: the plan is being walked. err and restored tell how that ended.
	walking bool
	plan    *Plan
	err     error
	// remaining counts the steps that have not ended, by service; pulling those that pull now.
	remaining map[string]int
	pulling   int
	// unfinished are the services with steps that failed, or were skipped because of a failure.
	unfinished map[string]error
	// stopping: the walk is to end early. late: as soon as nothing is pulled any more.
	stopping, late bool
}

// prepare takes the lock and reads everything: what is decided on it can't be changed by others.
func (s *supervisor) prepare(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	w := &work{want: s.want, link: s.link, cancel: cancel, fresh: s.fresh, raw: s.raw, began: time.Now(), unfinished: map[string]error{}}
	s.work = w
	e, facts := s.link.engine, maps.Clone(s.facts)
	clear(s.dirty)
	read := e.State
	if s.wasInFull {
		read = e.StateInFull
	}
	go func() {
		w.release, w.err = s.opts.Lock(ctx, w.want.Name)
		if w.err == nil && w.raw {
			w.err = s.opts.Prepare(ctx, e, w.want)
		}
		if w.err == nil {
			w.have, w.err = read(ctx, w.want.Name)
		}
		if w.err == nil {
			w.facts, w.partial, w.err = e.learn(ctx, w.have.Containers, facts)
		}
		s.finish(w)
	}()
}

// walk carries out what was decided.
func (s *supervisor) walk(ctx context.Context, w *work, v verdict) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.walking, w.remaining = true, v.remaining
	e := s.link.engine
	e.Notify = s.tellStep
	opts := v.opts
	opts.noRefresh = !w.fresh
	go func() {
		w.plan, w.err = e.Converge(ctx, w.want, w.have, opts)
		s.finish(w)
	}()
}

// tellStep hands an event of a walk to the loop.
func (s *supervisor) tellStep(event Event) {
	select {
	case s.steps <- event:
	case <-s.quit:
	}
}

// finish hands a piece of work that has ended to the loop, or clears up where that is no more.
func (s *supervisor) finish(w *work) {
	select {
	case s.done <- w:
	case <-s.quit:
		w.free()
	}
}

// free gives back what the work held.
func (w *work) free() {
	w.cancel()
	if w.release != nil {
		w.release()
		w.release = nil
	}
}

// interrupt ends a walk after the steps under way; the rest is planned anew. Pulls would begin again, so they are waited
// for, and so is a start at its time, which would be missed.
func (s *supervisor) interrupt() {
	switch w := s.work; {
	case w == nil, w.job != "":
	case w.pulling > 0:
		w.late = true
	default:
		w.stopping = true
		w.cancel()
	}
}

// stepped follows a walk.
func (s *supervisor) stepped(e Event) {
	if s.opts.Step != nil {
		s.opts.Step(e)
	}
	w := s.work
	if w == nil {
		return
	}
	target, verb := e.Step.Action.Target(), e.Step.Action.Verb()
	switch e.Kind {
	case Begun:
		if verb == VerbPull {
			w.pulling++
		}
		return
	case Failed, Skipped:
		if !errors.Is(e.Err, errLeft) {
			w.unfinished[target.Service] = e.Err
		}
	case Done:
	default:
		return
	}
	if verb != VerbAwait {
		w.remaining[target.Service]--
	}
	if verb == VerbPull && e.Kind != Skipped {
		w.pulling--
	}
	if w.late && w.pulling == 0 {
		s.interrupt()
	}
}

// ended goes on after a piece of work.
func (s *supervisor) ended(ctx context.Context, w *work) {
	s.stale = s.stale || w.walking || w.job != ""
	switch {
	case w.job != "":
		s.jobStarted(w)
	case w.walking:
		s.walked(w)
	case w.err != nil || w.stopping || w.want != s.want || w.link != s.link:
		s.unprepared(w)
	default:
		s.raw = s.raw && !w.raw
		if w.partial {
			s.readSoon(false, maxPause)
		}
		s.know(w.have, w.facts)
		v := s.judge(time.Now())
		if !v.empty {
			s.walk(ctx, w, v)
			return
		}
	}
	w.free()
	s.work = nil
}

// unprepared goes on where the lock could not be had, or the Engine not be read.
func (s *supervisor) unprepared(w *work) {
	if w.err == nil || w.stopping {
		return
	}
	s.fail(w.err)
	if w.raw {
		s.rest = time.Now().Add(maxPause)
	}
	s.readSoon(true, maxPause)
}

// walked takes note of how a walk ended, and has everything read again.
func (s *supervisor) walked(w *work) {
	now := time.Now()
	s.readSoon(w.err != nil || !w.plan.leavesResources(), settle) // its last events are under way
	var rolledBack *RolledBackError
	if errors.As(w.err, &rolledBack) {
		if w.want == s.want { // else another recipe is in force by now
			s.putBack(rolledBack)
		}
	}
	if is[*UnreachableError](w.err) {
		return // the link's end says so too
	}
	for service, err := range w.unfinished {
		s.book.failed(service, err, now)
	}
	for service := range w.remaining {
		if _, failed := w.unfinished[service]; !failed {
			s.book.repaired(service)
		}
	}
	err := withoutInterruption(w.err)
	switch {
	case err != nil:
		s.fail(err)
	case w.err == nil:
		took := now.Sub(w.began)
		s.condition.converged, s.condition.took = now, took
		s.condition.err = nil
		s.note(Note{Kind: NoteConverged, Took: took})
	}
	if w.err == nil || !w.stopping {
		s.fresh = s.fresh && w.want != s.want
	}
}

// putBack lets what an update was put back to stand until a recipe is loaded. An update that failed of what passes by itself
// is tried again, as a repair is.
func (s *supervisor) putBack(e *RolledBackError) {
	for _, service := range e.Services {
		why := cmp.Or(causeOf(e.Err, service), e.Err)
		if passes(why) {
			continue
		}
		s.book.putBack[service] = e.kept[service]
		s.book.refused[service] = why
	}
}

// passes tells whether a failure says nothing of the recipe: a disk is full, or a registry can't be reached.
func passes(err error) bool {
	var image *ImageError
	if errors.As(err, &image) && slices.Contains([]PullReason{PullNetwork, PullLimited, PullDisk}, image.Reason) {
		return true
	}
	return is[*SpaceError](err) || isFullDisk(err)
}

// fail notes that a change was to be made, and failed.
func (s *supervisor) fail(err error) {
	s.condition.err, s.condition.failed = err, time.Now()
	s.condition.failures++
	s.note(Note{Kind: NoteFailed, Err: err})
}

// withoutInterruption takes the interruption out of what Converge returned: it was asked for.
func withoutInterruption(err error) error {
	var interrupted *InterruptedError
	if !errors.As(err, &interrupted) {
		return err
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var rest []error
	for _, one := range joined.Unwrap() {
		if !is[*InterruptedError](one) {
			rest = append(rest, one)
		}
	}
	return errors.Join(rest...)
}
