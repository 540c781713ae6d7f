package engine

import (
	"errors"
	"testing"

	"galley/imports"
)

// The words are those that Engines 20.10 and 28.5 were seen to answer with when a layer went while a load relied on it.
func TestALoadKnowsThatALayerHasGone(t *testing.T) {
	const collected = `failed to resolve layers: failed to open "layer-3.tar" (sha256:ee65): NotFound: content digest sha256:ee65: not found`
	const left = `open /var/lib/docker/tmp/docker-import-1/layer-0.tar: no such file or directory`
	for _, tt := range []struct {
		err        error
		containerd bool
		have       int
		want       bool
	}{
		{errors.New(collected), true, 0, true},
		{errors.New(collected), false, 0, false},
		{errors.New(left), false, 1, true},
		{errors.New(left), false, 0, false},
		{errors.New("no space left on device"), true, 0, false},
		{&imports.Error{Fault: imports.Missing, Err: errors.New(left)}, false, 1, false},
		{nil, true, 0, false},
	} {
		a := loadArchive{loads: &loads{store: &Store{Containerd: tt.containerd}}, wanted: []imports.Wanted{{Have: tt.have}}}
		if got := a.lost(tt.err); got != tt.want {
			t.Errorf("%v (containerd %t, %d left out): got %t", tt.err, tt.containerd, tt.have, got)
		}
	}
}
