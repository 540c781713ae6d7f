package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// randomWalk draws a graph, which of its nodes fail, and the limit.
type randomWalk struct {
	needs, after [][]int
	fails        []bool
	limit        int
}

func drawWalk(t *rapid.T) randomWalk {
	n := rapid.IntRange(0, 30).Draw(t, "nodes")
	w := randomWalk{
		needs: make([][]int, n),
		after: make([][]int, n),
		fails: make([]bool, n),
		limit: rapid.IntRange(1, 5).Draw(t, "limit"),
	}
	for i := range n {
		for before := range i {
			switch rapid.IntRange(0, 11).Draw(t, "edge") {
			case 0, 1:
				w.needs[i] = append(w.needs[i], before)
			case 2:
				w.after[i] = append(w.after[i], before)
			}
		}
		w.fails[i] = rapid.IntRange(0, 7).Draw(t, "fails") == 0
	}
	return w
}

// expected is how each node must end, by the definition: a node whose need did not end well is skipped.
func (w randomWalk) expected() []EventKind {
	kinds := make([]EventKind, len(w.needs))
	for i := range kinds {
		switch {
		case slices.ContainsFunc(w.needs[i], func(before int) bool { return kinds[before] != Done }):
			kinds[i] = Skipped
		case w.fails[i]:
			kinds[i] = Failed
		default:
			kinds[i] = Done
		}
	}
	return kinds
}

func TestWalkRunsWhatItsNeedsAllowAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWalk(t)
		var mu sync.Mutex
		var underWay int
		ended := make([]bool, len(w.needs))
		outcomes := (&walk{
			n:      len(w.needs),
			needs:  func(i int) []int { return w.needs[i] },
			after:  func(i int) []int { return w.after[i] },
			heavy:  func(i int) bool { return true },
			limit:  w.limit,
			finish: func(int) bool { return false },
			harms:  func(int) bool { return false },
			toils:  func(int) bool { return false },
			do: func(_ context.Context, i int) error {
				mu.Lock()
				defer mu.Unlock()
				if underWay++; underWay > w.limit {
					t.Errorf("%d nodes under way, the limit is %d", underWay, w.limit)
				}
				for _, before := range slices.Concat(w.needs[i], w.after[i]) {
					if !ended[before] && w.expected()[before] != Skipped {
						t.Errorf("node %d began before %d had ended", i, before)
					}
				}
				mu.Unlock()
				runtime.Gosched()
				mu.Lock()
				underWay--
				ended[i] = true
				if w.fails[i] {
					return fmt.Errorf("node %d", i)
				}
				return nil
			},
			notify: func(int, EventKind, time.Duration, error) {},
		}).run(t.Context())
		for i, want := range w.expected() {
			if got := outcomes[i].kind; got != want {
				t.Errorf("node %d: %s, want %s", i, got, want)
			}
		}
	})
}

func TestWalkNamesTheRootCauseOfWhatItSkips(t *testing.T) {
	root := errors.New("root")
	needs := [][]int{nil, {0}, {1}, nil}
	outcomes := walkOf(needs, func(_ context.Context, i int) error {
		if i == 0 {
			return root
		}
		return nil
	}).run(t.Context())
	for i, want := range []outcome{{Failed, root}, {Skipped, root}, {Skipped, root}, {Done, nil}} {
		if outcomes[i] != want {
			t.Errorf("node %d: %v, want %v", i, outcomes[i], want)
		}
	}
}

func TestWalkFinishesWhatIsUnderWayWhenInterruptedAndBeginsNothing(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var finished atomic.Bool
	outcomes := walkOf([][]int{nil, {0}}, func(context.Context, int) error {
		interrupt()
		finished.Store(true)
		return nil
	}).run(ctx)
	if !finished.Load() || outcomes[0].kind != Done || outcomes[1].kind != "" {
		t.Errorf("got %v, want the first done and the second never begun", outcomes)
	}
}

func TestWalkDoesNotCountAnInterruptedWaitAsFailure(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	outcomes := walkOf([][]int{nil}, func(ctx context.Context, _ int) error {
		interrupt()
		<-ctx.Done()
		return errLeft
	}).run(ctx)
	if outcomes[0].kind != Skipped {
		t.Errorf("got %v, want skipped", outcomes[0])
	}
}

// Each service is stopped by an even node and started by the odd one after it.
func walkOfServices(n int, do func(context.Context, int) error) *walk {
	needs := make([][]int, 2*n)
	for i := 1; i < len(needs); i += 2 {
		needs[i] = []int{i - 1}
	}
	w := walkOf(needs, do)
	w.limit, w.harmLimit = 12, 2
	w.harms = func(i int) bool { return i%2 == 0 }
	w.finish = func(i int) bool { return i%2 == 1 }
	w.toils = w.finish
	return w
}

func TestWalkKeepsFewServicesDownAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var down atomic.Int32
		walkOfServices(10, func(_ context.Context, i int) error {
			if i%2 == 0 && down.Add(1) > 2 {
				t.Error("more than two services are down at once")
			}
			time.Sleep(harmTime / 2)
			if i%2 == 1 {
				time.Sleep(harmTime) // a slow start keeps the others up
				down.Add(-1)
			}
			return nil
		}).run(t.Context())
		if took := time.Since(began); took != 10*harmTime {
			t.Errorf("took %s, want no pause between one service and the next", took)
		}
	})
}

func TestWalkDoesNotWaitForASlowStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		walkOfServices(4, func(_ context.Context, i int) error {
			if i%2 == 0 {
				time.Sleep(10 * time.Second)
			}
			return nil
		}).run(t.Context())
		if took := time.Since(began); took != 10*time.Second+harmTime {
			t.Errorf("took %s, want the second two to begin after %s", took, harmTime)
		}
	})
}

func walkOf(needs [][]int, do func(context.Context, int) error) *walk {
	return &walk{
		n:      len(needs),
		needs:  func(i int) []int { return needs[i] },
		after:  func(int) []int { return nil },
		heavy:  func(int) bool { return true },
		limit:  2,
		finish: func(int) bool { return false },
		harms:  func(int) bool { return false },
		toils:  func(int) bool { return false },
		do:     do,
		notify: func(int, EventKind, time.Duration, error) {},
	}
}
