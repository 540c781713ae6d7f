package main

import (
	"context"
	"fmt"
	"time"

	"galley/bosh"
	"galley/compose"
	"galley/engine"
)

// record is the history of a project's good states while something changes the project.
type record struct {
	cli     *cli
	path    string
	history *bosh.History
	// whole: all of the project is brought up, so that success makes it the last good one.
	whole bool
	// project is what shall be kept, changed whether anything is to be done.
	project *compose.Project
	changed bool
}

// historyPath names the file with a project's history.
func (c *cli) historyPath(project string) string {
	return c.paths().History(c.onEngine(project))
}

// record opens the history of the project that is to be brought up and notes there, before anything happens, that what
// runs will not be what was good last, until [record.keep]. What can't be read or written is a warning: a project comes up
// without its history too.
func (c *cli) record(s *survey, opts engine.DiffOptions) *record {
	r := &record{
		cli:     c,
		path:    c.historyPath(s.project.Name),
		whole:   len(opts.Services) == 0 && !opts.NoStart && !opts.NoRecreate,
		project: s.project.Scaled(opts.Scale),
	}
	var err error
	if r.history, err = bosh.LoadHistory(r.path); err != nil {
		c.ui.warn(fmt.Sprintf("the last good states are lost: %s", err))
		r.history = &bosh.History{}
	}
	plan, err := engine.Diff(s.project, s.state, opts)
	r.changed = err == nil && !plan.Empty()
	if r.changed && !r.history.Changed && r.history.Last() != nil {
		r.history.Changed = true
		r.save()
	}
	return r
}

// keep makes what came up the last good state, if it is all of the project.
func (r *record) keep(ctx context.Context, s *survey) {
	if !r.whole {
		return
	}
	state := s.state
	if r.changed {
		var err error
		if state, err = s.engine.State(ctx, s.project.Name); err != nil {
			r.cli.ui.warn(fmt.Sprintf("what came up is not kept as the last good state: %s", err))
			return
		}
	}
	text, err := compose.Marshal(r.project)
	if err != nil {
		r.cli.ui.warn(err.Error())
		return
	}
	images := map[string]bosh.Image{}
	for ref, pin := range state.Pins(r.project) {
		images[ref] = bosh.Image(pin)
	}
	if r.history.Keep(bosh.Good{Saved: time.Now().UTC().Truncate(time.Second), Project: text, Images: images}) {
		r.save()
	}
}

func (r *record) save() {
	if err := r.history.Save(r.path); err != nil {
		r.cli.ui.warn(fmt.Sprintf("`galley rollback` will not know of this: %s", err))
	}
}
