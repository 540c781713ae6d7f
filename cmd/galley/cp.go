package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"galley/engine"
)

// cpFlags are the flags of cp.
type cpFlags struct {
	engine.Copying
	all   bool
	index int
}

// cpCommand copies files into containers and out of them.
func (c *cli) cpCommand() *cobra.Command {
	var f cpFlags
	cmd := &cobra.Command{
		Use:   "cp [flags] SERVICE:SOURCE TARGET|-\n  galley cp [flags] SOURCE|- SERVICE:TARGET",
		Short: "Copy files into a service's containers, or out of one",
		Long: `Copy a file or a directory into the containers of a service, or out of the first. They
need not run. A directory becomes what a missing TARGET names, and goes into a TARGET
that is there; of one that ends in "/." only the content goes. "-" is a tar, read from
standard input or written to standard output.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, source := inService(args[0])
			to, target := inService(args[1])
			f.Source, f.Target = source, target
			switch {
			case from != "" && to != "":
				return &usageError{err: errors.New("copying from container to container"), hint: "copy to a file here first"}
			case from == "" && to == "":
				return &usageError{err: errors.New("one of the paths must be SERVICE:PATH")}
			case from != "":
				return c.copyFrom(cmd.Context(), from, &f)
			}
			return c.copyTo(cmd.Context(), to, &f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "containers of `galley run SERVICE`, too")
	flags.BoolVarP(&f.Owners, "archive", "a", false, "keep the owners of what goes into containers")
	flags.BoolVarP(&f.FollowLink, "follow-link", "L", false, "copy what SOURCE points to, where it is a symbolic link")
	flags.IntVar(&f.index, "index", 0, "`NUMBER` of the container, where a service has several")
	c.refuseDryRun("`galley exec SERVICE ls -l PATH` shows what is there", cmd)
	return cmd
}

// inService parts SERVICE:PATH. As for docker compose, what begins with "/" or "." is a path here.
func inService(arg string) (service, path string) {
	service, path, found := strings.Cut(arg, ":")
	if !found || filepath.IsAbs(arg) || strings.HasPrefix(arg, ".") {
		return "", arg
	}
	return service, path
}

func (c *cli) copyFrom(ctx context.Context, service string, f *cpFlags) error {
	chosen, e, err := c.copied(ctx, service, f)
	if err != nil {
		return err
	}
	defer e.Close()
	if f.Target == "-" {
		return e.CopyFrom(ctx, chosen[0], f.Copying, c.out)
	}
	f.Target = c.here(f.Target)
	return e.CopyFrom(ctx, chosen[0], f.Copying, nil)
}

func (c *cli) copyTo(ctx context.Context, service string, f *cpFlags) error {
	chosen, e, err := c.copied(ctx, service, f)
	if err != nil {
		return err
	}
	defer e.Close()
	if f.Source == "-" {
		if len(chosen) > 1 {
			return &usageError{err: fmt.Errorf("service %q has %d containers, and standard input can be read once", service, len(chosen)), hint: "--index says into which"}
		}
		return e.CopyTo(ctx, chosen[0], f.Copying, c.stdin)
	}
	f.Source = c.here(f.Source)
	var errs []error
	for _, one := range chosen {
		errs = append(errs, e.CopyTo(ctx, one, f.Copying, nil))
	}
	return errors.Join(errs...)
}

// copied are the containers that are meant, at least one, and their Engine.
func (c *cli) copied(ctx context.Context, service string, f *cpFlags) ([]*engine.Container, *engine.Engine, error) {
	p, err := c.present(ctx, []string{service})
	if err != nil {
		return nil, nil, err
	}
	chosen := slices.DeleteFunc(p.containers, func(have *engine.Container) bool {
		return have.Service != service || have.OneOff && !f.all || f.index != 0 && have.Number != f.index
	})
	if len(chosen) == 0 {
		p.engine.Close()
		if f.index != 0 {
			return nil, nil, noSuchReplica(service, f.index)
		}
		return nil, nil, fmt.Errorf("service %q has no container", service)
	}
	return chosen, p.engine, nil
}

// here is a path on this machine; a trailing "/" or "/." means something and stays.
func (c *cli) here(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return c.dir + string(filepath.Separator) + path
}
