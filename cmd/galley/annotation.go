package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"galley/compose"
)

// printAnnotation prints a finding as a workflow command of GitHub Actions, which shows it beside the line it is about.
// Source: GitHub Docs, Workflow commands for GitHub Actions, "Setting an error message".
func (c *cli) printAnnotation(d compose.Diagnostic) {
	command := map[compose.Severity]string{compose.Error: "error", compose.Warning: "warning", compose.Note: "notice"}[d.Severity]
	var properties []string
	property := func(name, value string) {
		properties = append(properties, name+"="+escapeProperty(value))
	}
	if d.File != "" && d.File != "-" {
		property("file", c.inWorkspace(d.File))
		if d.Line > 0 {
			property("line", fmt.Sprint(d.Line))
		}
		if d.Column > 0 {
			property("col", fmt.Sprint(d.Column))
		}
	}
	property("title", "galley: "+d.Code)
	text := d.Message
	if d.Hint != "" {
		text += "\nhint: " + d.Hint
	}
	fmt.Fprintf(c.out, "::%s %s::%s\n", command, strings.Join(properties, ","), escapeData(sanitize(text)))
}

// inWorkspace is a file as seen from the checkout that the workflow works on, where it lies in it.
func (c *cli) inWorkspace(file string) string {
	if workspace := c.getenv("GITHUB_WORKSPACE"); workspace != "" {
		if rel, err := filepath.Rel(workspace, c.absolute(file)); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return file
}

// escapeData and escapeProperty write what would end a workflow command or one of its properties as the runner expects it
// (github.com/actions/toolkit, packages/core, command).
func escapeData(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text)
}

func escapeProperty(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(text)
}
