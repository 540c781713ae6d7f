package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"galley/compose"
	"galley/engine"
)

// operating are the flags and the operation of a verb that acts on containers by their labels.
type operating struct {
	engine.Operation
	waitLock bool
	timeout  int
	// confirm, if set, is asked before anything is done.
	confirm func(*engine.Plan) (bool, error)
}

func (o *operating) addTo(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.waitLock, "wait-lock", false, "wait while another process changes the project")
}

func (o *operating) addTimeoutTo(cmd *cobra.Command) {
	cmd.Flags().IntVarP(&o.timeout, "timeout", "t", 0, "`SECONDS` that containers get to stop (default: as each says)")
}

// operation is a command that acts on the containers of services.
func (c *cli) operation(o *operating, use, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use:               use + " [flags] [SERVICE...]",
		Short:             short,
		Long:              long + "\n\nWhat belongs to the project is known from labels: no readable recipe is needed, only\nthe project's name.",
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			o.Services = services
			if cmd.Flags().Lookup("timeout") != nil {
				o.StopTimeout = timeoutFlag(cmd, o.timeout)
			}
			return c.operate(cmd, o)
		},
	}
	o.addTo(cmd)
	return cmd
}

// operate plans the operation and carries it out.
func (c *cli) operate(cmd *cobra.Command, o *operating) error {
	ctx := cmd.Context()
	name, err := compose.ProjectName(c.source())
	if err != nil {
		return err
	}
	if !c.global.dryRun {
		guard, locks := c.guard(ctx, cmd.Name(), o.waitLock)
		defer locks.release()
		if err := guard(name); err != nil {
			return err
		}
		if err := o.tell(locks); err != nil {
			return err
		}
	}
	p, err := c.present(ctx, o.Services)
	if err != nil {
		return err
	}
	defer p.engine.Close()
	plan, err := c.planOperation(ctx, p, o)
	if err != nil {
		return err
	}
	switch {
	case c.global.dryRun:
		return c.printPlan(plan, "text")
	case plan.Empty():
		c.ui.say("%s: nothing to do", name)
		return nil
	}
	if o.confirm != nil {
		if yes, err := o.confirm(plan); err != nil || !yes {
			return err
		}
	}
	return c.apply(ctx, p.engine, plan, cmd.Name()+" "+name)
}

// planOperation plans. The recipe is read only where configs or secrets are gone: they stand nowhere else.
func (c *cli) planOperation(ctx context.Context, p *present, o *operating) (*engine.Plan, error) {
	have := &engine.State{Project: p.project, API: p.engine.API, Containers: p.containers}
	var unread error
	if o.Verb == engine.VerbStart || o.Verb == engine.VerbRestart {
		files, err := p.engine.Files(p.project)
		if err != nil {
			return nil, err
		}
		if have.Files = files; have.FilesGone() {
			o.Want, unread = c.load(ctx)
		}
	}
	plan, err := engine.Operate(have, o.Operation)
	if err != nil && unread != nil {
		err = unread
	}
	return plan, err
}

// tell lets a supervisor know what shall run from now on, and what shall not.
func (o *operating) tell(l *locks) error {
	switch o.Verb {
	case engine.VerbStart, engine.VerbRestart:
		return l.tell(engine.Wish{Services: o.Services})
	case engine.VerbKill, engine.VerbRemove:
		return l.tell(engine.Wish{Services: o.Services, Stopped: true})
	}
	return nil
}

func (c *cli) startCommand() *cobra.Command {
	o := &operating{Operation: engine.Operation{Verb: engine.VerbStart}}
	var waitTimeout int
	cmd := c.operation(o, "start", "Start containers that were stopped",
		`Start the project's containers that do not run, and those that they need before, each
when what it waits for is ready. Nothing is created or replaced: up does that. The
recipe is read only where configs and secrets are gone, as they are after a reboot.`)
	f := cmd.Flags()
	f.BoolVar(&o.Wait, "wait", false, "return when what was started is healthy, running, or completed")
	f.IntVar(&waitTimeout, "wait-timeout", 0, "`SECONDS` that --wait waits at most (default: for ever)")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if waitTimeout < 0 {
			return &usageError{err: fmt.Errorf("--wait-timeout %d: must not be negative", waitTimeout)}
		}
		o.WaitTimeout = time.Duration(waitTimeout) * time.Second
		return nil
	}
	return cmd
}

func (c *cli) restartCommand() *cobra.Command {
	o := &operating{Operation: engine.Operation{Verb: engine.VerbRestart}}
	cmd := c.operation(o, "restart", "Restart containers",
		`Restart the project's containers, each after those that it needs, and with those named
the ones that ask for it (depends_on: restart). Those that do not run are started. What
changed in the recipe is not looked at: up does that.`)
	o.addTimeoutTo(cmd)
	cmd.Flags().BoolVar(&o.NoDeps, "no-deps", false, "leave out the services that depend on those named")
	return cmd
}

func (c *cli) killCommand() *cobra.Command {
	o := &operating{Operation: engine.Operation{Verb: engine.VerbKill, NoDeps: true}}
	cmd := c.operation(o, "kill", "Kill containers, or send them a signal",
		`Kill the project's running containers, all at once, or send them another signal.`)
	cmd.Flags().StringVarP(&o.Signal, "signal", "s", "SIGKILL", "`SIGNAL` to send")
	cmd.Flags().Bool("remove-orphans", true, "")
	cmd.Flags().Lookup("remove-orphans").Hidden = true // they are killed with the others
	return cmd
}

func (c *cli) pauseCommand() *cobra.Command {
	o := &operating{Operation: engine.Operation{Verb: engine.VerbPause, NoDeps: true}}
	return c.operation(o, "pause", "Freeze containers", `Freeze the processes of the project's running containers; unpause lets them go on.`)
}

func (c *cli) unpauseCommand() *cobra.Command {
	o := &operating{Operation: engine.Operation{Verb: engine.VerbUnpause, NoDeps: true}}
	return c.operation(o, "unpause", "Let frozen containers go on", `Let the processes of the project's frozen containers go on.`)
}

func (c *cli) rmCommand() *cobra.Command {
	o := &operating{Operation: engine.Operation{Verb: engine.VerbRemove, NoDeps: true}}
	var force bool
	cmd := c.operation(o, "rm", "Remove containers that have ended",
		`Remove the project's containers that do not run, or with --stop all of them. Networks
and named volumes stay: down removes those.`)
	f := cmd.Flags()
	f.BoolVarP(&force, "force", "f", false, "do not ask")
	f.BoolVarP(&o.Stop, "stop", "s", false, "stop the containers that run, and remove them too")
	f.BoolVarP(&o.Volumes, "volumes", "v", false, "remove the anonymous volumes too that nobody else mounts")
	f.BoolP("all", "a", true, "")
	f.Lookup("all").Hidden = true // has no effect in docker compose either
	o.confirm = func(plan *engine.Plan) (bool, error) {
		if force {
			return true, nil
		}
		var names []string
		for _, step := range plan.Steps {
			if step.Action.Verb() == engine.VerbRemove {
				names = append(names, step.Action.Target().Name)
			}
		}
		return c.ask("remove " + strings.Join(names, ", "))
	}
	return cmd
}
