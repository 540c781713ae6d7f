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
		s.enforce(project.Scaled(s.scale), nil)
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
