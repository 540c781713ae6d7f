package engine

import (
	"context"
	"errors"
	"maps"
	"slices"

	"galley/compose"
)

// Converge brings the Engine to what is wanted: it pulls what the policies ask for, compares, and applies. have is what
// was last read. A service whose update fails is put back to what ran before, unless opts say otherwise; the error then
// is a *RolledBackError. It returns the plan that was applied, for the record.
func (e *Engine) Converge(ctx context.Context, want *compose.Project, have *State, opts DiffOptions) (*Plan, error) {
	pulls, err := e.Refresh(ctx, want, have, opts)
	if err != nil {
		return nil, err
	}
	if !pulls.Empty() {
		if err := e.Apply(ctx, pulls); err != nil {
			return pulls, err
		}
		if have, err = e.State(ctx, want.Name); err != nil {
			return pulls, err
		}
	}
	plan, err := Diff(want, have, opts)
	if err != nil {
		return nil, err
	}
	outcomes := e.walk(ctx, plan)
	err = result(plan, outcomes)
	broken := plan.broken(outcomes)
	if err == nil || ctx.Err() != nil || opts.NoRollback || len(broken) == 0 {
		return plan, err
	}
	return plan, &RolledBackError{
		Services: slices.Sorted(maps.Keys(broken)),
		Err:      err,
		Restore:  e.restore(ctx, want, broken, opts),
	}
}

// broken are the containers to go back to, by service and id, of the services whose replacement did not come to its end.
func (p *Plan) broken(outcomes []outcome) map[string]map[string]bool {
	broken := map[string]map[string]bool{}
	for i, step := range p.Steps {
		service := step.Action.Target().Service
		if outcomes[i].kind == Done || p.old[service] == nil {
			continue
		}
		broken[service] = map[string]bool{}
		for _, c := range p.old[service] {
			broken[service][c.ID] = true
		}
	}
	return broken
}

// restore puts services back by an ordinary plan in which the old containers are the wanted ones.
func (e *Engine) restore(ctx context.Context, want *compose.Project, broken map[string]map[string]bool, opts DiffOptions) error {
	have, err := e.State(ctx, want.Name)
	if err != nil {
		return err
	}
	plan, err := Diff(want, have, DiffOptions{
		Services:    withChildren(want, slices.Sorted(maps.Keys(broken))),
		NoDeps:      true,
		StopTimeout: opts.StopTimeout,
		Scale:       opts.Scale,
		restore:     broken,
	})
	if err != nil {
		return err
	}
	return e.Apply(ctx, plan)
}

// withChildren adds the services that share namespaces or volumes with those named, and their children.
func withChildren(p *compose.Project, names []string) []string {
	for i := 0; i < len(names); i++ {
		for _, s := range p.Services {
			if !slices.Contains(names, s.Name) && slices.Contains(s.Parents(), names[i]) {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

// RolledBackError says that an update failed and that the services it broke were put back to what ran before.
type RolledBackError struct {
	// Services are those that were put back, sorted.
	Services []string
	// Err is why, as Apply returns it. Restore is set where putting back failed too.
	Err, Restore error
}

func (e *RolledBackError) Error() string { return errors.Join(e.Err, e.Restore).Error() }

// Unwrap returns the failure of the update, then that of putting back.
func (e *RolledBackError) Unwrap() []error { return []error{e.Err, e.Restore} }
