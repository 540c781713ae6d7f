package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"galley/bosh"
	"galley/compose"
	"galley/engine"
)

// waitFlags are the flags of wait.
type waitFlags struct {
	file            string
	timeout, steady time.Duration
	began           time.Time
}

// bound is a context that ends when the time to wait is over.
func (f *waitFlags) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if f.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, f.began.Add(f.timeout))
}

// waitCommand waits until the project is up.
func (c *cli) waitCommand() *cobra.Command {
	f := waitFlags{began: time.Now()}
	cmd := &cobra.Command{
		Use:   "wait [flags]",
		Short: "Wait until every service is up",
		Long: `Wait until every service is up: running, healthy where it has a healthcheck, or
completed with 0. It waits on what the supervisor says; where there is none, on the
Engine, with the recipe.

A supervisor that is only about to begin is waited for where the project is not up
without one: for --timeout while no container of the project runs, else, and without
--timeout, for ten seconds. With --status it is waited for in any case.

When the time is over, or a service will not come up by itself any more, it says what
is not up and why, with the last lines that it logged, and ends with exit code 6; with 3
if the recipe is invalid, though what ran before may be up; with 7 if the Engine can't
be reached.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.timeout < 0 {
				return &usageError{err: fmt.Errorf("--timeout %s: must not be negative", f.timeout)}
			}
			return c.wait(cmd.Context(), &f)
		},
	}
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "`DURATION` to wait at most (default: for ever)")
	cmd.Flags().DurationVar(&f.steady, "steady", 0, "with a supervisor: let a container without a healthcheck count once it has run for `DURATION`")
	cmd.Flags().StringVar(&f.file, "status", "", "read the supervisor's status from `FILE` (default: that of the recipe's project)")
	return cmd
}

func (c *cli) wait(ctx context.Context, flags *waitFlags) error {
	path, err := c.statusFile(flags.file)
	if err != nil {
		return err
	}
	s, err := bosh.ReadStatus(path)
	if flags.file == "" && (err != nil || !s.Alive()) && !c.beingSupervised(ctx) {
		runs, err := c.waitForEngine(ctx, flags.timeout)
		if err == nil || ctx.Err() != nil || is[*recipeError](err) || !c.supervisorBegins(ctx, path, runs, flags) {
			return err
		}
	}
	return c.waitForStatus(ctx, path, flags)
}

// briefly is how long a supervisor is waited for that nothing speaks for.
const briefly = 10 * time.Second

// supervisorBegins waits for the project's supervisor to say something, for a while that depends on whether anything of the
// project runs without one.
func (c *cli) supervisorBegins(ctx context.Context, path string, runs bool, flags *waitFlags) bool {
	ctx, cancel := flags.bound(ctx)
	defer cancel()
	if runs || flags.timeout == 0 {
		ctx, cancel = context.WithTimeout(ctx, briefly)
		defer cancel()
	}
	// The directory is the one that the supervisor will make: it can be watched only once it is there.
	if ctx.Err() != nil || os.MkdirAll(filepath.Dir(path), 0o755) != nil {
		return false
	}
	c.ui.note("the project is not up, and nobody supervises it yet: waiting for `galley run`")
	return followStatus(ctx, path, func(s *bosh.Status) bool { return s != nil }) == nil
}

// beingSupervised tells whether there is a supervisor, though it may not have said yet how the project is.
func (c *cli) beingSupervised(ctx context.Context) bool {
	name, err := compose.ProjectName(c.source())
	if err != nil {
		return false
	}
	conn, err := bosh.Dial(ctx, c.paths().Control(c.onEngine(name)))
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// notUpError says that a supervised project is not up.
type notUpError struct {
	failures []failure
	code     int
}

func (e *notUpError) Error() string { return strings.Join(texts(e.failures), "; ") }

// waitForStatus follows the supervisor's status.
func (c *cli) waitForStatus(ctx context.Context, path string, flags *waitFlags) error {
	bounded, cancel := flags.bound(ctx)
	defer cancel()
	var last *bosh.Status
	var err error
	for again := true; again; {
		last, again, err = followUntilSettled(bounded, path, flags.steady)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && bounded.Err() == nil:
		return err
	case last == nil && err != nil:
		return fmt.Errorf("no supervisor wrote the status %q within %s", path, flags.timeout)
	case last == nil || !last.Alive():
		return unsupervised(path)
	case last.Up && err == nil && len(last.Recipe.Invalid) == 0 && last.Recipe.RolledBack == nil:
		return nil
	}
	return c.explainStatus(ctx, last, flags.timeout, err != nil)
}

// followUntilSettled follows the supervisor's status until all is up and steady, or will not come up by itself. again: nothing
// was told any more, but time has passed that makes a difference.
func followUntilSettled(ctx context.Context, path string, steady time.Duration) (last *bosh.Status, again bool, err error) {
	following, stop := context.WithCancel(ctx)
	defer stop()
	var alarm *time.Timer
	disarm := func() {
		if alarm != nil {
			alarm.Stop()
		}
	}
	defer disarm()
	err = followStatus(following, path, func(s *bosh.Status) bool {
		disarm()
		if s == nil {
			return last != nil // it ended
		}
		last = s
		if left := awaitSteady(s, steady, time.Now()); left > 0 && !settled(s) {
			alarm = time.AfterFunc(left, stop)
		}
		return s.Up || settled(s)
	})
	return last, err != nil && following.Err() != nil && ctx.Err() == nil, err
}

// settled tells whether a project will not come up by itself any more: of what isn't up, some part is at its end, and
// nothing is being changed.
func settled(s *bosh.Status) bool {
	return !s.Busy && !s.Yielded && slices.ContainsFunc(s.Services, func(one bosh.ServiceStatus) bool { return one.Final })
}

// explainStatus makes an error of a status that is not what was waited for.
func (c *cli) explainStatus(ctx context.Context, s *bosh.Status, timeout time.Duration, late bool) error {
	e := &notUpError{code: exitUnhealthy}
	if len(s.Recipe.Invalid) > 0 {
		e.code = exitInvalid
	}
	for _, text := range troublesOf(s) {
		e.failures = append(e.failures, failure{text: text})
	}
	if s.Engine.Error != "" {
		e.code = exitUnreachable
		return e
	}
	e.failures = append(e.failures, downReport(s, c.lastLines(ctx, s))...)
	if late {
		e.failures = append(e.failures, failure{text: fmt.Sprintf("project %s is not up after %s", s.Project, timeout), note: true})
	}
	return e
}

// lastLines are what the services that are not up logged last; what can't be had is left out.
func (c *cli) lastLines(ctx context.Context, s *bosh.Status) map[string][]string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	opts, err := c.engineOptions()
	if err != nil {
		return nil
	}
	opts.Host = either(opts.Host, s.Engine.Host)
	e, err := engine.Connect(ctx, opts)
	if err != nil {
		return nil
	}
	defer e.Close()
	return serviceLines(ctx, e, s, func(one bosh.ServiceStatus) bool { return !isGood(one.State) })
}

// lastLineCount is how many last lines tell of a service.
const lastLineCount = 10

// serviceLines reads the last lines of the services that which chooses.
func serviceLines(ctx context.Context, e *engine.Engine, s *bosh.Status, which func(bosh.ServiceStatus) bool) map[string][]string {
	lines := map[string][]string{}
	for _, one := range s.Services {
		if !which(one) {
			continue
		}
		var containers []*engine.Container
		for _, c := range one.Containers {
			containers = append(containers, &engine.Container{ID: c.ID, Name: c.Name, Service: one.Name})
		}
		// What can't be read is left out: this only adds to what is said.
		_ = e.Logs(ctx, engine.LogOptions{Project: s.Project, Containers: containers, Tail: fmt.Sprint(lastLineCount)}, func(l engine.LogLine) {
			lines[one.Name] = append(lines[one.Name], l.Text)
		})
		if own := lines[one.Name]; len(own) > lastLineCount {
			lines[one.Name] = own[len(own)-lastLineCount:]
		}
	}
	return lines
}

// waitForEngine waits without a supervisor: with the recipe's gates, and no step that changes anything. It tells whether a
// container of the project runs.
func (c *cli) waitForEngine(ctx context.Context, timeout time.Duration) (runs bool, err error) {
	s, err := c.survey(ctx, unguarded)
	if err != nil {
		return false, err
	}
	defer s.engine.Close()
	runs = slices.ContainsFunc(s.state.Containers, (*engine.Container).Running)
	missing := s.state.Missing(s.project)
	if len(missing) == 0 {
		return runs, s.engine.Await(ctx, s.project, s.state, timeout)
	}
	var all []error
	for _, service := range missing {
		all = append(all, &engine.UnhealthyError{Service: service, State: "has too few containers, and nobody supervises the project"})
	}
	return runs, errors.Join(all...)
}
