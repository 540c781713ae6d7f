package compose

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/types"
)

// envFileVariables warns about variables in the services' env files that have no value, once for each place. What is wrong
// with such a file otherwise is told where it is read.
func (r *recipe) envFileVariables(p *types.Project) []Diagnostic {
	var found []Diagnostic
	told := map[string]bool{}
	eachContainer(p, func(_ string, spec *types.ContainerSpec) {
		for _, d := range blankInEnvFiles(spec, p.Environment) {
			if place := fmt.Sprint(d.File, d.Line, d.Column, d.Message); !told[place] {
				told[place] = true
				found = append(found, d)
			}
		}
	})
	return found
}

// blankInEnvFiles reads the env files of a service as the loader does: a variable's value is the project's, else the
// service's own, else what stands before in this file or in one before it.
func blankInEnvFiles(spec *types.ContainerSpec, project types.Mapping) []Diagnostic {
	var found []Diagnostic
	own := spec.Environment.Resolve(project.Resolve)
	environment := own.ToMapping()
	for _, file := range spec.EnvFiles {
		text, err := os.ReadFile(file.Path)
		if err != nil {
			continue // told, or not required
		}
		blank := map[string]bool{}
		lookup := func(name string) (string, bool) {
			if value, ok := project.Resolve(name); ok {
				return value, true
			}
			if value := own[name]; value != nil {
				return *value, true
			}
			blank[name] = true
			return "", false
		}
		if dotenv.ParseWithFormat(bytes.NewReader(text), file.Path, environment, lookup, file.Format) != nil {
			return found
		}
		if len(blank) > 0 && file.Format == "" {
			found = append(found, placesOf(blank, file.Path, string(text))...)
		}
	}
	return found
}

// placesOf finds where an env file puts in variables that were blank when it was read. The reader tells no lines, so that the
// text is looked through once more: what is set by a line is no longer blank below it.
func placesOf(blanks map[string]bool, path, text string) []Diagnostic {
	var found []Diagnostic
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		if strings.HasPrefix(strings.TrimSpace(value), "'") {
			value = "" // taken to the letter
		}
		names := blank(strings.ReplaceAll(value, `\$`, "$$"), func(name string) (string, bool) { return "", !blanks[name] })
		for _, name := range names {
			found = append(found, Diagnostic{
				Severity: Warning, Code: "undefined-variable", File: path, Line: i + 1, Column: len(key) + 1 + strings.Index(value, "$") + 1,
				Message: fmt.Sprintf("the variable %q is not set; it counts as empty", name),
				Hint:    fmt.Sprintf("set it, or give it a default: ${%s:-default}; a literal $ is written in single quotes", name),
			})
		}
		delete(blanks, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(key), "export ")))
	}
	return found
}
