package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"galley/compose"
	"galley/engine"
)

// attachFlags say how up follows the containers' logs, and when it ends by itself.
type attachFlags struct {
	logFlags
	only, except []string
	// onExit and onFailure end everything when one container ends, or fails; exitCodeFrom is the service whose exit code
	// becomes the command's.
	onExit, onFailure bool
	exitCodeFrom      []string
}

func (a *attachFlags) addTo(f *pflag.FlagSet) {
	a.logFlags.addTo(f, "")
	f.StringArrayVar(&a.only, "attach", nil, "follow the logs of this `SERVICE` alone; repeatable")
	f.StringArrayVar(&a.except, "no-attach", nil, "do not follow the logs of this `SERVICE`; repeatable")
	f.BoolVar(&a.onExit, "abort-on-container-exit", false, "stop all containers when one ends")
	f.BoolVar(&a.onFailure, "abort-on-container-failure", false, "stop all containers when one fails")
	f.Var(&last{&a.exitCodeFrom}, "exit-code-from", "return the exit code of this `SERVICE`; implies --abort-on-container-exit")
}

// last is a flag's value as a list of at most one.
type last struct {
	values *[]string
}

func (l *last) Set(s string) error { *l.values = []string{s}; return nil }
func (l *last) Type() string       { return "SERVICE" }
func (l *last) String() string     { return strings.Join(*l.values, "") }

// ends tells whether the end of a container ends the command.
func (a *attachFlags) ends() bool { return a.endsBy() != "" }

// endsBy is the flag that says so.
func (a *attachFlags) endsBy() string {
	switch {
	case len(a.exitCodeFrom) > 0:
		return "--exit-code-from"
	case a.onExit:
		return "--abort-on-container-exit"
	case a.onFailure:
		return "--abort-on-container-failure"
	}
	return ""
}

// attachment is the following of a project's logs.
type attachment struct {
	*cli
	*attachFlags
	engine  *engine.Engine
	project *compose.Project
	// before are the ids of the containers that ran already when the command began, at the time began.
	before map[string]bool
	began  time.Time

	printer *logPrinter
	mu      sync.Mutex
	// first is the container that ended the command, code its exit code.
	first *engine.Container
}

// attach follows the logs of what up has brought up, until all containers have ended, one of them ends everything, or the
// command is interrupted: then it stops them.
func (c *cli) attach(ctx context.Context, s *survey, flags *attachFlags, opts engine.DiffOptions, began time.Time) error {
	a := &attachment{cli: c, attachFlags: flags, engine: s.engine, project: s.project, before: map[string]bool{}, began: began}
	for _, have := range s.state.Containers {
		a.before[have.ID] = have.Running()
	}
	containers, err := s.engine.Containers(ctx, s.project.Name)
	if err != nil {
		return err
	}
	containers = slices.DeleteFunc(containers, func(have *engine.Container) bool { return !a.follows(have, opts.Services) })
	if len(containers) == 0 {
		return nil
	}
	a.printer = c.newLogPrinter(&flags.logFlags, s.project.Name, containers)
	err = a.follow(ctx, containers)
	if ctx.Err() == nil && a.first == nil {
		return err
	}
	stopped := a.stop(context.WithoutCancel(ctx), opts)
	if ctx.Err() != nil {
		return errors.Join(err, stopped, context.Cause(ctx))
	}
	if code := a.exitCode(); code != 0 {
		return errors.Join(err, stopped, statusError(code))
	}
	return errors.Join(err, stopped)
}

// follows tells whether a container's log is wanted: --attach wins over the recipe's `attach: false`.
func (a *attachment) follows(c *engine.Container, services []string) bool {
	service := a.project.Service(c.Service)
	switch {
	case c.OneOff, slices.Contains(a.except, c.Service):
		return false
	case len(a.only) > 0:
		return slices.Contains(a.only, c.Service)
	case service == nil || service.NoAttach:
		return false
	}
	return len(services) == 0 || slices.Contains(services, c.Service)
}

// follow prints the containers' logs until each has ended, or one has that ends the command.
func (a *attachment) follow(ctx context.Context, containers []*engine.Container) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(containers))
	var readers sync.WaitGroup
	for i, c := range containers {
		readers.Go(func() {
			errs[i] = a.engine.Logs(ctx, a.logOptions(c), a.printer.line)
			if errs[i] == nil && ctx.Err() == nil && a.ended(ctx, c) {
				cancel()
			}
		})
	}
	readers.Wait()
	return errors.Join(errs...)
}

// logOptions choose what is new: of a container that was created now everything, of one that was started again what it
// wrote since, of one that ran already only what comes.
func (a *attachment) logOptions(c *engine.Container) engine.LogOptions {
	opts := engine.LogOptions{Project: a.project.Name, Containers: []*engine.Container{c}, Follow: true}
	switch ran, known := a.before[c.ID]; {
	case ran:
		opts.Tail = "0"
	case known:
		opts.Since = fmt.Sprintf("%d.%09d", a.began.Unix(), a.began.Nanosecond())
	}
	return opts
}

// ended tells of a container's end, and whether that ends the command.
func (a *attachment) ended(ctx context.Context, c *engine.Container) bool {
	containers, err := a.engine.Containers(ctx, a.project.Name)
	if err != nil {
		return false // the readers of the other containers will say so
	}
	at := slices.IndexFunc(containers, func(have *engine.Container) bool { return have.ID == c.ID })
	if at < 0 {
		a.ui.say("%s was removed", shortName(a.project.Name, c.Name))
		return false
	}
	now := containers[at]
	a.ui.say("%s exited with code %d", shortName(a.project.Name, c.Name), now.ExitCode)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.first == nil && (a.onExit || len(a.exitCodeFrom) > 0 || a.onFailure && now.ExitCode != 0) {
		a.first = now
		return true
	}
	return false
}

// exitCode is the command's own after a container ended it: that container's, or that of the service asked for.
func (a *attachment) exitCode() int {
	if len(a.exitCodeFrom) == 0 || a.first.Service == a.exitCodeFrom[0] {
		return a.first.ExitCode
	}
	containers, err := a.engine.Containers(context.Background(), a.project.Name)
	if err != nil {
		return exitUnreachable
	}
	for _, c := range containers {
		if c.Service == a.exitCodeFrom[0] && !c.OneOff {
			return c.ExitCode
		}
	}
	return exitFailed
}

// stop stops what was brought up, in reverse order.
func (a *attachment) stop(ctx context.Context, opts engine.DiffOptions) error {
	a.ui.say("stopping; interrupt again to return at once")
	state, err := a.engine.State(ctx, a.project.Name)
	if err != nil {
		return err
	}
	plan, err := engine.Diff(a.project, state, engine.DiffOptions{
		Services: opts.Services, StopTimeout: opts.StopTimeout, Down: &engine.Down{StopOnly: true},
	})
	if err != nil {
		return err
	}
	return a.apply(ctx, a.engine, plan, "stop "+a.project.Name)
}
