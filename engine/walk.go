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
	// finish tells which pieces are begun as soon as they are ready, before all others and even after ctx ended: those
	// without which the ones before would have done harm.
	finish func(i int) bool
	// harms tells which pieces do the harm that those to finish make good. No more than harmLimit of both are at work at
	// once, so that each harm is short. What takes longer than harmTime waits rather than works, and counts no more, unless
	// toils says that it always works.
	harms, toils func(i int) bool
	harmLimit    int
	do           func(ctx context.Context, i int) error
	notify       func(i int, kind EventKind, took time.Duration, err error)
	// asides are notes that work under way wants told between its own events.
	asides <-chan func()
}

// harmTime is how long a piece of work that does harm, or makes it good, keeps others from doing harm.
const harmTime = time.Second

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
			state.watch(i)
		}
		if state.underWay == 0 {
			return state.outcomes
		}
		select {
		case f := <-done:
			w.end(state, f)
		case aside := <-w.asides:
			aside()
		case i := <-state.waits:
			delete(state.working, i)
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
	// working are the pieces at work that do harm, or make it good; waits tells of one that is taken to wait.
	working map[int]*time.Timer
	waits   chan int
}

func (w *walk) start() *walkState {
	s := &walkState{
		walk:       w,
		outcomes:   make([]outcome, w.n),
		pending:    make([]int, w.n),
		dependents: make([][]int, w.n),
		working:    make(map[int]*time.Timer),
		waits:      make(chan int, w.n),
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
	at := slices.IndexFunc(s.ready, s.finish)
	if at < 0 && ctx.Err() == nil {
		at = slices.IndexFunc(s.ready, func(i int) bool {
			return !(s.heavy(i) && s.heavyOnes >= s.limit) && !(s.harms(i) && len(s.working) >= s.harmLimit)
		})
	}
	if at < 0 {
		return -1
	}
	i := s.ready[at]
	s.ready = slices.Delete(s.ready, at, at+1)
	s.underWay++
	if s.heavy(i) {
		s.heavyOnes++
	}
	return i
}

// watch counts node i, which was begun, among those that keep others from doing harm, until it ends or is taken to wait.
func (s *walkState) watch(i int) {
	if !s.harms(i) && !s.finish(i) {
		return
	}
	s.working[i] = time.AfterFunc(harmTime, func() { s.waits <- i })
	if s.toils(i) {
		s.working[i].Stop()
	}
}

func (s *walkState) release(i int) {
	s.underWay--
	if s.heavy(i) {
		s.heavyOnes--
	}
	if timer := s.working[i]; timer != nil {
		timer.Stop()
		delete(s.working, i)
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
