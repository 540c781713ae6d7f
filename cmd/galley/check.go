package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"galley/compose"
)

// checkFlags are the flags of check.
type checkFlags struct {
	format, explain string
	quiet, strict   bool
	print, support  bool
	engineAPI       string
	airGapped       bool
	tarballs        importFlags
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

Findings are errors (up refuses the recipe), warnings (it runs, perhaps not as meant)
and notes. Those that would only get in up's way, as an image without a tag, are told
by check alone. The exit code is 3 when a recipe is invalid, with --strict also when
there are warnings. --explain CODE says what a code means, ` + "`galley help codes`" + ` lists
them all.

With --air-gapped every image must be in the tarballs that --import names (without it:
in those of BOSH jobs), for this machine, and a service that others want healthy must
have a healthcheck, in the recipe or in its image.

With --format json one object is printed; its fields are stable:

  valid     whether all recipes are
  recipes   those that could be read; of each its project, file names and services
  findings  of each severity (error, warning, note), code, message, and, as far as
            known, hint, file, line, column and path

--format github prints annotations for a workflow of GitHub Actions, --format sarif a
log in the format SARIF 2.1.0, which code hosts and editors read.`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if flags.support {
				return c.printSupport(flags.format)
			}
			if flags.explain != "" {
				return c.explain(flags.explain)
			}
			if api := flags.engineAPI; api != "" && !regexp.MustCompile(`^1\.\d+$`).MatchString(api) {
				return &usageError{err: fmt.Errorf("--engine-api %q: it must be a version, as 1.41", api)}
			}
			return c.check(cmd.Context(), &flags, files)
		},
	}
	f := cmd.Flags()
	f.Var(newChoice(&flags.format, "text", "text", "json", "github", "sarif"), "format", "text, json, github or sarif")
	f.BoolVarP(&flags.quiet, "quiet", "q", false, "print nothing but findings")
	f.BoolVar(&flags.strict, "strict", false, "take warnings for errors")
	f.BoolVar(&flags.print, "print", false, "print the recipe in its canonical form, as config does; findings go to standard error")
	f.BoolVar(&flags.support, "support", false, "print what becomes of each attribute of the compose-spec")
	f.StringVar(&flags.explain, "explain", "", "say what the `CODE` of a finding means")
	f.BoolVar(&flags.airGapped, "air-gapped", false, "require every image to be in tarballs")
	f.StringArrayVar(&flags.tarballs.globs, "import", nil, "`GLOB` of the tarballs, or of lists of them, for --air-gapped; repeatable")
	flags.tarballs.addRoot(f)
	f.StringVar(&flags.engineAPI, "engine-api", "", "refuse what needs a newer Engine API than `VERSION`, as 1.41")
	return cmd
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
	if flags.print && len(each) > 1 {
		return &usageError{err: errors.New("--print prints one recipe"), hint: "name one FILE"}
	}
	var verdicts []verdict
	valid := true
	images, unusable, err := c.airGapped(ctx, flags)
	if err != nil {
		return err
	}
	for _, files := range each {
		c.global.files = files
		v, err := c.judge(ctx, flags, images)
		if unreadable := (*recipeError)(nil); errors.As(err, &unreadable) && (len(each) > 1 || flags.format != "text") {
			v.findings = append(v.findings, compose.Diagnostic{
				Severity: compose.Error, Code: compose.CodeUnreadable, Message: err.Error(), File: strings.Join(files, ", "),
			})
		} else if err != nil {
			return err
		}
		v.name = c.nameOf(v)
		v.findings, unusable = append(unusable, v.findings...), nil
		valid = valid && v.valid(flags.strict)
		verdicts = append(verdicts, v)
	}
	print := c.printVerdicts
	if flags.print {
		print = c.printChecked
	}
	if err := print(flags, verdicts, valid); err != nil {
		return err
	}
	if !valid {
		return statusError(exitInvalid)
	}
	return nil
}

// judge reads one recipe, or all of one manifest.
func (c *cli) judge(ctx context.Context, flags *checkFlags, images *compose.Offline) (verdict, error) {
	src := c.source()
	src.Key = nil // nothing is made, and nobody sees the digests
	src.Lint, src.EngineAPI, src.Offline = true, flags.engineAPI, images
	recipes, findings, err := compose.LoadAll(ctx, src)
	v := verdict{recipes: recipes, findings: findings}
	var invalid *compose.InvalidError
	switch {
	case errors.As(err, &invalid):
		v.findings = invalid.Diagnostics
	case err != nil:
		return v, &recipeError{err}
	}
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
	switch flags.format {
	case "json":
		return writeVerdictsJSON(c.out, verdicts, valid)
	case "sarif":
		return c.writeSARIF(verdicts)
	}
	for _, v := range verdicts {
		for _, d := range c.nearby(v.findings) {
			if flags.format == "github" {
				c.printAnnotation(d)
			} else {
				c.printFinding(d)
			}
		}
		if !flags.quiet {
			c.ui.say("%s: %s", v.name, v.summary(flags.strict))
		}
	}
	return nil
}

// explain says what a code means.
func (c *cli) explain(name string) error {
	code, hint, ok := compose.Explain(name)
	if !ok {
		return &usageError{err: fmt.Errorf("unknown code %q", name), hint: either(hint, "`galley help codes` lists them all")}
	}
	_, err := fmt.Fprintf(c.out, "%s (%s)\n%s\n", code.Name, code.Severity, code.Sentence)
	return err
}

// plural counts things: "1 service", "2 services".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
