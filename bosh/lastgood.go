package bosh

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"
)

// Good is a project as it was when all of it came up.
type Good struct {
	// Saved is when that was.
	Saved time.Time `json:"saved"`
	// Project is the project as compose.Marshal gives it.
	Project json.RawMessage `json:"project"`
	// Images are the images that its containers were created from, by reference.
	Images map[string]Image `json:"images,omitempty"`
}

// Image is what a reference pointed to.
type Image struct {
	// ID is the image's ID on the Engine, Digest name@digest in the registry that it came from, "" if it came from none.
	ID     string `json:"id"`
	Digest string `json:"digest,omitempty"`
}

// same tells whether two good states are one, whenever they were saved.
func (g Good) same(other Good) bool {
	return bytes.Equal(g.Project, other.Project) &&
		maps.EqualFunc(g.Images, other.Images, func(a, b Image) bool { return a.ID == b.ID })
}

// History are the good states of a project: what there is to go back to.
type History struct {
	// Good are the distinct good states, the last one first, [historyDepth] at most.
	Good []Good `json:"good"`
	// Changed: since the last good state something was begun that did not come to a good end, or that changed a part of the
	// project only. What runs may be neither this nor that.
	Changed bool `json:"changed,omitempty"`
	// WentBack: the last good state was brought back from a later one.
	WentBack bool `json:"went_back,omitempty"`
}

const (
	// historyVersion is the version of the file's form.
	historyVersion = 1
	// historyDepth is how many good states are kept.
	historyDepth = 5
)

// historyFile is the file's form.
type historyFile struct {
	Version int `json:"version"`
	History
}

// CorruptError says that a file of Galley's own can't be understood.
type CorruptError struct {
	Path string
	Err  error
}

func (e *CorruptError) Error() string { return fmt.Sprintf("reading %q: %v", e.Path, e.Err) }

func (e *CorruptError) Unwrap() error { return e.Err }

// LoadHistory reads the history at path. Where there is none yet it is empty; one that can't be understood is a
// *CorruptError.
func LoadHistory(path string) (*History, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &History{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the last good states: %w", err)
	}
	var file historyFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, &CorruptError{path, err}
	}
	if file.Version != historyVersion {
		return nil, &CorruptError{path, fmt.Errorf("it has version %d, and this galley reads version %d", file.Version, historyVersion)}
	}
	if slices.ContainsFunc(file.Good, func(g Good) bool { return len(g.Project) == 0 }) {
		return nil, &CorruptError{path, errors.New("a good state has no project")}
	}
	return &file.History, nil
}

// Save writes the history to path, for its owner alone: recipes hold secrets.
func (h *History) Save(path string) error {
	text, err := json.Marshal(historyFile{historyVersion, *h})
	if err != nil {
		return fmt.Errorf("writing the last good states: %w", err)
	}
	return WriteFile(path, text)
}

// Last is the last good state, or nil.
func (h *History) Last() *Good {
	if len(h.Good) == 0 {
		return nil
	}
	return &h.Good[0]
}

// Keep makes g the last good state and tells whether that changes anything. One that was good before is not kept twice.
func (h *History) Keep(g Good) (changed bool) {
	if last := h.Last(); last != nil && last.same(g) && !h.Changed {
		return false
	}
	h.put(g)
	h.WentBack = false
	return true
}

// Target is the place in Good of the state to go back to: of the last one, where something was changed since, or where it
// was gone back to already; else of the one before. ok is false where there is none.
func (h *History) Target() (place int, ok bool) {
	if !h.Changed && !h.WentBack {
		place = 1
	}
	return place, place < len(h.Good)
}

// GoBack makes the good state at a place of Good the last one, and notes that it is yet to be brought back: Changed.
// Interrupted and called for again, a way back has the same target.
func (h *History) GoBack(place int) {
	h.WentBack = h.WentBack || place > 0
	h.put(h.Good[place])
	h.Changed = true
}

// put makes g the last good state.
func (h *History) put(g Good) {
	older := slices.DeleteFunc(slices.Clone(h.Good), g.same)
	h.Good = append([]Good{g}, older...)
	h.Good = h.Good[:min(len(h.Good), historyDepth)]
	h.Changed = false
}
