package engine

import (
	"context"
	"errors"
	"slices"
	"time"
)

// errLeft is what work returns that gave up because the walk's context ended: it did not fail, it was left.
var errLeft = errors.New("interrupted")

// outcome is how one node of a walk ended.
type outcome struct {
	kind EventKind // Done, Failed or Skipped; "" when it was never begun
	err  error     // with Failed the cause, with Skipped the root cause
}

// walk does n pieces of work as soon as what each needs has succeeded and what it comes after has ended. It knows nothing
// of Docker. before lists the predecessors of i; a failed need skips i with the root cause, a failed after does not.
// At most limit pieces for which heavy is true are under way at once. When ctx ends, nothing further is begun but what
// finish names.
//
// All of notify's calls, and those to the returned slice, happen on the caller's goroutine.
type walk struct {
	n     int
	needs func(i int) []int
	after func(i int) []int
	heavy func(i int) bool
	limit int
	// finish tells which pieces, once ready, are begun even after ctx ended: those without which the ones before would
	// have done harm.
	finish func(i int) bool
	do     func(ctx context.Context, i int) error
	notify func(i int, kind EventKind, took time.Duration, err error)
	// asides are notes that work under way wants told between its own events.
	asides <-chan func()
}

type finished struct {
	i    int
	took time.Duration
	err  error
}

// run walks until everything ended or nothing more may begin.
func (w *walk) run(ctx context.Context) []outcome {
	state := w.start()
	done := make(chan finished)
	stop := ctx.Done()
	for {
		for i := state.next(ctx); i >= 0; i = state.next(ctx) {
			w.begin(ctx, i, done)
		}
		if state.underWay == 0 {
			return state.outcomes
		}
		select {
		case f := <-done:
			w.end(state, f)
		case aside := <-w.asides:
			aside()
		case <-stop:
			stop = nil // from here on only what is under way is waited for
		}
	}
}

func (w *walk) begin(ctx context.Context, i int, done chan<- finished) {
	w.notify(i, Begun, 0, nil)
	go func() {
		began := time.Now()
		err := w.do(ctx, i)
		done <- finished{i, time.Since(began), err}
	}()
}

func (w *walk) end(state *walkState, f finished) {
	state.release(f.i)
	kind := Done
	switch {
	case errors.Is(f.err, errLeft):
		kind = Skipped
	case f.err != nil:
		kind = Failed
	}
	w.notify(f.i, kind, f.took, f.err)
	for _, skipped := range state.settle(f.i, outcome{kind, f.err}) {
		w.notify(skipped, Skipped, 0, state.outcomes[skipped].err)
	}
}

// walkState counts, for each node, the predecessors that have not ended yet.
type walkState struct {
	*walk
	outcomes   []outcome
	pending    []int
	dependents [][]int
	ready      []int // in order of index, so that a walk begins its steps in the plan's order
	underWay   int
	heavyOnes  int
}

func (w *walk) start() *walkState {
	s := &walkState{
		walk:       w,
		outcomes:   make([]outcome, w.n),
		pending:    make([]int, w.n),
		dependents: make([][]int, w.n),
	}
	for i := range w.n {
		for _, before := range append(slices.Clone(w.needs(i)), w.after(i)...) {
			s.pending[i]++
			s.dependents[before] = append(s.dependents[before], i)
		}
		if s.pending[i] == 0 {
			s.ready = append(s.ready, i)
		}
	}
	return s
}

// next takes the first ready node that may begin, or returns -1.
func (s *walkState) next(ctx context.Context) int {
	for at, i := range s.ready {
		heavy := s.heavy(i)
		if heavy && s.heavyOnes >= s.limit || ctx.Err() != nil && !s.finish(i) {
			continue
		}
		s.ready = slices.Delete(s.ready, at, at+1)
		s.underWay++
		if heavy {
			s.heavyOnes++
		}
		return i
	}
	return -1
}

func (s *walkState) release(i int) {
	s.underWay--
	if s.heavy(i) {
		s.heavyOnes--
	}
}

// settle records how node i ended, makes ready what that allows, and returns the nodes that it skips, in order.
func (s *walkState) settle(i int, how outcome) []int {
	s.outcomes[i] = how
	var skipped []int
	for _, d := range s.dependents[i] {
		if s.outcomes[d].kind == "" && how.kind != Done && slices.Contains(s.needs(d), i) {
			skipped = append(skipped, d)
			skipped = append(skipped, s.settle(d, outcome{Skipped, how.err})...)
			continue
		}
		if s.pending[d]--; s.pending[d] == 0 && s.outcomes[d].kind == "" {
			at, _ := slices.BinarySearch(s.ready, d)
			s.ready = slices.Insert(s.ready, at, d)
		}
	}
	return skipped
}
