package engine

import "galley/compose"

// DiffOptions narrow or widen a plan. The zero value is a plain `up`.
type DiffOptions struct {
	// Services limits the plan to these and what they need; empty means all.
	Services []string
	// NoDeps leaves out what Services need.
	NoDeps bool
	// RemoveOrphans removes containers and networks of the project that the recipe does not define.
	RemoveOrphans bool
	// ForceRecreate replaces containers that are as wanted; NoRecreate keeps those that are not.
	ForceRecreate, NoRecreate bool
	// NoStart creates without starting.
	NoStart bool
	// Wait adds a gate for every service: running, and healthy where it has a healthcheck, or completed with 0.
	Wait bool
	// StopTimeout overrides the containers' own grace period, in seconds; nil keeps it.
	StopTimeout *int
	// Pull overrides the services' pull policies; "" keeps them.
	Pull compose.PullPolicy
	// Scale overrides the number of replicas by service.
	Scale map[string]int
	// Down is for an empty project: what to remove besides containers and networks.
	Down Down
}

// Down says how much is taken away when nothing is wanted any more.
type Down struct {
	// StopOnly leaves containers and networks in place, stopped.
	StopOnly bool
	// Volumes removes the project's named and anonymous volumes too.
	Volumes bool
	// Images is "", "local" (those without a tag of their own) or "all" that the project's containers use.
	Images string
}

// Diff compares what is wanted with what is there and returns the plan that closes the gap. It is pure. A want with
// only a name wants nothing: everything of the project is stopped and removed, dependents first. The error joins all
// that makes the plan impossible, as an external network that is missing or a volume whose definition changed.
func Diff(want *compose.Project, have *State, opts DiffOptions) (*Plan, error) {
	panic("being written")
}
