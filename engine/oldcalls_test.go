package engine_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"galley/engine"
	"galley/engine/enginetest/dockerd"
)

// TestOlderCallsGiveTheSame holds that a newer Engine has the same containers and networks of each family when it is spoken to
// in the oldest API: networks are then connected one by one, and the hardware address stands in the container's configuration.
func TestOlderCallsGiveTheSame(t *testing.T) {
	if os.Getenv("GALLEY_TEST_ENGINE") == "" {
		t.Skip("GALLEY_TEST_ENGINE names no Engine, as make matrix does")
	}
	host := dockerd.ForTest(t).Host()
	if api := dockerd.ForTest(t).Client().ClientVersion(); api == engine.MinAPI {
		t.Skipf("the Engine knows no newer calls than those of API %s", api)
	}
	all := families()
	maps.DeleteFunc(all, func(_ string, f family) bool { return f.api != "" || f.refused != "" })
	names := slices.Sorted(maps.Keys(all))
	var newer, older []*suite
	for i := range names {
		newer = append(newer, newSuite(t, host, fmt.Sprintf("calls%d", i), fmt.Sprintf("10.234.%d", i)))
	}
	t.Setenv("DOCKER_API_VERSION", engine.MinAPI)
	for _, s := range newer {
		older = append(older, s.again(t))
	}
	if got := older[0].engine.API; got != engine.MinAPI {
		t.Fatalf("the API in use is %s", got)
	}
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testOlderCalls(t, newer[i], older[i], all[name], i)
		})
	}
}

// again is the suite with another connection to its Engine.
func (s *suite) again(t *testing.T) *suite {
	t.Helper()
	e, err := engine.Connect(t.Context(), engine.Options{Host: s.host, Version: "test", FilesDir: s.files})
	must(t, err)
	t.Cleanup(func() { e.Close() })
	other := *s
	other.engine = e
	return &other
}

func testOlderCalls(t *testing.T, newer, older *suite, f family, number int) {
	fill := f.prepare(t, newer, number)
	recipe := fill.Replace(f.recipe)
	p := newer.load(t, recipe)
	if !f.comesUp(t, newer, p) {
		return
	}
	byNewer := newer.look(t, p, recipe)
	newer.cleanUp(t)
	older.mustUp(t, p, engine.DiffOptions{})
	f.looksRightInside(t, older, fill)
	meant := []difference{{`^binds-1\.Asked$`, "to API 1.43 and older, what can't be written can be where something is mounted below: the Engine adds that"}}
	for _, line := range differences(byNewer, older.look(t, p, recipe), meant) {
		t.Errorf("not the same, by the newer calls and the older: %s", line)
	}
	// What one API has made, the other finds as it is wanted.
	newer.mustUp(t, p, engine.DiffOptions{})
}
