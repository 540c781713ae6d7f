package compose

import (
	"fmt"
	"strings"
)

// Severity ranks a [Diagnostic].
type Severity string

// The severities. Only Error makes a recipe invalid.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// Diagnostic is one finding about a recipe.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	// Code is stable from release to release, as "unknown-key".
	// [Codes] lists them.
	Code string `json:"code"`
	// Message says what is wrong, in lower case, without position. Hint is the way out, where there is one.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// File is where the text stands: through extends, include and several files, that file. "-" is standard input.
	File string `json:"file,omitempty"`
	// Line and Column count from 1; 0 means unknown.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Path is the dotted path in the recipe, as "services.web.ports[0]"; the index is that of the file.
	Path string `json:"path,omitempty"`
	// aboutKey says that the key at Path is meant, not its value.
	aboutKey bool
}

// Position returns "file:line:column" as far as it is known.
func (d Diagnostic) Position() string {
	switch {
	case d.Line == 0:
		return d.File
	case d.Column == 0:
		return fmt.Sprintf("%s:%d", d.File, d.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", d.File, d.Line, d.Column)
	}
}

// samePlace tells whether another finding of the same kind points at the same place.
func (d Diagnostic) samePlace(other Diagnostic) bool {
	return d.Code == other.Code && d.Line > 0 && d.Position() == other.Position()
}

// String returns "file:line:column: severity: message [code]".
func (d Diagnostic) String() string {
	var b strings.Builder
	if p := d.Position(); p != "" {
		b.WriteString(p + ": ")
	}
	fmt.Fprintf(&b, "%s: %s [%s]", d.Severity, d.Message, d.Code)
	return b.String()
}

// InvalidError says that a recipe can't be run; Diagnostics holds every finding, at least one of them an Error.
type InvalidError struct {
	Diagnostics []Diagnostic
}

// Error lists the findings of severity Error, one a line.
func (e *InvalidError) Error() string {
	var lines []string
	for _, d := range e.Diagnostics {
		if d.Severity == Error {
			lines = append(lines, d.String())
		}
	}
	return strings.Join(lines, "\n")
}
