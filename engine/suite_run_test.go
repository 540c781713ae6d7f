package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"galley/engine/enginetest"
	"galley/engine/enginetest/dockerd"
)

// Engines in memory: the oldest API that Galley drives, and the newest that its client knows.
func TestSuiteInMemory(t *testing.T) {
	for _, api := range []string{"1.41", "1.51"} {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T) string {
				e := enginetest.New(t, enginetest.WithAPI(api))
				e.AddImage(enginetest.Image{Ref: "busybox:latest", Cmd: []string{"sh"}})
				return e.Host()
			})
		})
	}
}

// The Engine that GALLEY_TEST_ENGINE names, or the installed one.
func TestSuiteOnARealEngine(t *testing.T) {
	host := dockerd.ForTest(t).Host()
	each(t, func(*testing.T) string { return host })
}

// each runs the suite, several tests at a time.
func each(t *testing.T, host func(*testing.T) string) {
	for i, name := range slices.Sorted(maps.Keys(tests())) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tests()[name](t, newSuite(t, host(t), fmt.Sprintf("suite%d", i), fmt.Sprintf("10.231.%d.0/24", i)))
		})
	}
}
