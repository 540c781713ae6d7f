package engine

import (
	"slices"

	"galley/compose"
)

// turns lets the replicas of a service be replaced group by group, as deploy.update_config says.
type turns struct {
	update compose.Update
	// group are the replicas of the group being filled, previous those that the group waits for.
	group, previous []*replica
}

func newTurns(p *servicePlan) *turns {
	return &turns{update: p.update}
}

// next is what a replica waits for until it is its turn.
func (t *turns) next(r *replica) gates {
	if t.update.Parallelism == 0 || len(r.others) == 0 {
		return gates{}
	}
	if len(t.group) == t.update.Parallelism {
		t.previous, t.group = t.group, nil
	}
	var passed []*node
	for _, before := range t.previous {
		for _, n := range before.passed {
			change(n, func(a awaitContainer) awaitContainer {
				a.pause = t.update.Delay
				return a
			})
		}
		passed = append(passed, before.passed...)
	}
	if t.update.OnFailure == compose.FailureContinue {
		return gates{after: passed}
	}
	return gates{needs: slices.Clone(passed)}
}

// took puts a replica into the group.
func (t *turns) took(r *replica) {
	if len(r.others) > 0 {
		t.group = append(t.group, r)
	}
}
