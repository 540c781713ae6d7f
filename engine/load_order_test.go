package engine_test

import (
	"slices"
	"testing"

	"galley/engine"
	"galley/imports"
)

// tarball is an archive of one image for any machine, with layers of so many bytes, named by their digests.
func tarball(path string, layers ...layerOf) imports.Archive {
	img := imports.Image{ID: "sha256:" + path, Tags: []string{path}, Runs: true}
	var all int64
	for _, l := range layers {
		img.DiffIDs = append(img.DiffIDs, "sha256:"+l.name)
		img.Layers = append(img.Layers, imports.Layer{File: l.name, Size: l.bytes})
		all += l.bytes
	}
	return imports.Archive{Path: path, Size: max(all, 1000), Images: []imports.Image{img}}
}

type layerOf struct {
	name  string
	bytes int64
}

func TestLoadsBeginWithWhatBringsTheMost(t *testing.T) {
	base, other := layerOf{"base", 100}, layerOf{"other", 100}
	for name, tt := range map[string]struct {
		archives []imports.Archive
		have     map[string]bool
		want     []string
	}{
		"none shares a layer with the one before it": {
			archives: []imports.Archive{
				tarball("a1", base, layerOf{"1", 50}), tarball("a2", base, layerOf{"2", 50}),
				tarball("b1", other, layerOf{"3", 50}), tarball("b2", other, layerOf{"4", 50}),
			},
			want: []string{"a1", "b1", "a2", "b2"},
		},
		"what takes the longest is not left for the end": {
			archives: []imports.Archive{tarball("small", layerOf{"1", 10}), tarball("middle", layerOf{"2", 50}), tarball("large", layerOf{"3", 900})},
			want:     []string{"large", "middle", "small"},
		},
		"layers that are there count for nothing": {
			archives: []imports.Archive{tarball("mostly there", base, layerOf{"1", 10}), tarball("new", layerOf{"2", 50})},
			have:     map[string]bool{"sha256:base": true},
			want:     []string{"new", "mostly there"},
		},
		"sizes that are not known are guessed": {
			archives: []imports.Archive{tarball("small", layerOf{"1", 10}), tarball("unknown", layerOf{"2", 0}, layerOf{"3", 0})},
			want:     []string{"unknown", "small"},
		},
		"equal ones keep their order": {
			archives: []imports.Archive{tarball("x", layerOf{"1", 10}), tarball("y", layerOf{"2", 10}), tarball("z", layerOf{"3", 10})},
			want:     []string{"x", "y", "z"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan := engine.DiffImages(tt.archives, &engine.Store{Chains: tt.have}, engine.LoadOptions{})
			var got []string
			for _, step := range plan.Steps {
				got = append(got, step.Action.Target().Name)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("loads %q, want %q", got, tt.want)
			}
		})
	}
}

// What a broken archive was to bring comes from another one. But a tag that it was to move stays where it is: an older image
// must not get it by accident.
func TestBrokenArchivesGiveNothingAndKeepTheirTags(t *testing.T) {
	named := func(path, tag string) imports.Archive {
		a := tarball(path, layerOf{path, 10})
		a.Images[0].Tags = []string{tag}
		return a
	}
	older, newer, broken := named("older", "app:1"), named("newer", "app:1"), named("broken", "db:1")
	copied := broken
	copied.Path = "copied"
	plan := engine.DiffImages([]imports.Archive{older, broken, newer, copied}, &engine.Store{}, engine.LoadOptions{Broken: []string{"broken", "newer"}})
	plan.Warnings = nil
	if want := "0 load tarball copied (missing: db:1)\n"; plan.String() != want {
		t.Errorf("got plan\n%swant\n%s", plan, want)
	}
}
