package engine

import (
	"errors"
	"testing"

	"galley/imports"
)

// An archive that the Engine wrote can't be copied once more, as one that somebody brought.
func TestAnIncompleteSaveIsTheImagesFault(t *testing.T) {
	err := incomplete([]string{"app:1", "db:1"}, &imports.Error{Fault: imports.Corrupt, Path: ".draft", Err: errors.New("a layer is not there")})
	var image *ImageError
	if !errors.As(err, &image) || image.Hint == "" || image.Error() != `getting image "app:1, db:1": the engine does not have all of it: a layer is not there` {
		t.Errorf("got %v", err)
	}
	if err := incomplete(nil, &imports.Error{Fault: imports.Unreadable, Err: errors.New("denied")}); errors.As(err, &image) {
		t.Errorf("got %v of a file that can't be read", err)
	}
}
