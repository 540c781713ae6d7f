package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"galley/bosh"
)

// statusFlags are the flags of status.
type statusFlags struct {
	file, format string
	watch        bool
}

// statusCommand prints what the supervisor says.
func (c *cli) statusCommand() *cobra.Command {
	var s statusFlags
	cmd := &cobra.Command{
		Use:   "status [flags]",
		Short: "Say how the supervised project is",
		Long: `Say how the project is that galley run supervises: each service with its state, its
replicas, since when it is in that state, how often it was restarted, and why.

The states: up, completed (a one-shot that is done), starting, waiting (for another
service), restarting (it ended and is started again after a pause), failed (unhealthy,
ending again and again, or left as it ended), stopped (by hand), unknown (the Engine
can't be reached).

With --format json it is the status file as the supervisor writes it, a JSON object:
  version            1; raised when a field changes its meaning
  project, pid, program_start, supervised, updated
  up                 every service is up, or completed, and nothing is being changed
  busy, yielded      something is being changed; another command has its turn
  own_restarts       the supervisor restarts containers, and the Engine does not
  engine             host, api, error
  recipe             files, hash, loaded, invalid, last_good, rolled_back {at, error}
  converged, seconds, failed, failures, error
  services           each with name, state, why, since, final, wanted, running, healthy,
                     restarts, last_exit {container, code, oom, at}, last_error, drift,
                     image, digest, image_id, needs,
                     schedule {spec, next, runs, skipped, results},
                     containers {id, name, state, health, started, ports}
Times are RFC 3339, in UTC. What is not known, or does not apply, is left out. final
marks what will not get better by itself. runs counts the starts of a service with a
schedule since supervised, skipped the times that passed without one: it still ran, it
was stopped by hand, or there was no Engine. They are not made up for.

The exit code is 0 if every service is up, 6 if not, and 1 without a supervisor.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.status(cmd.Context(), &s) },
	}
	f := cmd.Flags()
	f.StringVar(&s.file, "status", "", "read the status from `FILE` (default: that of the recipe's project)")
	f.Var(newChoice(&s.format, "table", "table", "json"), "format", "how to print: table, json")
	f.BoolVarP(&s.watch, "watch", "w", false, "go on with each change")
	return cmd
}

// unsupervised says that there is no status.
func unsupervised(path string) error {
	return fmt.Errorf("nobody supervises the project: there is no living supervisor behind %q", path)
}

func (c *cli) status(ctx context.Context, flags *statusFlags) error {
	path, err := c.statusFile(flags.file)
	if err != nil {
		return err
	}
	if flags.watch {
		return c.watchStatus(ctx, path, flags.format)
	}
	s, err := bosh.ReadStatus(path)
	if corrupt := (*bosh.CorruptError)(nil); errors.As(err, &corrupt) {
		return err
	}
	if err != nil || !s.Alive() {
		return unsupervised(path)
	}
	if err := c.showStatus(&s, flags.format); err != nil {
		return err
	}
	if !s.Up {
		return statusError(exitUnhealthy)
	}
	return nil
}

func (c *cli) showStatus(s *bosh.Status, format string) error {
	if format == "json" {
		return writeJSON(c.out, s)
	}
	printStatus(c.out, s, time.Now())
	return nil
}

// watchStatus shows each change; on a terminal in place of what was there.
func (c *cli) watchStatus(ctx context.Context, path, format string) error {
	var failure error
	err := followStatus(ctx, path, func(s *bosh.Status) bool {
		if s == nil {
			c.ui.note("nobody supervises the project now")
			return false
		}
		var screen bytes.Buffer
		if format == "json" {
			failure = writeJSON(&screen, s)
		} else {
			screen.WriteString(c.home())
			printStatus(&screen, s, time.Now())
		}
		if failure == nil {
			_, failure = c.out.Write(screen.Bytes())
		}
		return failure != nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(err, failure)
}

// home goes to the upper left of an empty screen, where there is one: what follows is shown in place of what was there.
func (c *cli) home() string {
	if isTerminal(c.out) {
		return "\x1b[H\x1b[J"
	}
	return ""
}

// downReport tells of services that are not up, for people, with their last lines.
func downReport(s *bosh.Status, lines map[string][]string) []failure {
	var all []failure
	for _, one := range s.Services {
		if isGood(one.State) {
			continue
		}
		text := fmt.Sprintf("service %q is %s", one.Name, one.State)
		if note := noteOn(one); note != "" {
			text += ": " + note
		}
		if one.LastExit != nil && !strings.Contains(text, "exited with") {
			text += fmt.Sprintf(" (it last exited with code %d)", one.LastExit.Code)
		}
		all = append(all, failure{text: text, logs: lines[one.Name]})
	}
	return all
}
