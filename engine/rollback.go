package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"galley/compose"
)

// rollBack puts the services whose update failed back to what ran before, and returns the failure.
func (e *Engine) rollBack(ctx context.Context, want *compose.Project, before *State, plan *Plan, outcomes []outcome, failure error, opts DiffOptions) error {
	broken := plan.broken(want, outcomes)
	maps.DeleteFunc(broken, func(service string, _ map[string]bool) bool {
		s := want.Service(service)
		return s == nil || s.Update.OnFailure == compose.FailurePause || s.Update.OnFailure == compose.FailureContinue
	})
	if opts.NoRollback || len(broken) == 0 {
		return failure
	}
	return &RolledBackError{
		Services: slices.Sorted(maps.Keys(broken)),
		Err:      failure,
		kept:     broken,
		Restore:  e.restore(ctx, want, plan, &restoration{broken, before}, opts),
	}
}

// broken are the containers to go back to, by service and id, of the services whose replacement did not come to its end,
// and of those that share namespaces or volumes with them. One that has passed and was merely not cleared up after is as
// wanted: the next plan does that.
func (p *Plan) broken(want *compose.Project, outcomes []outcome) map[string]map[string]bool {
	var names []string
	for i, step := range p.Steps {
		switch step.Action.(type) {
		case removeContainer, renameContainer:
			continue
		}
		if service := step.Action.Target().Service; outcomes[i].kind != Done && p.old[service] != nil {
			names = append(names, service)
		}
	}
	broken := map[string]map[string]bool{}
	for i := 0; i < len(names); i++ {
		if broken[names[i]] != nil || p.old[names[i]] == nil {
			continue
		}
		broken[names[i]] = map[string]bool{}
		for _, c := range p.old[names[i]] {
			broken[names[i]][c.ID] = true
		}
		if s := want.Service(names[i]); s != nil {
			names = append(names, s.Parents()...)
		}
		names = append(names, withChildren(want, []string{names[i]})...)
	}
	return broken
}

// restore puts services back by an ordinary plan in which the old containers are the wanted ones. Like any plan it is made
// anew when the Engine goes away.
func (e *Engine) restore(ctx context.Context, want *compose.Project, failed *Plan, back *restoration, opts DiffOptions) error {
	have, err := e.State(ctx, want.Name)
	for attempt := 1; ; attempt++ {
		if err == nil {
			err = e.restoreFrom(ctx, asBefore(want, failed.before, have.API), have, back, opts)
		}
		if err == nil {
			return nil
		}
		again, ok := e.readAgain(ctx, want.Name, attempt, err)
		if !ok {
			return err
		}
		have, err = again, nil
	}
}

func (e *Engine) restoreFrom(ctx context.Context, want *compose.Project, have *State, back *restoration, opts DiffOptions) error {
	plan, err := Diff(want, have, DiffOptions{
		Services:    withChildren(want, slices.Sorted(maps.Keys(back.old))),
		NoDeps:      true,
		StopTimeout: opts.StopTimeout,
		Scale:       opts.Scale,
		Pins:        opts.Pins,
		OwnRestarts: opts.OwnRestarts,
		restore:     back,
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
	// kept are the containers that ran before, by service and id.
	kept map[string]map[string]bool
}

func (e *RolledBackError) Error() string { return errors.Join(e.Err, e.Restore).Error() }

// Unwrap returns the failure of the update, then that of putting back.
func (e *RolledBackError) Unwrap() []error { return []error{e.Err, e.Restore} }

// restoration is what services are put back to.
type restoration struct {
	// old are the containers to go back to, by service and id.
	old map[string]map[string]bool
	// before is what was there when the update that failed began.
	before *State
}

// numbers are those of the replicas that a service had. Of those that are gone now, as because they were too many, no more
// come back than are wanted; and what came in addition goes.
func (b *restoration) numbers(s *compose.Service, slots map[int][]*Container, want int) []int {
	var there, gone []int
	for _, c := range b.before.Containers {
		switch n := c.Number; {
		case c.Service != s.Name || c.OneOff || n < 1 || slices.Contains(there, n) || slices.Contains(gone, n):
		case slots[n] != nil:
			there = append(there, n)
		default:
			gone = append(gone, n)
		}
	}
	slices.Sort(gone)
	numbers := append(there, gone[:min(len(gone), max(0, want-len(there)))]...)
	slices.Sort(numbers)
	return numbers
}

// unwanted tells why a container makes room for one to go back to; "" if it is that one, or stands in nobody's place: it has
// passed, and its predecessor is gone.
func (b *restoration) unwanted(c *Container, have *State) string {
	old := b.old[c.Service]
	if !old[c.ID] && slices.ContainsFunc(have.Containers, func(o *Container) bool { return o.Service == c.Service && o.Number == c.Number && old[o.ID] }) {
		return "its update failed"
	}
	return ""
}

// backAgain is the node after which a replica is put back as far as those that wait for it may care; nil if it is already.
// It may be the container of another recipe, under which nobody waited for what the failed one says: no healthcheck, or no
// end, and perhaps it was unhealthy all the time. So it is only waited for in order, and all that ran is started again.
func (d *differ) backAgain(p *servicePlan, r *replica, need compose.Need, dependent string) *node {
	if need.Condition != compose.Healthy || r.started == nil {
		return r.started
	}
	return d.await(p, r, gateReady, fmt.Sprintf("service %s waits for it", dependent))
}
