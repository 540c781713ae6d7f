package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"galley/compose"
	"galley/engine"
)

// takingDown are the flags that stop and down share.
type takingDown struct {
	timeout  int
	waitLock bool
}

func (t *takingDown) addTo(cmd *cobra.Command) {
	cmd.Flags().IntVarP(&t.timeout, "timeout", "t", 0, "`SECONDS` that containers get to stop (default: as each says)")
	cmd.Flags().BoolVar(&t.waitLock, "wait-lock", false, "wait while another process changes the project")
}

// downCommand takes a project away.
func (c *cli) downCommand() *cobra.Command {
	var t takingDown
	var down engine.Down
	cmd := &cobra.Command{
		Use:   "down [flags] [SERVICE...]",
		Short: "Stop and remove the project's containers and networks",
		Long: `Stop and remove the project's containers, dependents first, and its networks.

What belongs to the project is known from labels: no readable recipe is needed, only
the project's name. All that carries the project's label goes, orphans and one-off
containers too. Volumes stay unless --volumes, images unless --rmi.`,
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			return c.takeDown(cmd, &t, services, down)
		},
	}
	t.addTo(cmd)
	f := cmd.Flags()
	f.BoolVarP(&down.Volumes, "volumes", "v", false, "remove the project's named and anonymous volumes too")
	f.Var(newChoice(&down.Images, "", "", "local", "all"), "rmi", "remove images too: local (those made for the project) or all")
	f.Bool("remove-orphans", true, "")
	f.Lookup("remove-orphans").Hidden = true // they always go; the flag is there for docker compose's command lines
	return cmd
}

// takeDown plans the end of a project, or of some of its services, and carries it out.
func (c *cli) takeDown(cmd *cobra.Command, t *takingDown, services []string, down engine.Down) error {
	ctx := cmd.Context()
	name, err := compose.ProjectName(c.source())
	if err != nil {
		return err
	}
	if !c.global.dryRun {
		guard, locks := c.guard(ctx, cmd.Name(), t.waitLock)
		defer locks.release()
		if err := guard(name); err != nil {
			return err
		}
		if err := locks.tell(engine.Wish{Stopped: true, Services: services}); err != nil {
			return err
		}
	}
	unread := c.readAside(ctx)
	have, err := c.observe(ctx, name)
	if err != nil {
		return err
	}
	defer have.engine.Close()
	if err := <-unread; err != nil {
		c.ui.warn(fmt.Sprintf("the recipe can't be read; going by the labels of project %q: %s", name, oneLine(err)))
	}
	if err := c.checkServices(ctx, services, have.state.Containers); err != nil {
		return err
	}
	plan, err := engine.Diff(&compose.Project{Name: name}, have.state, engine.DiffOptions{
		Services: services, StopTimeout: timeoutFlag(cmd, t.timeout), Down: &down,
	})
	if err != nil {
		return err
	}
	if c.global.dryRun {
		return c.printPlan(plan, "text")
	}
	if plan.Empty() {
		c.ui.say("%s: nothing to do", name)
		return nil
	}
	return c.apply(ctx, have.engine, plan, cmd.Name()+" "+name)
}

// apply carries a plan out and shows how that is getting on.
func (c *cli) apply(ctx context.Context, e *engine.Engine, plan *engine.Plan, title string) error {
	return c.applyShown(ctx, e, plan, title, func(show func(engine.Event)) func(engine.Event) { return show })
}

// applyShown is apply that shows only what a filter lets through.
func (c *cli) applyShown(ctx context.Context, e *engine.Engine, plan *engine.Plan, title string, filter func(show func(engine.Event)) func(engine.Event)) error {
	for _, warning := range plan.Warnings {
		c.ui.warn(warning)
	}
	show := c.follow(ctx, e, title, len(plan.Steps))
	e.Notify = filter(show.event)
	err := e.Apply(ctx, plan)
	show.close()
	if err != nil && len(show.skipped) > 0 {
		err = &skippedError{err, show.skipped}
	}
	return err
}

// readAside reads the recipe while other things go on and says what is wrong with it. Only where the recipe may be where the
// project's name comes from does it matter.
func (c *cli) readAside(ctx context.Context) <-chan error {
	unread := make(chan error, 1)
	if c.global.projectName != "" || c.getenv("COMPOSE_PROJECT_NAME") != "" {
		unread <- nil
		return unread
	}
	source := c.source()
	go func() {
		_, _, err := compose.Load(ctx, source)
		if err != nil {
			err = c.unreadable(err)
		}
		unread <- err
	}()
	return unread
}

// oneLine is the first line of what is wrong, and how much more there is.
func oneLine(err error) string {
	all := failures(err)
	if len(all) == 1 {
		return all[0].text
	}
	return fmt.Sprintf("%s, and %d more", all[0].text, len(all)-1)
}

// checkServices refuses services that neither have a container nor stand in the recipe. The recipe is read only for
// services without a container: else it doesn't matter whether it is readable.
func (c *cli) checkServices(ctx context.Context, services []string, containers []*engine.Container) error {
	for _, name := range services {
		if slices.ContainsFunc(containers, func(have *engine.Container) bool { return have.Service == name }) {
			continue
		}
		project, _, err := compose.Load(ctx, c.source())
		switch {
		case err != nil:
			return errors.Join(noSuchService(name), c.unreadable(err))
		case !project.Knows(name):
			return noSuchService(name)
		}
	}
	return nil
}
