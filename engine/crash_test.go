package engine_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"galley/engine"
	"galley/engine/enginetest"
)

// inMemory is an Engine of the test's own, with a suite on it.
func inMemory(t *testing.T, api string) (*enginetest.Engine, *suite) {
	memory := enginetest.New(t, enginetest.WithAPI(api), enginetest.WithSpeed(1000))
	memory.AddImage(enginetest.Image{Ref: "busybox:latest"})
	s := newSuite(t, memory.Host(), "cut", "10.232.0.0/24")
	s.engine.Close()
	s.engine = connect(t, quick(memory.Host()))
	return memory, s
}

func connect(t *testing.T, opts engine.Options) *engine.Engine {
	t.Helper()
	e, err := engine.Connect(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func changes(c enginetest.Call) bool {
	return c.Method != http.MethodGet && c.Method != http.MethodHead
}

// cutAfter lets the first n calls that change something through, and then nothing any more: for the Engine, the client is
// gone. reached tells whether there was more to do.
func cutAfter(n int) (intercept func(enginetest.Call) *enginetest.Fault, reached func() bool) {
	var mu sync.Mutex
	cut := false
	return func(c enginetest.Call) *enginetest.Fault {
			mu.Lock()
			defer mu.Unlock()
			if changes(c) {
				n--
			}
			if cut = cut || n < 0; cut {
				return &enginetest.Fault{Drop: true}
			}
			return nil
		}, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return cut
		}
}

func TestTheNextUpFinishesWhatWasCutAnywhere(t *testing.T) {
	for _, api := range []string{"1.41", "1.51"} {
		for _, name := range slices.Sorted(maps.Keys(upgrades())) {
			t.Run(api+"/"+name, func(t *testing.T) {
				t.Parallel()
				cutEverywhere(t, api, upgrades()[name])
			})
		}
	}
}

func cutEverywhere(t *testing.T, api string, u upgrade) {
	memory, s := inMemory(t, api)
	renew := func() {
		memory.Reset()
		memory.AddImage(enginetest.Image{Ref: "busybox:latest"})
	}
	ending := u.ending(t, s)
	opts := quick(memory.Host())
	opts.ReconnectWithin = time.Millisecond
	doomed := *s
	doomed.engine = connect(t, opts)
	for n, more := 0, true; more && !t.Failed(); n++ {
		renew()
		u.prepare(t, s)
		intercept, reached := cutAfter(n)
		memory.Intercept(intercept)
		err := doomed.converge(t.Context(), u.to(s), u.options())
		memory.Intercept(nil)
		if more = reached(); more && err == nil {
			t.Errorf("cut after %d calls, there was no error", n)
		}
		if diff := cmp.Diff(ending, u.finish(t, s)); diff != "" {
			t.Errorf("cut after %d calls, the next up ends elsewhere (-undisturbed +now):\n%s", n, diff)
		}
		if leaked := s.anonymousVolumes(t.Context(), t, true); len(leaked) > 0 {
			t.Errorf("cut after %d calls, %d anonymous volumes leaked", n, len(leaked))
		}
		if t.Failed() {
			t.Logf("the calls were:\n%s", changing(memory.Calls()))
		}
	}
}

// changing lists the calls that change something.
func changing(calls []enginetest.Call) (text string) {
	for _, c := range calls {
		if changes(c) {
			text += fmt.Sprintln(c.Status, c.Method, c.Path, c.Query.Encode())
		}
	}
	return text
}
