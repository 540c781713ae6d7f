package main

import (
	"context"
	"time"

	"galley/bosh"
	"galley/compose"
	"galley/engine"
)

// prepare notes in the history that something is about to change, and loads the tarballs that --import names before a recipe is applied. Those that can't be used are told; they
// matter only where the Engine lacks an image.
func (s *supervision) prepare(ctx context.Context, e *engine.Engine, project *compose.Project) error {
	s.begin()
	if len(s.flags.imports.globs) == 0 {
		return nil
	}
	i := s.cli.importer(&s.flags.imports)
	i.warn, i.say = func(text string) { s.log.Warn(text) }, func(text string) { s.log.Info(text) }
	i.apply = func(ctx context.Context, e *engine.Engine, plan *engine.Plan) error {
		e.Notify = journal{s.log}.step
		return e.Apply(ctx, plan)
	}
	faults, err := i.before(ctx, e, project)
	if faults != nil {
		journal{s.log}.failed("importing", nil, faults)
	}
	return err
}

// lastGood is the project as it was when all of it was up, with the images of then; nil where it never was.
func (s *supervision) lastGood() (*compose.Project, map[string]engine.Pin, error) {
	path := s.cli.historyPath(s.name)
	history, err := bosh.LoadHistory(path)
	if err != nil {
		return nil, nil, err
	}
	last := history.Last()
	if last == nil {
		return nil, nil, nil
	}
	project, err := compose.Unmarshal(last.Project)
	if err != nil {
		return nil, nil, &bosh.CorruptError{Path: path, Err: err}
	}
	pins := map[string]engine.Pin{}
	for ref, img := range last.Images {
		pins[ref] = engine.Pin(img)
	}
	return project, pins, nil
}

// begin notes that what runs is not what was good last, until all of it is up.
func (s *supervision) begin() {
	path := s.cli.historyPath(s.name)
	history, err := bosh.LoadHistory(path)
	if err != nil || history.Changed || history.Last() == nil {
		return // what can't be read is told when something is to be kept
	}
	history.Changed = true
	if err := history.Save(path); err != nil {
		s.log.Error("`galley rollback` will not know of this", "error", err)
	}
}

// keep makes what is up the last good state.
func (s *supervision) keep(project *compose.Project, have *engine.State) error {
	text, err := compose.Marshal(project)
	if err != nil {
		return err
	}
	path := s.cli.historyPath(s.name)
	history, err := bosh.LoadHistory(path)
	if err != nil {
		s.log.Error("the last good states are lost", "error", err)
		history = &bosh.History{}
	}
	images := map[string]bosh.Image{}
	for ref, pin := range have.Pins(project) {
		images[ref] = bosh.Image(pin)
	}
	if !history.Keep(bosh.Good{Saved: time.Now().UTC().Truncate(time.Second), Project: text, Images: images}) {
		return nil
	}
	return history.Save(path)
}
