package main

import (
	"encoding/json"
	"io"
	"strings"

	"galley/compose"
)

// verdict is what check found in one recipe, or in the recipes of one manifest.
type verdict struct {
	name     string
	recipes  []*compose.Project
	findings []compose.Diagnostic
}

// count returns how many findings have a severity.
func (v verdict) count(s compose.Severity) int {
	n := 0
	for _, d := range v.findings {
		if d.Severity == s {
			n++
		}
	}
	return n
}

func (v verdict) valid(strict bool) bool {
	return v.count(compose.Error) == 0 && (!strict || v.count(compose.Warning) == 0)
}

// summary is the last word on a recipe: "5 services, ok", "2 errors, 1 warning".
func (v verdict) summary(strict bool) string {
	var parts []string
	if v.count(compose.Error) == 0 {
		if len(v.recipes) > 1 {
			parts = append(parts, plural(len(v.recipes), "recipe"))
		}
		services := 0
		for _, p := range v.recipes {
			services += len(p.Services)
		}
		parts = append(parts, plural(services, "service"))
	}
	for _, s := range []compose.Severity{compose.Error, compose.Warning} {
		if n := v.count(s); n > 0 {
			parts = append(parts, plural(n, string(s)))
		}
	}
	if v.valid(strict) {
		parts = append(parts, "ok")
	}
	return strings.Join(parts, ", ")
}

// verdictObject is what check --format json prints; the command's help documents the fields.
type verdictObject struct {
	Valid    bool                 `json:"valid"`
	Recipes  []recipeObject       `json:"recipes"`
	Findings []compose.Diagnostic `json:"findings"`
}

type recipeObject struct {
	Project  string   `json:"project"`
	Files    []string `json:"files"`
	Services int      `json:"services"`
}

func writeVerdictsJSON(w io.Writer, verdicts []verdict, valid bool) error {
	o := verdictObject{Valid: valid, Recipes: []recipeObject{}, Findings: []compose.Diagnostic{}}
	for _, v := range verdicts {
		for _, p := range v.recipes {
			o.Recipes = append(o.Recipes, recipeObject{p.Name, append([]string{}, p.Files...), len(p.Services)})
		}
		o.Findings = append(o.Findings, v.findings...)
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(o)
}
