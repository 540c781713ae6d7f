package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"galley/engine"
)

// planCommand shows what up would do.
func (c *cli) planCommand() *cobra.Command {
	var chosen selection
	var format string
	var detailed bool
	cmd := &cobra.Command{
		Use:   "plan [flags] [SERVICE...]",
		Short: "Show what up would do, and why",
		Long: `Show what up would do, and why. Nothing is changed.

Each line is a step: + makes, - takes away, ! takes away with its data, ~ changes,
and a line without a mark waits. The reason stands in brackets.

With --format json one object is printed; its fields are stable:

  project   the project's name
  steps     in an order that can be carried out; of each step
    index     its number, from 0
    action    create, pull, write, start, stop, remove, rename, restart, signal,
              update, connect, disconnect, run or await
    kind      container, network, volume, image, config, secret or files (of a
              container: its configs and secrets)
    name      the container's, network's or volume's name, the image's reference,
              "SECRET for CONTAINER"
    service   the service, for containers, images, configs and secrets
    why       the reason
    needs     the numbers of the steps that must succeed before
    after     the numbers of the steps that must have ended before
  warnings  what will be left as it is

With --detailed-exitcode the exit code is 4 when changes are pending. A pull that
a policy asks for at every run is shown, but is no pending change.`,
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			opts, err := chosen.options(cmd, services)
			if err != nil {
				return err
			}
			c.named = services
			s, err := c.survey(cmd.Context(), unguarded)
			if err != nil {
				return err
			}
			defer s.engine.Close()
			if err := chosen.check(s.project, services); err != nil {
				return err
			}
			changes, err := c.showPlan(cmd.Context(), s, c.beside(s.project.Name, opts), format)
			if err == nil && changes && detailed {
				return statusError(exitPending)
			}
			return err
		},
	}
	chosen.addTo(cmd.Flags(), c)
	cmd.Flags().Var(newChoice(&format, "text", "text", "json"), "format", "text or json")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "return 4 when changes are pending")
	return cmd
}

// showPlan prints what up would do with the options and tells whether that changes anything.
func (c *cli) showPlan(ctx context.Context, s *survey, opts engine.DiffOptions, format string) (changes bool, err error) {
	pulls, err := s.engine.Refresh(ctx, s.project, s.state, opts)
	if err != nil {
		return false, err
	}
	if err := s.engine.Complete(ctx, s.project, s.state, opts); err != nil {
		return false, err
	}
	plan, err := engine.Diff(s.project, s.state, opts)
	if err != nil {
		return false, err
	}
	return !plan.Empty(), c.printPlan(behind(pulls, plan), format)
}

// behind puts a plan behind another one.
func behind(first, second *engine.Plan) *engine.Plan {
	both := *second
	both.Steps = append([]engine.Step(nil), first.Steps...)
	for _, step := range second.Steps {
		step.Needs = shifted(step.Needs, len(first.Steps))
		step.After = shifted(step.After, len(first.Steps))
		both.Steps = append(both.Steps, step)
	}
	return &both
}

func shifted(indices []int, by int) []int {
	moved := make([]int, len(indices))
	for i, index := range indices {
		moved[i] = index + by
	}
	return moved
}

// printPlan prints a plan on standard output, and its warnings too: on standard error, or with JSON within the object.
func (c *cli) printPlan(plan *engine.Plan, format string) error {
	if format == "json" {
		return writePlanJSON(c.out, plan)
	}
	for _, warning := range plan.Warnings {
		c.ui.warn(warning)
	}
	for _, step := range plan.Steps {
		fmt.Fprintln(c.out, planLine(step, c.ui.outColor))
	}
	fmt.Fprintln(c.out, planSummary(plan))
	return nil
}

// planLine is a step as people read it: mark, verb, target, reason.
func planLine(s engine.Step, color bool) string {
	mark, look := markOf(s.Action.Verb())
	if s.LosesData() {
		mark = "!"
	}
	line := paint(color, look, fmt.Sprintf("%s %s %s", mark, s.Action.Verb(), s.Action.Target()))
	if s.Why == "" {
		return line
	}
	return line + paint(color, dim, " ("+s.Why+")")
}

// markOf tells what kind of change a verb is.
func markOf(v engine.Verb) (mark string, look style) {
	switch v {
	case engine.VerbStop, engine.VerbKill, engine.VerbPause, engine.VerbRemove:
		return "-", red
	case engine.VerbRestart, engine.VerbRename, engine.VerbRun, engine.VerbUpdate, engine.VerbSignal, engine.VerbConnect,
		engine.VerbDisconnect:
		return "~", yellow
	case engine.VerbAwait:
		return " ", plain
	}
	return "+", green
}

// planSummary counts the steps: "plan: 3 to create, 3 to start".
func planSummary(plan *engine.Plan) string {
	if plan.Empty() {
		return "nothing to do"
	}
	count := map[engine.Verb]int{}
	for _, s := range plan.Steps {
		count[s.Action.Verb()]++
	}
	var parts []string
	for _, v := range []engine.Verb{
		engine.VerbLoad, engine.VerbTag, engine.VerbSave, engine.VerbPull, engine.VerbWrite, engine.VerbCreate, engine.VerbUpdate,
		engine.VerbConnect, engine.VerbStart, engine.VerbRestart, engine.VerbSignal, engine.VerbUnpause, engine.VerbPause,
		engine.VerbKill, engine.VerbStop, engine.VerbDisconnect, engine.VerbRemove, engine.VerbRename,
	} {
		if count[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", count[v], v))
		}
	}
	if n := count[engine.VerbRun]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d to run a hook in", n))
	}
	if n := count[engine.VerbAwait]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d to wait for", n))
	}
	return "plan: " + strings.Join(parts, ", ")
}

// planObject is a plan as --format json prints it; the command's help documents the fields.
type planObject struct {
	Project  string       `json:"project"`
	Steps    []stepObject `json:"steps"`
	Warnings []string     `json:"warnings"`
}

type stepObject struct {
	Index   int         `json:"index"`
	Action  engine.Verb `json:"action"`
	Kind    engine.Kind `json:"kind"`
	Name    string      `json:"name"`
	Service string      `json:"service,omitempty"`
	Why     string      `json:"why"`
	Needs   []int       `json:"needs"`
	After   []int       `json:"after"`
}

// writePlanJSON prints the plan as one object. Lists are never null: scripts iterate over them.
func writePlanJSON(w io.Writer, plan *engine.Plan) error {
	o := planObject{Project: plan.Project, Steps: []stepObject{}, Warnings: append([]string{}, plan.Warnings...)}
	for i, s := range plan.Steps {
		target := s.Action.Target()
		o.Steps = append(o.Steps, stepObject{
			Index: i, Action: s.Action.Verb(), Kind: target.Kind, Name: target.Name, Service: target.Service,
			Why: s.Why, Needs: append([]int{}, s.Needs...), After: append([]int{}, s.After...),
		})
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(o)
}
