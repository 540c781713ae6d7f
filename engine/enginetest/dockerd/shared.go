package dockerd

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"
)

// ForTest returns the Engine that all tests of the process share, with [Busybox] loaded. The environment variable
// GALLEY_TEST_ENGINE says which of [Versions] it is; unset, it is the dockerd that is installed. A test keeps to a
// project of its own, and cleans up after it.
//
// Where no private Engine can run, the test is skipped and says why. The Engine ends with the process.
func ForTest(t testing.TB) *Daemon {
	t.Helper()
	daemon, err := shared()
	if reason := (*UnavailableError)(nil); errors.As(err, &reason) {
		t.Skip(reason)
	}
	if err != nil {
		t.Fatal(err)
	}
	return daemon
}

var shared = sync.OnceValues(func() (*Daemon, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	daemon, err := Start(ctx, Options{Version: os.Getenv("GALLEY_TEST_ENGINE"), Log: os.Stderr})
	if err != nil {
		return nil, err
	}
	image, err := Busybox(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	return daemon, LoadImage(ctx, daemon.Client(), image)
})
