package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// codecVersion is the version of the form that [Marshal] gives a project. It is raised when an older Galley would read a
// newer form wrongly: a field that merely came along is refused by its name already.
const codecVersion = 1

// envelope is a marshaled project.
type envelope struct {
	Version int      `json:"version"`
	Project *Project `json:"project"`
}

// Marshal gives a project as JSON, with all that a plan is made from: a project read back plans the same steps. It holds
// the values of environment variables and secrets in the clear.
func Marshal(p *Project) ([]byte, error) {
	text, err := json.Marshal(envelope{codecVersion, p})
	if err != nil {
		return nil, fmt.Errorf("writing project %q as JSON: %w", p.Name, err)
	}
	return text, nil
}

// Unmarshal reads what [Marshal] gave. What another version of Galley wrote in a form that this one does not know in full
// is an error.
func Unmarshal(text []byte) (*Project, error) {
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return nil, fmt.Errorf("reading a project from JSON: %w", err)
	}
	if version.Version != codecVersion {
		return nil, fmt.Errorf("reading a project from JSON: it has version %d, and this galley reads version %d", version.Version, codecVersion)
	}
	var e envelope
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		return nil, fmt.Errorf("reading a project from JSON: %w", err)
	}
	if e.Project == nil || e.Project.Name == "" {
		return nil, fmt.Errorf("reading a project from JSON: there is none in it")
	}
	return e.Project, nil
}
