package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"galley/engine"
)

// upFlags are the flags of up.
type upFlags struct {
	selection
	detach, wait, quietPull, waitLock, noRollback, yes bool
	waitTimeout                                        int
	// build and accepted are there for command lines written for docker compose.
	build, accepted bool
	attachFlags
	importFlags
}

// upCommand brings the Engine to what the recipe says.
func (c *cli) upCommand() *cobra.Command {
	var u upFlags
	cmd := &cobra.Command{
		Use:   "up [flags] [SERVICE...]",
		Short: "Bring the Engine to what the recipe says",
		Long: `Bring the Engine to what the recipe says: create what is missing, replace what
differs, start what does not run, in the order that the recipe asks for. What is as
wanted is left alone. The services named are brought up together with what they
need; without names, all are.

Without --detach or --wait the containers' logs are followed. Interrupted then, up
stops the containers; interrupted again it returns at once. Interrupted while it
changes something, it finishes the steps under way, says what it left, and ends.

A service whose update fails is put back to what ran before, unless --no-rollback.

With --import the tarballs' images are loaded before anything else is done. A tarball
that can't be used is an error in any case, but keeps the recipe from coming up only
if the Engine lacks an image of the recipe.`,
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			return c.bringUp(cmd, &u, services)
		},
	}
	u.addTo(cmd.Flags(), c)
	return cmd
}

func (u *upFlags) addTo(f *pflag.FlagSet, c *cli) {
	u.addCreating(f, c)
	u.attachFlags.addTo(f)
	f.BoolVarP(&u.detach, "detach", "d", false, "return when the containers are started")
	f.BoolVar(&u.wait, "wait", false, "return when all services are healthy, running, or completed; implies --detach")
	f.IntVar(&u.waitTimeout, "wait-timeout", 0, "`SECONDS` that --wait waits at most (default: for ever)")
	f.BoolVar(&u.noRollback, "no-rollback", false, "leave a service whose update failed as it is")
	f.BoolVar(&u.accepted, "menu", false, "")
	f.Lookup("menu").Hidden = true
}

// addCreating adds the flags that create has, too.
func (u *upFlags) addCreating(f *pflag.FlagSet, c *cli) {
	u.selection.addTo(f, c)
	u.importFlags.addTo(f)
	f.BoolVar(&u.quietPull, "quiet-pull", false, "pull without showing progress")
	f.BoolVar(&u.waitLock, "wait-lock", false, "wait while another process changes the project")
	f.BoolVar(&u.build, "build", false, "")
	f.BoolVar(&u.accepted, "no-build", false, "")
	f.BoolVarP(&u.yes, "yes", "y", false, "answer yes where --recreate-volumes asks")
	for _, name := range []string{"build", "no-build"} {
		f.Lookup(name).Hidden = true
	}
}

// options checks the flags against each other and gives them as the engine takes them.
func (u *upFlags) options(cmd *cobra.Command, services []string) (engine.DiffOptions, error) {
	opts, err := u.selection.options(cmd, services)
	if err != nil {
		return opts, err
	}
	u.detach = u.detach || u.wait
	switch {
	case u.build:
		return opts, &usageError{err: errors.New("--build: galley runs images and never builds them")}
	case u.wait && u.noStart:
		return opts, contradiction("--wait", "--no-start")
	case u.detach && u.ends():
		return opts, contradiction("--detach", u.endsBy())
	case u.waitTimeout < 0:
		return opts, &usageError{err: fmt.Errorf("--wait-timeout %d: must not be negative", u.waitTimeout)}
	}
	opts.Wait, opts.NoRollback = u.wait, u.noRollback
	opts.WaitTimeout = time.Duration(u.waitTimeout) * time.Second
	return opts, nil
}

// bringUp brings the services named up, or all, as the flags say.
func (c *cli) bringUp(cmd *cobra.Command, u *upFlags, services []string) error {
	opts, err := u.options(cmd, services)
	if err != nil {
		return err
	}
	c.named = services
	return c.up(cmd.Context(), u, opts)
}

// up surveys, converges, and follows the logs unless it is to return.
func (c *cli) up(ctx context.Context, u *upFlags, opts engine.DiffOptions) error {
	guard, locks := c.guard(ctx, "up", u.waitLock)
	defer locks.release()
	s, err := c.survey(ctx, guard)
	if err != nil {
		return err
	}
	defer s.engine.Close()
	if err := u.check(s.project, append(opts.Services, u.exitCodeFrom...)); err != nil {
		return err
	}
	opts = c.beside(s.project.Name, opts)
	faults, err := c.importFirst(ctx, s, &u.importFlags)
	if err != nil {
		return err
	}
	if c.global.dryRun {
		_, err := c.showPlan(ctx, s, opts, "text")
		return errors.Join(faults, err)
	}
	if err := locks.tell(engine.Wish{Services: opts.Services, Reload: true, Scale: opts.Scale}); err != nil {
		return err
	}
	if err := c.confirmLoss(ctx, s, opts, u.yes); err != nil {
		return err
	}
	began := time.Now()
	if err := c.converge(ctx, s, opts, u.quietPull); err != nil {
		return errors.Join(faults, err)
	}
	locks.release()
	if u.detach || u.noStart {
		return faults
	}
	return errors.Join(faults, c.attach(ctx, s, &u.attachFlags, opts, began))
}

// converge brings the Engine to what is wanted, and keeps what came up in full.
func (c *cli) converge(ctx context.Context, s *survey, opts engine.DiffOptions, quietPull bool) error {
	record := c.record(s, opts)
	err := c.bring(ctx, s, opts, "up", quietPull)
	if err == nil {
		record.keep(ctx, s)
	}
	return err
}

// bring brings the Engine to what is wanted and shows how that is getting on.
func (c *cli) bring(ctx context.Context, s *survey, opts engine.DiffOptions, command string, quietPull bool) error {
	show := c.follow(ctx, s.engine, command+" "+s.project.Name, c.steps(s, opts))
	if quietPull {
		s.engine.Notify = withoutProgress(show.event)
	}
	plan, err := s.engine.Converge(ctx, s.project, s.state, opts)
	show.close()
	if plan != nil {
		for _, warning := range plan.Warnings {
			c.ui.warn(warning)
		}
		if plan.Empty() && err == nil {
			c.ui.say("%s: nothing to do", s.project.Name)
		}
	}
	if err != nil && len(show.skipped) > 0 {
		err = &skippedError{err, show.skipped}
	}
	return err
}

// steps is how many steps there will be, for a counter on a terminal; else nobody asks.
func (c *cli) steps(s *survey, opts engine.DiffOptions) int {
	if !c.ui.live {
		return 0
	}
	plan, err := engine.Diff(s.project, s.state, opts)
	if err != nil {
		return 0 // Converge will say so
	}
	return len(plan.Steps)
}

// withoutProgress leaves out how far the steps under way have got.
func withoutProgress(notify func(engine.Event)) func(engine.Event) {
	return func(e engine.Event) {
		if e.Kind != engine.Progress {
			notify(e)
		}
	}
}

// skippedError is a failure with the steps that were skipped because of it.
type skippedError struct {
	err     error
	skipped []*engine.Step
}

func (e *skippedError) Error() string { return e.err.Error() }
func (e *skippedError) Unwrap() error { return e.err }
