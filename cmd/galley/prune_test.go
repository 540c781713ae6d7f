package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

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

// TestPruneSparesWhatIsYoungOrNotInTheWay asks for a limit by age, and for one by what is free on the disk; the images are each
// larger than any disk.
func TestPruneSparesWhatIsYoungOrNotInTheWay(t *testing.T) {
	t.Parallel()
	const size, elsewhere = 1e18, "/nowhere/at/all"
	for name, test := range map[string]struct {
		args []string
		root string // "": a directory of the test's
		want []string
		says string
		code int
	}{
		"all that is unwanted goes":           {want: []string{"app:4"}, says: "3 images, 3EB at most, were removed\n"},
		"what is young stays":                 {args: []string{"--older-than", "168h"}, want: []string{"app:3", "app:4"}, says: "2 images, 2EB at most, were removed\n"},
		"what is all young stays":             {args: []string{"--older-than", "10000h"}, want: []string{"app:1", "app:2", "app:3", "app:4"}},
		"there is room enough":                {args: []string{"--keep-free", "1kB"}, want: []string{"app:1", "app:2", "app:3", "app:4"}},
		"the oldest makes room enough":        {args: []string{"--keep-free", "500PB"}, want: []string{"app:2", "app:3", "app:4"}, says: "1 images, 1EB at most, were removed\n"},
		"two make room enough":                {args: []string{"--keep-free", "1500PB"}, want: []string{"app:3", "app:4"}, says: "2 images, 2EB at most, were removed\n"},
		"room is not made of what is young":   {args: []string{"--keep-free", "2500PB", "--older-than", "800h"}, want: []string{"app:2", "app:3", "app:4"}, says: "1 images, 1EB at most, were removed\n"},
		"what would go is told":               {args: []string{"--keep-free", "500PB", "--dry-run"}, want: []string{"app:1", "app:2", "app:3", "app:4"}, says: "1 images, 1EB at most, would be removed\n"},
		"room on another machine is not seen": {args: []string{"--keep-free", "1kB"}, root: elsewhere, want: []string{"app:1", "app:2", "app:3", "app:4"}, code: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := test.root
			if root == "" {
				root = t.TempDir()
			}
			e := enginetest.New(t, enginetest.WithDataRoot(root))
			for ref, days := range map[string]int{"app:1": 40, "app:2": 20, "app:3": 2, "app:4": 1} {
				e.AddImage(enginetest.Image{Ref: ref, Layers: []string{ref}, Size: size, Created: time.Now().AddDate(0, 0, -days)})
			}
			p := begin(t, e, "name: shop\nservices:\n  web: {image: app:4}\n", append([]string{"prune"}, test.args...)...)
			if got := code(p.Run()); got != test.code {
				t.Fatalf("exit code %d:\n%s", got, &p.stderr)
			}
			if said := p.stdout.String(); !strings.HasSuffix(said, test.says) || test.says == "" && said != "" {
				t.Errorf("got %q, want it to end with %q", said, test.says)
			}
			if got := slices.Sorted(maps.Keys(e.Snapshot().Images)); !slices.Equal(got, test.want) {
				t.Errorf("left are %q, want %q", got, test.want)
			}
		})
	}
}
