package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"galley/bosh"
	"galley/compose"
	"galley/engine"
)

// pruneFlags are the flags of prune.
type pruneFlags struct {
	all, waitLock bool
	age           time.Duration
	keepFree      string
}

// pruneCommand removes images that nobody wants.
func (c *cli) pruneCommand() *cobra.Command {
	var p pruneFlags
	cmd := &cobra.Command{
		Use:   "prune [flags]",
		Short: "Remove images that the project no longer wants",
		Long: `Remove images that the project no longer wants: older tags of the repositories that its
recipe and its last good states name, and images that lost their tags. What the recipe
wants in any profile stays, and what rollback may go back to, and what any container was
created from, whosever it is. Images of other repositories may be another project's: they
go only with --all.

--older-than spares what was tagged lately; --keep-free removes the oldest first, and only
as many as it takes. The sizes are those of whole images: layers that others share stay.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.prune(cmd.Context(), &p) },
	}
	f := cmd.Flags()
	f.BoolVarP(&p.all, "all", "a", false, "remove unused images of other repositories too")
	f.DurationVar(&p.age, "older-than", 0, "spare images that were tagged within this `DURATION`, as 168h")
	f.StringVar(&p.keepFree, "keep-free", "", "remove only until this `SIZE` is free for the Engine's data, as 5GB")
	f.BoolVar(&p.waitLock, "wait-lock", false, "wait while another process changes the project")
	return cmd
}

func (c *cli) prune(ctx context.Context, p *pruneFlags) error {
	var keepFree int64
	if p.keepFree != "" {
		var err error
		if keepFree, err = units.FromHumanSize(p.keepFree); err != nil {
			return &usageError{err: fmt.Errorf("--keep-free %q: %w", p.keepFree, err)}
		}
	}
	project, err := c.load(ctx)
	if err != nil {
		return err
	}
	if !c.global.dryRun {
		guard, locks := c.guard(ctx, "prune", p.waitLock)
		defer locks.release()
		if err := guard(project.Name); err != nil {
			return err
		}
	}
	wanted, known, err := c.wantedImages(ctx, project)
	if err != nil {
		return err
	}
	e, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	plan, unwanted, err := e.PlanPrune(ctx, engine.Prune{
		Project: project.Name, Wanted: wanted, Known: known, All: p.all, Age: p.age, KeepFree: keepFree,
	})
	if err != nil {
		return err
	}
	var total int64
	for _, u := range unwanted {
		total += u.Size
		name := strings.Join(u.Names, ", ")
		if name == "" {
			name = "<none>"
		}
		fmt.Fprintf(c.out, "%s  %s  %s\n", shortID(u.ID), units.HumanSizeWithPrecision(float64(u.Size), 3), name)
	}
	switch {
	case len(unwanted) == 0:
		c.ui.say("%s: nothing to do", project.Name)
		return nil
	case c.global.dryRun:
		fmt.Fprintf(c.out, "%d images, %s at most, would be removed\n", len(unwanted), units.HumanSizeWithPrecision(float64(total), 3))
		return nil
	}
	if err := c.apply(ctx, e, plan, "prune "+project.Name); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%d images, %s at most, were removed\n", len(unwanted), units.HumanSizeWithPrecision(float64(total), 3))
	return nil
}

// wantedImages are those of the recipe, with all its profiles, and of what rollback may go back to; known are those of still
// older good states. Without a history that can be read, nothing is removed: it might be what is gone back to.
func (c *cli) wantedImages(ctx context.Context, project *compose.Project) (wanted, known []string, err error) {
	wanted = project.Images()
	whole := c.source()
	whole.Profiles = []string{"*"}
	if all, _, err := compose.Load(ctx, whole); err == nil { // else there are services that can't be brought up anyway
		wanted = append(wanted, all.Images()...)
	}
	history, err := bosh.LoadHistory(c.historyPath(project.Name))
	if err != nil {
		return nil, nil, err
	}
	target, _ := history.Target()
	for place, good := range history.Good {
		for ref, image := range good.Images {
			known = append(known, ref)
			if place <= target {
				wanted = append(wanted, ref, image.ID)
			}
			if place <= target && image.Digest != "" {
				wanted = append(wanted, image.Digest)
			}
		}
	}
	return wanted, known, nil
}
