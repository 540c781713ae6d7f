package engine_test

import (
	"errors"
	"os"
	"testing"

	"galley/engine/enginetest/dockerd"
)

// TestLoadsIntoContainerdsStore loads and saves where an image's ID is its manifest's digest: Engine 28.5 with containerd's
// image store, which is an option there.
func TestLoadsIntoContainerdsStore(t *testing.T) {
	if version := os.Getenv("GALLEY_TEST_ENGINE"); version != "28.5" {
		t.Skipf("containerd's image store is tested with GALLEY_TEST_ENGINE=28.5, and this is %q", version)
	}
	daemon, err := dockerd.Start(t.Context(), dockerd.Options{
		Version: "28.5", Flags: []string{"--feature", "containerd-snapshotter=true"}, Log: os.Stderr,
	})
	if reason := (*dockerd.UnavailableError)(nil); errors.As(err, &reason) {
		t.Skip(reason)
	}
	must(t, err)
	t.Cleanup(func() { must(t, daemon.Stop()) })
	for name, test := range map[string]func(*testing.T, *suite){
		"tarballs are loaded once and recognised": testLoad,
		"layers are not left out":                 testLoadOnTop,
		"nothing is left of a broken tarball":     testLoadBroken,
		"what is saved can be loaded again":       testSave,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSuite(t, daemon.Host(), "containerd", "")
			if !s.shelf(t).containerd() {
				t.Fatal("this is not containerd's image store")
			}
			test(t, s)
		})
	}
}
