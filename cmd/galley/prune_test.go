package main

import (
	"strings"
	"testing"

	"galley/engine/enginetest"
)

func TestPruneSparesWhatAnyProfileWants(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	for _, ref := range []string{"app:0", "app:1", "app:2"} {
		e.AddImage(enginetest.Image{Ref: ref, Layers: []string{ref}})
	}
	p := begin(t, e, "name: shop\nservices:\n  web: {image: app:2}\n  tool: {image: app:1, profiles: [debug]}\n", "prune")
	if got := code(p.Run()); got != 0 {
		t.Fatalf("exit code %d:\n%s", got, &p.stderr)
	}
	if said := p.stdout.String(); !strings.Contains(said, "app:0") || strings.Contains(said, "app:1") || strings.Contains(said, "app:2") {
		t.Errorf("want app:0 alone to go, got:\n%s", said)
	}
}
