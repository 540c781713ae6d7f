package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/spf13/cobra"

	"galley/compose"
	"galley/engine"
)

// psFlags are the flags of ps.
type psFlags struct {
	all, quiet, services, noTrunc, orphans bool
	format, filter                         string
	status                                 []string
}

// psCommand lists containers.
func (c *cli) psCommand() *cobra.Command {
	var p psFlags
	cmd := &cobra.Command{
		Use:   "ps [flags] [SERVICE...]",
		Short: "List the project's containers",
		Long: `List the project's containers: those that run, or with --all those that ended and
one-offs too. No readable recipe is needed, only the project's name.

With --format json each line is an object with the fields that docker compose gives; a
template takes them too, and {{.Label "NAME"}}: 'table {{.Name}}\t{{.Status}}'.`,
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			if err := p.readFilter(); err != nil {
				return err
			}
			return c.ps(cmd, &p, services)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&p.all, "all", "a", false, "containers that ended and one-offs too")
	f.BoolVarP(&p.quiet, "quiet", "q", false, "ids alone")
	f.BoolVar(&p.services, "services", false, "names of services alone")
	f.BoolVar(&p.noTrunc, "no-trunc", false, "do not shorten anything")
	f.BoolVar(&p.orphans, "orphans", true, "services that the recipe does not define too")
	f.StringVar(&p.format, "format", "table", formatHelp)
	f.StringVar(&p.filter, "filter", "", "`status=STATUS`")
	f.StringArrayVar(&p.status, "status", nil, "containers in this `STATUS` alone: created, running, paused, restarting, removing, exited, dead; repeatable")
	return cmd
}

// readFilter turns --filter into a status, and refuses a status that the Engine does not know.
func (p *psFlags) readFilter() error {
	if p.filter != "" {
		key, value, _ := strings.Cut(p.filter, "=")
		if key != "status" {
			return &usageError{err: fmt.Errorf("unknown filter: %q", p.filter), hint: "--filter knows status=STATUS"}
		}
		p.status = append(p.status, value)
	}
	known := []string{
		container.StateCreated, container.StateRunning, container.StatePaused, container.StateRestarting,
		container.StateRemoving, container.StateExited, container.StateDead,
	}
	for _, status := range p.status {
		if !slices.Contains(known, status) {
			return &usageError{err: fmt.Errorf("unknown status: %q", status), hint: "it is one of " + strings.Join(known, ", ")}
		}
	}
	return nil
}

func (c *cli) ps(cmd *cobra.Command, p *psFlags, services []string) error {
	ctx := cmd.Context()
	name, err := compose.ProjectName(c.source())
	if err != nil {
		return err
	}
	e, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	all, err := e.Containers(ctx, name)
	if err != nil {
		return err
	}
	if err := c.checkServices(ctx, services, all); err != nil {
		return err
	}
	if len(all) == 0 {
		// Perhaps this is not the directory that was meant.
		if err := <-c.readAside(ctx); err != nil {
			c.ui.warn(fmt.Sprintf("the recipe can't be read; going by the labels of project %q: %s", name, oneLine(err)))
		}
	}
	shown := slices.DeleteFunc(all, func(have *engine.Container) bool { return !p.shows(have, services) })
	if !p.orphans {
		project, err := c.load(ctx)
		if err != nil {
			return err
		}
		shown = slices.DeleteFunc(shown, func(have *engine.Container) bool { return !project.Knows(have.Service) })
	}
	slices.SortFunc(shown, func(a, b *engine.Container) int { return strings.Compare(a.Name, b.Name) })
	return c.printContainers(p, shown)
}

// shows tells whether a container is wanted. A status asked for shows what has ended too.
func (p *psFlags) shows(c *engine.Container, services []string) bool {
	switch {
	case len(services) > 0 && !slices.Contains(services, c.Service):
		return false
	case len(p.status) > 0:
		return slices.Contains(p.status, c.Phase)
	}
	return p.all || c.Running() && !c.OneOff
}

func (c *cli) printContainers(p *psFlags, shown []*engine.Container) error {
	switch {
	case p.quiet:
		for _, have := range shown {
			fmt.Fprintln(c.out, have.ID)
		}
		return nil
	case p.services:
		var names []string
		for _, have := range shown {
			names = append(names, have.Service)
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			fmt.Fprintln(c.out, name)
		}
		return nil
	}
	return writeContainers(c.out, p.format, shown, !p.noTrunc)
}
