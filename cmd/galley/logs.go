package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"galley/engine"
)

// logsFlags are the flags of logs.
type logsFlags struct {
	logFlags
	follow             bool
	tail, since, until string
	index              int
}

// logsCommand prints what containers wrote.
func (c *cli) logsCommand() *cobra.Command {
	var l logsFlags
	cmd := &cobra.Command{
		Use:   "logs [flags] [SERVICE...]",
		Short: "Print what the containers wrote",
		Long: `Print what the project's containers wrote, on standard output or standard error, in
order of time over all of them.

With --follow it goes on with what they write, through restarts and replacements, until
no container will write any more. No readable recipe is needed, only the project's name.`,
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			if err := l.check(); err != nil {
				return err
			}
			return c.logs(cmd, &l, services)
		},
	}
	f := cmd.Flags()
	l.addTo(f, "t")
	f.BoolVarP(&l.follow, "follow", "f", false, "go on with what is written")
	f.StringVarP(&l.tail, "tail", "n", "all", "`NUMBER` of last lines of each container, or all")
	f.StringVar(&l.since, "since", "", "lines since this `TIME`: 2026-01-02T13:23:37Z, or 42m for 42 minutes ago")
	f.StringVar(&l.until, "until", "", "lines before this `TIME`")
	f.IntVar(&l.index, "index", 0, "`NUMBER` of the container, where a service has several")
	return cmd
}

// check refuses what the Engine would take for something else: it reads a tail that is no number as "all". A negative one
// means that too.
func (l *logsFlags) check() error {
	n, err := strconv.Atoi(l.tail)
	switch {
	case l.tail != "all" && err != nil:
		return &usageError{err: fmt.Errorf("--tail %q: must be a number of lines, or all", l.tail)}
	case n < 0:
		l.tail = "all"
	}
	return nil
}

func (c *cli) logs(cmd *cobra.Command, l *logsFlags, services []string) error {
	ctx := cmd.Context()
	p, err := c.present(ctx, services)
	if err != nil {
		return err
	}
	defer p.engine.Close()
	wanted := func(have *engine.Container) bool {
		return (!have.OneOff || have.Scheduled()) && (len(services) == 0 || slices.Contains(services, have.Service)) && (l.index == 0 || have.Number == l.index)
	}
	chosen := slices.DeleteFunc(slices.Clone(p.containers), func(have *engine.Container) bool { return !wanted(have) })
	if l.index != 0 && len(chosen) == 0 {
		return &usageError{err: fmt.Errorf("no container has the number %d", l.index)}
	}
	printer := c.newLogPrinter(&l.logFlags, p.project, chosen)
	printer.err = c.out // so that what is searched for is found
	err = p.engine.Logs(ctx, engine.LogOptions{
		Project: p.project, Containers: chosen, Follow: l.follow, Joins: wanted,
		Tail: l.tail, Since: l.since, Until: l.until,
	}, printer.line)
	if ctx.Err() != nil {
		return context.Cause(ctx) // that is how following ends: nothing to be said
	}
	return err
}
