package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/containerd/errdefs"

	"galley/compose"
)

// Converge brings the Engine to what is wanted: it pulls what the policies ask for, compares, and applies. have is what
// was last read. It returns the plan that was applied last, for the record.
//
// A container that the Engine refuses to change in place, or to start ever again, is replaced. When the Engine goes away in
// the middle, it is waited for, read again, and the rest is planned anew. When the state proved stale (somebody else removed
// or made what the plan was about), that happens once. A service whose update fails is put back to what ran before, unless
// opts or its recipe say otherwise; the error then is a *RolledBackError.
func (e *Engine) Converge(ctx context.Context, want *compose.Project, have *State, opts DiffOptions) (*Plan, error) {
	have, pulls, err := e.refresh(ctx, want, have, &opts)
	if err != nil {
		return pulls, err
	}
	var last *Plan
	before := have
	for attempt := 1; ; attempt++ {
		complete := *have // the caller's own may be read meanwhile
		have = &complete
		if err := e.Complete(ctx, want, have, opts); err != nil {
			return nil, err
		}
		plan, err := Diff(want, have, opts)
		if err != nil {
			return nil, err
		}
		plan.goOn(last, have)
		last = plan
		outcomes := e.walk(ctx, plan)
		err = result(plan, outcomes)
		if err == nil || ctx.Err() != nil {
			return plan, err
		}
		if refused := plan.refused(outcomes, opts); refused != nil {
			opts.refused = refused
			if have, err = e.State(ctx, want.Name); err != nil {
				return plan, err
			}
			continue
		}
		if again, ok := e.readAgain(ctx, want.Name, attempt, err); ok {
			have = again
			continue
		}
		return plan, e.rollBack(ctx, want, before, plan, outcomes, err, opts)
	}
}

// goOn adds what a service is put back to as the plan before this one noted it, as far as it is there still: what that one
// stopped does not run now.
func (p *Plan) goOn(last *Plan, have *State) {
	if last == nil {
		return
	}
	p.before = append(p.before, last.before...)
	for service, containers := range last.old {
		for _, c := range containers {
			there := slices.ContainsFunc(have.Containers, func(now *Container) bool { return now.ID == c.ID })
			noted := slices.ContainsFunc(p.old[service], func(old *Container) bool { return old.ID == c.ID })
			if there && !noted {
				p.old[service] = append(p.old[service], c)
			}
		}
	}
}

// refused adds to the containers that are to be replaced since they can't be changed or started those that the walk found;
// nil if it found none.
func (p *Plan) refused(outcomes []outcome, opts DiffOptions) map[string]string {
	all := maps.Clone(opts.refused)
	for i, o := range outcomes {
		var refused *refusedError
		if o.kind != Failed || !errors.As(o.err, &refused) || opts.refused[refused.id] != "" || opts.NoRecreate {
			continue
		}
		if all == nil {
			all = map[string]string{}
		}
		all[refused.id] = fmt.Sprintf("%s, %v", p.Steps[i].Why, refused)
	}
	if len(all) == len(opts.refused) {
		return nil
	}
	return all
}

// refresh pulls what is there but must be fresh, in one wave with what is missing, and reads the state again if it did. What is
// missing and can't be had is noted in opts: it fails the services that need it, and those alone.
func (e *Engine) refresh(ctx context.Context, want *compose.Project, have *State, opts *DiffOptions) (*State, *Plan, error) {
	if opts.Down != nil || opts.noRefresh {
		return have, nil, nil
	}
	pulls, err := e.Refresh(ctx, want, have, *opts)
	if err != nil || pulls.Empty() {
		return have, pulls, err
	}
	if plan, err := Diff(want, have, *opts); err == nil { // else it is told when the pulls have come
		pulls.pullAlso(plan)
	}
	outcomes := e.walk(ctx, pulls)
	for i, o := range outcomes {
		a, failed := pulls.Steps[i].Action.(pullImage), (*ImageError)(nil)
		if a.early && o.kind == Failed {
			outcomes[i].kind = Done
			if errors.As(o.err, &failed) {
				opts.notPulled = append(opts.notPulled, notPulled{madeFor{a.ref, a.platform}, failed})
			}
		}
	}
	if err := result(pulls, outcomes); err != nil {
		return nil, pulls, err
	}
	have, err = e.State(ctx, want.Name)
	return have, pulls, err
}

// notPulled is an image that was pulled in vain before the plan was made.
type notPulled struct {
	madeFor
	err *ImageError
}

// pullAlso adds the pulls of another plan, which are of other images. They need nothing but that those of the same image come
// one after the other.
func (p *Plan) pullAlso(other *Plan) {
	last := map[string]int{}
	for _, s := range other.Steps {
		a, ok := s.Action.(pullImage)
		if !ok {
			continue
		}
		a.early = true
		step := Step{Action: a, Why: s.Why}
		if before, ok := last[a.ref]; ok {
			step.After = []int{before}
		}
		last[a.ref] = len(p.Steps)
		p.Steps = append(p.Steps, step)
	}
}

// maxAttempts bounds how often a plan is made anew because the Engine went away: one that dies of the plan itself would
// die for ever.
const maxAttempts = 5

// readAgain reads the state after a failure that says more about the Engine or the plan than about a service: the Engine
// went away, or what the plan was made from is no longer so. ok is false where another attempt would not help.
func (e *Engine) readAgain(ctx context.Context, project string, attempt int, err error) (have *State, ok bool) {
	lost := is[*UnreachableError](err)
	if attempt >= maxAttempts || !lost && (attempt > 1 || !stale(err)) {
		return nil, false
	}
	deadline := time.Now().Add(e.opts.ReconnectWithin)
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		have, err := e.State(ctx, project)
		if err == nil {
			return have, true
		}
		if time.Now().Add(pause).After(deadline) {
			return nil, false
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-time.After(pause):
		}
	}
}

// stale tells whether a step failed because its object was gone, or stood in the way. That a registry has no such image is no
// news of this machine.
func stale(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(joined.Unwrap(), stale)
	}
	return !is[*ImageError](err) && (errdefs.IsNotFound(err) || errdefs.IsConflict(err))
}

// is tells whether an error of that type stands anywhere in err's tree.
func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
