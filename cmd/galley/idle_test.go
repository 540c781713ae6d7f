package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnIdleSupervisorIsSmall looks at the program as it is shipped, not at this one: the race detector takes memory. The
// bench looks at it beside a real Engine, and at the processor's time too.
func TestAnIdleSupervisorIsSmall(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("galley is built for this: not with -short")
	}
	program := filepath.Join(t.TempDir(), "galley")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building galley: %v\n%s", err, out)
	}
	var recipe strings.Builder
	recipe.WriteString("name: shop\nservices:\n")
	for i := range 30 {
		fmt.Fprintf(&recipe, "  s%d: {image: busybox, command: sleep infinity}\n", i)
	}
	p := begin(t, newEngine(t), recipe.String(), "run", "--own-restarts", "--log-dir", "logs", "--socket", "s")
	p.Path = program
	s := &soak{T: t, dir: p.Dir, running: p.Cmd}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
	})
	untilUp(t, p)
	var now usage
	s.until("less than 30 MB are in memory", func() bool {
		now = s.usage()
		return now.rss < 30e6
	})
	t.Logf("with 30 services: %+v", now)
}
