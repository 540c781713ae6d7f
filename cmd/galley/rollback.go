package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"galley/bosh"
	"galley/compose"
	"galley/engine"
)

// rollbackFlags are the flags of rollback.
type rollbackFlags struct {
	to       int
	list     bool
	waitLock bool
	timeout  int
}

// rollbackCommand goes back to an earlier good state.
func (c *cli) rollbackCommand() *cobra.Command {
	var f rollbackFlags
	cmd := &cobra.Command{
		Use:   "rollback [flags]",
		Short: "Go back to the project's last good state",
		Long: `Go back to the project's last good state. Each time that all of a project has come
up, up keeps it: the recipe as it was understood, and the images that its containers
were created from. The last five different ones are there to go back to; no readable
recipe is needed, only the project's name.

After an up that failed, was interrupted, or concerned some services only, rollback
goes to the last good state. After one that succeeded it goes to the one before: what
came up was not good after all. Called again, it does not go on to and fro: it stays
at the state that it brought back, and mends what differs from it. --list shows the
states there are, and --to goes to any of them. An up goes forward again.

Images are those of that time, wherever their tags point now; one that is gone is
pulled by its digest. What the project had not at that time is removed, but for
volumes, which always stay as they are, as do files that the recipe mounts.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.rollback(cmd, &f)
		},
	}
	cmd.Flags().IntVar(&f.to, "to", 0, "go to the state of that `NUMBER` in the list")
	cmd.Flags().BoolVar(&f.list, "list", false, "list the good states, the last one first")
	cmd.Flags().IntVarP(&f.timeout, "timeout", "t", 0, "`SECONDS` that containers get to stop (default: as each says)")
	cmd.Flags().BoolVar(&f.waitLock, "wait-lock", false, "wait while another process changes the project")
	return cmd
}

// rollback finds the state to go back to and brings it back.
func (c *cli) rollback(cmd *cobra.Command, f *rollbackFlags) error {
	ctx := cmd.Context()
	name, err := compose.ProjectName(c.source())
	if err != nil {
		return err
	}
	guard, locks := c.guard(ctx, "rollback", f.waitLock)
	defer locks.release()
	if !f.list {
		if err := guard(name); err != nil {
			return err
		}
	}
	history, err := bosh.LoadHistory(c.historyPath(name))
	if err != nil {
		return err
	}
	if f.list {
		return c.listGood(history)
	}
	place, err := f.target(name, history)
	if err != nil {
		return err
	}
	if err := c.goBack(ctx, name, history, place, timeoutFlag(cmd, f.timeout)); err != nil {
		return err
	}
	return locks.tell(engine.Wish{GoBack: true})
}

// target is the place of the state that is asked for.
func (f *rollbackFlags) target(project string, history *bosh.History) (int, error) {
	place, ok := history.Target()
	switch {
	case f.to < 0 || f.to > len(history.Good):
		return 0, &usageError{fmt.Errorf("--to %d: there are %d good states", f.to, len(history.Good)), "`galley rollback --list` shows them"}
	case f.to > 0:
		return f.to - 1, nil
	case len(history.Good) == 0:
		return 0, &nothingGoodError{fmt.Sprintf("project %q has no good state to go back to", project)}
	case !ok:
		return 0, &nothingGoodError{fmt.Sprintf("project %q has one good state, of %s, and that came up last: there is none before it", project, moment(history.Good[0]))}
	}
	return place, nil
}

// nothingGoodError says that there is nothing to go back to.
type nothingGoodError struct {
	text string
}

func (e *nothingGoodError) Error() string { return e.text }

// goBack brings a state back. It is the last good one from the beginning: called for again after a failure, rollback goes on
// with it.
func (c *cli) goBack(ctx context.Context, name string, history *bosh.History, place int, timeout *int) error {
	good := history.Good[place]
	project, err := compose.Unmarshal(good.Project)
	if err != nil {
		return err
	}
	observed, err := c.observe(ctx, name)
	if err != nil {
		return err
	}
	defer observed.engine.Close()
	s := &survey{project, observed}
	opts := engine.DiffOptions{RemoveOrphans: true, StopTimeout: timeout, Pins: map[string]engine.Pin{}}
	for ref, img := range good.Images {
		opts.Pins[ref] = engine.Pin(img)
	}
	opts = c.beside(name, opts)
	if place == 0 && history.WentBack && !history.Changed {
		c.ui.say("%s: already went back to the good state of %s; `galley rollback --list` shows older ones", name, moment(good))
	} else {
		c.ui.say("%s: going back to the good state of %s", name, moment(good))
	}
	if c.global.dryRun {
		_, err := c.showPlan(ctx, s, opts, "text")
		return err
	}
	path := c.historyPath(name)
	history.GoBack(place)
	if err := history.Save(path); err != nil {
		return err
	}
	if err := c.bring(ctx, s, opts, "rollback", false); err != nil {
		return err
	}
	history.Changed = false
	return history.Save(path)
}

// listGood prints the good states, and which one rollback goes to.
func (c *cli) listGood(history *bosh.History) error {
	table := tabwriter.NewWriter(c.out, 10, 1, 3, ' ', 0)
	fmt.Fprintln(table, "NUMBER\tCAME UP\tSERVICES\tROLLBACK")
	target, ok := history.Target()
	for i, good := range history.Good {
		project, err := compose.Unmarshal(good.Project)
		if err != nil {
			return errors.Join(err, table.Flush())
		}
		note := ""
		if ok && i == target {
			note = "goes here"
		}
		fmt.Fprintf(table, "%d\t%s\t%d\t%s\n", i+1, moment(good), len(project.Services), note)
	}
	return table.Flush()
}

// moment is when a state was good.
func moment(g bosh.Good) string { return g.Saved.Local().Format(time.DateTime) }
