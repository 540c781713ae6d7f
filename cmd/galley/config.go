package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"galley/compose"
)

// configFlags are the flags of config.
type configFlags struct {
	compose.CanonicalOptions
	format, output, hash                string
	quiet, environment, variables       bool
	services, networks, volumes, images bool
	models, profiles                    bool
	resolveDigests, lock                bool
}

// configCommand prints the canonical recipe.
func (c *cli) configCommand() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:     "config [flags] [SERVICE...]",
		Aliases: []string{"convert"},
		Short:   "Print the recipe in its canonical form",
		Long: `Read a recipe and print what it stands for: files merged, includes and anchors resolved,
variables put in, short forms written out, paths absolute. The output is a recipe again.
With SERVICE, only those services and what they need are printed.

Only files are read, and no Engine is asked, but with --resolve-image-digests and
--lock-image-digests. An invalid recipe is not printed: its findings are, as by check, and
the exit code is 3. What galley does not carry out, as build, is only a warning here.

--hash prints what tells whether a service changed: the value of the label
com.docker.compose.config-hash on its containers.`,
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			flags.Services = services
			return c.config(cmd.Context(), &flags)
		},
	}
	f := cmd.Flags()
	f.Var(newChoice(&flags.format, "", "", "yaml", "json"), "format", "yaml (the default) or json")
	f.StringVarP(&flags.output, "output", "o", "", "write to `FILE`; with --dry-run it is printed")
	f.BoolVarP(&flags.quiet, "quiet", "q", false, "only say whether the recipe is valid")
	f.BoolVar(&flags.services, "services", false, "print the services' names")
	f.BoolVar(&flags.networks, "networks", false, "print the networks' names")
	f.BoolVar(&flags.volumes, "volumes", false, "print the volumes' names")
	f.BoolVar(&flags.images, "images", false, "print the images' names")
	f.BoolVar(&flags.models, "models", false, "print the models' names")
	f.BoolVar(&flags.profiles, "profiles", false, "print the profiles' names")
	f.StringVar(&flags.hash, "hash", "", "print the hashes of `SERVICE`, of several separated by commas, or of all (\"*\")")
	f.BoolVar(&flags.resolveDigests, "resolve-image-digests", false, "add to each image its digest: the lock's, the Engine's, or the registry's")
	f.BoolVar(&flags.lock, "lock-image-digests", false, "print an override file that has only each service's image, with its digest")
	f.BoolVar(&flags.variables, "variables", false, "print the variables that the recipe mentions")
	f.BoolVar(&flags.environment, "environment", false, "print the variables that interpolation sees")
	f.BoolVar(&flags.NoInterpolation, "no-interpolate", false, "leave variables as they are")
	f.BoolVar(&flags.NoNormalization, "no-normalize", false, "leave out what the recipe does not say itself")
	f.BoolVar(&flags.NoPathResolution, "no-path-resolution", false, "leave paths as they are")
	f.BoolVar(&flags.NoConsistency, "no-consistency", false, "print what is inconsistent too")
	f.BoolVar(&flags.NoEnvResolution, "no-env-resolution", false, "leave env files as they are")
	return cmd
}

func (c *cli) config(ctx context.Context, flags *configFlags) error {
	c.named = flags.Services
	if flags.hash != "" {
		return c.printHashes(ctx, flags.hash)
	}
	flags.NoInterpolation = flags.NoInterpolation || flags.variables
	// As in docker compose, where names are not those of the specification.
	flags.NoNormalization = flags.NoNormalization || c.global.compatibility
	recipe, err := c.loadCanonical(ctx, flags.CanonicalOptions)
	if err != nil {
		return err
	}
	if flags.resolveDigests || flags.lock {
		if err := c.resolveDigests(ctx, recipe); err != nil {
			return err
		}
	}
	if flags.lock {
		recipe.OnlyImages()
	}
	for _, list := range []struct {
		asked bool
		names func() []string
	}{
		{flags.services, recipe.Services}, {flags.volumes, recipe.Volumes}, {flags.networks, recipe.Networks},
		{flags.models, recipe.Models}, {flags.profiles, recipe.Profiles}, {flags.images, recipe.Images},
	} {
		if list.asked {
			return c.printLines(list.names())
		}
	}
	switch {
	case flags.variables:
		return c.printVariables(recipe.Variables(), flags.format)
	case flags.environment:
		return c.printLines(recipe.Environment())
	case flags.quiet:
		return nil
	}
	return c.printRecipe(recipe, flags)
}

// resolveDigests adds their digests to the recipe's images: those of its lock, or else what the Engine or the registry says.
func (c *cli) resolveDigests(ctx context.Context, recipe *compose.Canonical) error {
	lock, err := c.readLock()
	if err != nil {
		return c.unreadable(err)
	}
	lookUp, done, err := c.digestOf(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	return recipe.PinImages(func(ref string) (string, error) {
		if key, ok := compose.LockKey(ref); ok && lock.Images[key] != "" {
			return lock.Images[key], nil
		}
		return lookUp(ref)
	})
}

// readLock reads the lock beside the recipe, which is empty where there is none.
func (c *cli) readLock() (*compose.Lock, error) {
	path, err := compose.LockOf(c.source())
	if err != nil || path == "" {
		return &compose.Lock{}, err
	}
	lock, err := compose.ReadLock(path)
	if lock == nil {
		lock = &compose.Lock{}
	}
	return lock, err
}

// loadCanonical reads the recipe and prints its warnings.
func (c *cli) loadCanonical(ctx context.Context, opt compose.CanonicalOptions) (*compose.Canonical, error) {
	recipe, diagnostics, err := compose.LoadCanonical(ctx, c.source(), opt)
	if unknown := (*compose.UnknownServiceError)(nil); errors.As(err, &unknown) {
		return nil, noSuchService(unknown.Name)
	}
	if err != nil {
		return nil, c.unreadable(err)
	}
	c.warnOf(diagnostics)
	return recipe, nil
}

func (c *cli) printRecipe(recipe *compose.Canonical, flags *configFlags) error {
	text, err := recipe.Text(either(flags.format, "yaml"))
	if err != nil {
		return fmt.Errorf("writing the recipe: %w", err)
	}
	if flags.output != "" && !c.global.dryRun {
		if err := os.WriteFile(c.absolute(flags.output), text, 0o666); err != nil {
			return fmt.Errorf("writing the recipe: %w", err)
		}
		return nil
	}
	_, err = c.out.Write(text)
	return err
}

func (c *cli) printLines(lines []string) error {
	for _, line := range lines {
		if _, err := fmt.Fprintln(c.out, line); err != nil {
			return err
		}
	}
	return nil
}

// printHashes prints the hashes of services, "*" being all: what their containers carry as a label.
func (c *cli) printHashes(ctx context.Context, which string) error {
	names := strings.Split(which, ",")
	if which != "*" {
		c.named = names
	}
	project, err := c.load(ctx)
	if err != nil {
		return err
	}
	if which == "*" {
		names = nil
		for _, s := range project.Services {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		s := project.Service(name)
		if s == nil {
			return noSuchService(name)
		}
		fmt.Fprintf(c.out, "%s %s\n", s.Name, s.Hash)
	}
	return nil
}

func (c *cli) printVariables(variables []compose.Variable, format string) error {
	if format == "json" {
		byName := map[string]compose.Variable{}
		for _, v := range variables {
			byName[v.Name] = v
		}
		encoder := json.NewEncoder(c.out)
		encoder.SetIndent("", "    ")
		return encoder.Encode(byName)
	}
	w := tabwriter.NewWriter(c.out, 20, 1, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tREQUIRED\tDEFAULT VALUE\tALTERNATE VALUE")
	for _, v := range variables {
		fmt.Fprintf(w, "%s\t%t\t%s\t%s\n", v.Name, v.Required, v.Default, v.Present)
	}
	return w.Flush()
}

// printChecked prints a recipe that was checked, and its findings on standard error.
func (c *cli) printChecked(flags *checkFlags, verdicts []verdict, valid bool) error {
	for _, d := range c.nearby(verdicts[0].findings) {
		tell := map[compose.Severity]func(string){compose.Error: c.ui.fail, compose.Warning: c.ui.warn, compose.Note: c.ui.note}
		tell[d.Severity](located(d))
		c.ui.hint(d.Hint)
	}
	if !valid {
		return nil
	}
	recipe, _, err := compose.LoadCanonical(context.Background(), c.source(), compose.CanonicalOptions{})
	if err != nil {
		return c.unreadable(err)
	}
	format := "yaml"
	if flags.format == "json" {
		format = "json"
	}
	return c.printRecipe(recipe, &configFlags{format: format})
}
