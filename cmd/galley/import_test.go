package main

import (
	"crypto/rand"
	"syscall"
	"testing"
	"time"

	"galley/engine/enginetest"
)

// TestKilledImportLeavesNothing kills an import while it streams a tarball: the Engine has no image of it, and the next
// import brings it whole.
func TestKilledImportLeavesNothing(t *testing.T) {
	const recipe = "name: big\nservices:\n  web:\n    image: big:1\n"
	text := make([]byte, 8<<20) // more than the sockets between take
	_, _ = rand.Read(text)      // never fails
	has := newEngine(t)
	id := has.AddImage(enginetest.Image{Ref: "big:1", Files: map[string]string{"/text": string(text)}})
	export := begin(t, has, recipe, "export", "-o", "out")
	if err := export.Run(); err != nil {
		t.Fatalf("exporting: %v: %s", err, export.stderr.String())
	}

	lacks := newEngine(t)
	loading := make(chan struct{}, 1)
	lacks.Intercept(func(c enginetest.Call) *enginetest.Fault {
		if c.Op != "POST /images/load" {
			return nil
		}
		loading <- struct{}{}
		return &enginetest.Fault{Hang: true}
	})
	importing := func() *process {
		p := begin(t, lacks, recipe, "import", "out/images.lst")
		p.Dir = export.Dir
		return p
	}
	killed := importing()
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-loading:
	case <-time.After(time.Minute):
		t.Fatalf("nothing was loaded: %s", killed.stderr.String())
	}
	if err := killed.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := killed.Wait(); err == nil {
		t.Fatal("the import ended well before it was killed")
	}
	if got := lacks.Snapshot().Images["big:1"]; got != "" {
		t.Errorf("big:1 is %s after the kill", got)
	}
	lacks.Intercept(nil)
	if next := importing(); next.Run() != nil {
		t.Fatalf("importing again: %s", next.stderr.String())
	}
	if got := lacks.Snapshot().Images["big:1"]; got != id {
		t.Errorf("big:1 is %q, want %s", got, id)
	}
}
