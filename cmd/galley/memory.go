package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"galley/bosh"
	"galley/engine"
)

// memoryFile keeps what is known of containers in the state directory. Only who holds a project's lock writes: what a
// mere look found may have changed before it is written down.
type memoryFile struct {
	cli *cli
}

// memoryVersion is the version of the file's form.
const memoryVersion = 1

type memoryForm struct {
	Version int                     `json:"version"`
	Known   map[string]engine.Known `json:"known"`
}

// Load reads what is kept. A file that can't be understood is as good as none.
func (m *memoryFile) Load(project string) map[string]engine.Known {
	var form memoryForm
	text, err := os.ReadFile(m.path(project))
	if err != nil || json.Unmarshal(text, &form) != nil || form.Version != memoryVersion {
		return nil
	}
	return form.Known
}

// Save keeps known instead. Where that can't be written, what was kept is taken away.
func (m *memoryFile) Save(project string, known map[string]engine.Known) error {
	if _, locked := m.cli.locked.Load(project); !locked {
		return fmt.Errorf("project %q is not locked", project)
	}
	text, err := json.Marshal(memoryForm{memoryVersion, known})
	if err == nil {
		err = bosh.WriteFile(m.path(project), text)
	}
	if err == nil {
		return nil
	}
	if removal := os.Remove(m.path(project)); removal != nil && !errors.Is(removal, fs.ErrNotExist) {
		return errors.Join(err, removal)
	}
	return nil
}

func (m *memoryFile) path(project string) string {
	return m.cli.paths().Known(m.cli.onEngine(project))
}
