package main

import (
	"context"

	"github.com/spf13/cobra"

	"galley/compose"
	"galley/engine"
)

// pullFlags are the flags of pull.
type pullFlags struct {
	quiet, includeDeps, ignoreFailures, noParallel bool
	policy                                         string
	// accepted are there for command lines written for docker compose.
	accepted bool
}

// pullCommand pulls the images of services.
func (c *cli) pullCommand() *cobra.Command {
	var flags pullFlags
	cmd := &cobra.Command{
		Use:   "pull [flags] [SERVICE...]",
		Short: "Pull the images of services",
		Long: `Pull the images of the services named, or of all, several at a time and each image once.
Nothing that runs is touched: up does that.

Each service's pull_policy counts: with never or build its image is left alone, with
missing it is pulled only if it is not there; all others are pulled. --policy overrides
it. A pull is tried again when the network fails; it fails at once when the registry
refuses.`,
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			c.named = services
			return c.pull(cmd.Context(), &flags, services)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&flags.quiet, "quiet", "q", false, "pull without showing progress")
	f.BoolVar(&flags.includeDeps, "include-deps", false, "also pull what the services need")
	f.BoolVar(&flags.ignoreFailures, "ignore-pull-failures", false, "make warnings of pulls that fail")
	f.BoolVar(&flags.noParallel, "no-parallel", false, "pull one image after the other")
	f.Var(newChoice(&flags.policy, "policy", "policy", "always", "missing"), "policy", "what to pull: policy (as the recipe says), always, missing")
	f.BoolVar(&flags.accepted, "ignore-buildable", false, "")
	f.Lookup("ignore-buildable").Hidden = true
	return cmd
}

func (c *cli) pull(ctx context.Context, flags *pullFlags, services []string) error {
	if flags.noParallel {
		c.global.parallel = 1
	}
	s, err := c.survey(ctx, unguarded)
	if err != nil {
		return err
	}
	defer s.engine.Close()
	for _, name := range services {
		if err := knownService(s.project, name); err != nil {
			return err
		}
	}
	opts := engine.PullOptions{Services: services, Deps: flags.includeDeps}
	if flags.policy != "policy" {
		opts.Policy = compose.PullPolicy(flags.policy)
	}
	plan := engine.Pulls(s.project, s.state, opts)
	switch {
	case c.global.dryRun:
		return c.printPlan(plan, "text")
	case plan.Empty():
		c.ui.say("%s: nothing to pull", s.project.Name)
		return nil
	}
	show := c.follow(ctx, s.engine, "pull "+s.project.Name, len(plan.Steps))
	if flags.quiet {
		s.engine.Notify = withoutProgress(show.event)
	}
	err = s.engine.Apply(ctx, plan)
	show.close()
	if !flags.ignoreFailures || !is[*engine.ImageError](err) || is[*engine.InterruptedError](err) {
		return err
	}
	for _, f := range failures(err) {
		c.ui.warn(f.text)
		c.ui.hint(f.hint)
	}
	return nil
}
