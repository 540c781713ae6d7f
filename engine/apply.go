package engine

import "context"

// run is one walk over a plan: what its actions share.
type run struct {
	engine *Engine
}

// Apply walks the plan: each step as soon as those it needs are done, several at once. When a step fails, what needs it
// is skipped and everything else goes on; the result joins one *StepError per step that failed itself. When ctx ends,
// steps under way are finished, no further one is begun, and the result holds an *InterruptedError.
func (e *Engine) Apply(ctx context.Context, plan *Plan) error {
	panic("being written")
}
