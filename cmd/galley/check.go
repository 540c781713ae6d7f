package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"galley/compose"
)

// checkFlags are the flags of check.
type checkFlags struct {
	format        string
	quiet, strict bool
}

// checkCommand says whether recipes are valid.
func (c *cli) checkCommand() *cobra.Command {
	var flags checkFlags
	cmd := &cobra.Command{
		Use:   "check [flags] [FILE...]",
		Short: "Say what is wrong with a recipe, without an Engine",
		Long: `Read a recipe and print every finding: where it stands, how bad it is, what is wrong,
a code that stays the same from release to release, and the way out. Only files are
read; no Engine is asked.

Each FILE is a recipe of its own, or a BOSH manifest, all recipes of which are
checked; "-" is standard input. Files that are to be merged are given with --file.
Without either, the recipe is looked for as up does.

The exit code is 3 when a recipe is invalid, with --strict also when there are
warnings.

With --format json one object is printed; its fields are stable:

  valid     whether all recipes are
  recipes   those that could be read; of each its project, files and services
  findings  of each severity (error, warning, note), code, message, and, as far as
            known, hint, file, line, column and path`,
		RunE: func(cmd *cobra.Command, files []string) error {
			return c.check(cmd.Context(), &flags, files)
		},
	}
	f := cmd.Flags()
	f.Var(newChoice(&flags.format, "text", "text", "json"), "format", "text or json")
	f.BoolVarP(&flags.quiet, "quiet", "q", false, "print nothing but findings")
	f.BoolVar(&flags.strict, "strict", false, "take warnings for errors")
	return cmd
}

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

func (c *cli) check(ctx context.Context, flags *checkFlags, files []string) error {
	if len(files) > 0 && len(c.global.files) > 0 {
		return &usageError{
			err:  errors.New("--file and FILE exclude each other"),
			hint: "--file merges files into one recipe, each FILE is a recipe of its own",
		}
	}
	each := make([][]string, 0, len(files))
	for _, file := range files {
		each = append(each, []string{file})
	}
	if len(each) == 0 {
		each = append(each, c.global.files)
	}
	var verdicts []verdict
	valid := true
	for _, files := range each {
		c.global.files = files
		v, err := c.judge(ctx)
		if err != nil {
			return err
		}
		valid = valid && v.valid(flags.strict)
		verdicts = append(verdicts, v)
	}
	if err := c.printVerdicts(flags, verdicts, valid); err != nil {
		return err
	}
	if !valid {
		return statusError(exitInvalid)
	}
	return nil
}

// judge reads one recipe, or all of one manifest.
func (c *cli) judge(ctx context.Context) (verdict, error) {
	recipes, findings, err := compose.LoadAll(ctx, c.source())
	v := verdict{recipes: recipes, findings: findings}
	var invalid *compose.InvalidError
	switch {
	case errors.As(err, &invalid):
		v.findings = invalid.Diagnostics
	case err != nil:
		return v, &recipeError{err}
	}
	v.name = c.nameOf(v)
	return v, nil
}

// nameOf is what a recipe is called in front of its verdict: its files, as the user knows them.
func (c *cli) nameOf(v verdict) string {
	var names []string
	switch {
	case len(c.global.files) > 0:
		names = c.global.files
	case len(v.recipes) > 0:
		for _, file := range v.recipes[0].Files {
			names = append(names, c.relative(file))
		}
	case len(v.findings) > 0 && v.findings[0].File != "":
		names = []string{c.relative(v.findings[0].File)}
	}
	if len(names) == 0 {
		return "recipe"
	}
	return strings.Join(names, ", ")
}

func (c *cli) printVerdicts(flags *checkFlags, verdicts []verdict, valid bool) error {
	if flags.format == "json" {
		return writeVerdictsJSON(c.out, verdicts, valid)
	}
	for _, v := range verdicts {
		for _, d := range c.nearby(v.findings) {
			c.printFinding(d)
		}
		if !flags.quiet {
			c.ui.say("%s: %s", v.name, v.summary(flags.strict))
		}
	}
	return nil
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

// plural counts things: "1 service", "2 services".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
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
