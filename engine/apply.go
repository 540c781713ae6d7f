package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/client"

	"galley/compose"
)

// Apply walks the plan: each step as soon as those it needs are done, several at once. When a step fails, what needs it
// is skipped and everything else goes on; the result joins one *StepError per step that failed itself. When ctx ends,
// steps under way are finished, no further one is begun, and the result holds an *InterruptedError.
func (e *Engine) Apply(ctx context.Context, plan *Plan) error {
	return result(plan, e.walk(ctx, plan))
}

// walk carries the plan out and returns how each step ended.
func (e *Engine) walk(ctx context.Context, plan *Plan) []outcome {
	if plan.Empty() {
		return nil
	}
	shared := newShared(e, plan)
	defer shared.watch.close()
	shared.stuck = e.forget(plan)
	outcomes := (&walk{
		n:         len(plan.Steps),
		needs:     func(i int) []int { return plan.Steps[i].Needs },
		after:     func(i int) []int { return plan.Steps[i].After },
		heavy:     func(i int) bool { return plan.Steps[i].Action.Verb() != VerbAwait },
		limit:     cmp.Or(plan.parallel, e.opts.Parallel),
		finish:    func(i int) bool { return plan.Steps[i].urgent },
		harms:     plan.interrupts(),
		toils:     func(i int) bool { return plan.Steps[i].Action.Verb() == VerbStart },
		harmLimit: max(2, runtime.NumCPU()), // the Engine is on this machine, as a rule
		asides:    shared.asides,
		do: func(ctx context.Context, i int) error {
			return (&run{shared: shared, step: i}).carryOut(ctx, plan.Steps[i].Action)
		},
		notify: func(i int, kind EventKind, took time.Duration, err error) {
			event := Event{Index: i, Step: &plan.Steps[i], Kind: kind, Took: took, Err: err}
			if kind == Done && shared.isKept(i) {
				event.Detail = "kept"
			}
			shared.tell(event)
		},
	}).run(ctx)
	e.remember(plan, outcomes, shared.changes.asked)
	return outcomes
}

// result joins the root causes of a walk.
func result(plan *Plan, outcomes []outcome) error {
	var errs []error
	var left []*Step
	for i, o := range outcomes {
		switch {
		case o.kind == Failed:
			errs = append(errs, o.err)
		case o.kind == "", o.kind == Skipped && errors.Is(o.err, errLeft):
			left = append(left, &plan.Steps[i])
		}
	}
	if left != nil {
		errs = append(errs, &InterruptedError{Left: left})
	}
	return errors.Join(errs...)
}

// shared is what the steps of one walk have in common.
type shared struct {
	*Engine
	plan    *Plan
	watch   *watch
	began   time.Time
	changes changes
	// stuck, if set, is why no container may be changed in place: what is known of it would be wrong.
	stuck error
	// asides carries what steps under way have to tell to the walk's own goroutine.
	asides chan func()
	// portRanges is held by a start whose host ports the Engine picks out of a range.
	portRanges sync.Mutex

	// room is where what is pulled comes to lie.
	room *room

	mu   sync.Mutex
	ids  map[string]string // of the containers that this walk created, by the name they were created with
	kept map[int]bool      // the steps that could do without what they were to do
}

func newShared(e *Engine, plan *Plan) *shared {
	return &shared{
		Engine:  e,
		plan:    plan,
		watch:   e.newWatch(plan.Project),
		began:   time.Now(),
		room:    newRoom(sync.OnceValue(e.dataRoot), e.opts.PullRoom),
		changes: changes{asked: map[string]Known{}},
		asides:  make(chan func()),
		ids:     map[string]string{},
		kept:    map[int]bool{},
	}
}

func (s *shared) tell(event Event) {
	if a, ok := event.Step.Action.(pullImage); ok && a.early && event.Kind == Failed {
		return // by the plan that asks for it
	}
	if s.Notify != nil {
		s.Notify(event)
	}
}

// run is one step under way.
type run struct {
	*shared
	step int
}

// carryOut does the action and explains its failure. What changes the Engine is finished even when ctx ends: half a
// change is worse than one more. Waits, and what moves whole images, end with ctx.
func (r *run) carryOut(ctx context.Context, action Action) error {
	waits := []Verb{VerbAwait, VerbPull, VerbLoad, VerbSave}
	if !slices.Contains(waits, action.Verb()) || r.plan.Steps[r.step].urgent {
		ctx = context.WithoutCancel(ctx)
	}
	var err error
	if _, changes := changed(action); changes && r.stuck != nil {
		err = r.stuck
	} else {
		err = action.do(ctx, r)
	}
	if err == nil || errors.Is(err, errLeft) {
		return err
	}
	failure := &StepError{Step: &r.plan.Steps[r.step], Err: err}
	var hook *hookError
	if errors.As(err, &hook) {
		failure.Logs = hook.output
	}
	switch a := action.(type) {
	case startContainer:
		failure.Logs = r.lastLogs(ctx, a.ref)
	case restartContainer:
		failure.Logs = r.lastLogs(ctx, a.ref)
	case awaitContainer:
		failure.Logs = r.lastLogs(ctx, a.ref)
	}
	return failure
}

// bounded limits one Engine call: an Engine that hangs must not hang its client.
func (r *run) bounded(ctx context.Context, extra time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.opts.FinishWithin+extra)
}

// call makes one Engine call, bounded, and explains its failure.
func (r *run) call(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := r.bounded(ctx, 0)
	defer cancel()
	return r.explain(ctx, call(ctx))
}

// explain puts a failed call into words.
func (r *run) explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return &UnreachableError{Host: r.Host, Err: fmt.Errorf("the engine did not finish the call in time: %w", err)}
	case client.IsErrConnectionFailed(err):
		return &UnreachableError{Host: r.Host, Err: err}
	}
	return err
}

// id returns the id of a container that was observed, or that this walk created; else its name.
func (s *shared) id(c ref) string {
	if c.id != "" {
		return c.id
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.ids[c.name]; ok {
		return id
	}
	return c.name
}

func (s *shared) created(name, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[name] = id
}

// adopt takes the container that stands in the way of a creation for the wanted one, if it is just that: an earlier
// attempt whose answer was lost.
func (r *run) adopt(ctx context.Context, a createContainer) bool {
	c, err := r.api.ContainerInspect(ctx, a.name)
	if err != nil || c.Config == nil || c.Config.Labels[compose.LabelHash] != a.spec.Hash ||
		c.Config.Labels[compose.LabelProject] != a.project.Name || (a.imageID != "" && c.Image != a.imageID) {
		return false
	}
	r.created(a.name, c.ID)
	return true
}

// ownLabels are the labels that say who made a network or volume.
func (s *shared) ownLabels() map[string]string {
	return map[string]string{compose.LabelVersion: s.opts.Version}
}

// keep notes that the step left things as they were.
func (r *run) keep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[r.step] = true
}

func (s *shared) isKept(step int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[step]
}

func (r *run) warn(text string) { r.aside(Event{Kind: Warned, Detail: text}) }

func (r *run) amount(detail string, a Amount) {
	r.aside(Event{Kind: Progress, Detail: detail, Bytes: &a})
}

// aside tells something about the step under way, on the walk's goroutine.
func (r *run) aside(event Event) {
	event.Index, event.Step = r.step, &r.plan.Steps[r.step]
	r.asides <- func() { r.tell(event) }
}
