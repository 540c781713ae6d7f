package main

import (
	"context"

	"github.com/spf13/cobra"

	"galley/engine"
)

// attachCommand talks to a container's own process.
func (c *cli) attachCommand() *cobra.Command {
	var f consoleFlags
	var index int
	var noStdin, sigProxy bool
	cmd := &cobra.Command{
		Use:   "attach [flags] SERVICE",
		Short: "Talk to the process of a service's container",
		Long: `Talk to the process of a running container: its output is printed from now on, and
standard input is passed on where the recipe says stdin_open. ctrl-p ctrl-q leaves a
container with a terminal; an interruption leaves one without.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := c.present(cmd.Context(), args)
			if err != nil {
				return err
			}
			defer p.engine.Close()
			target, err := p.running(args[0], index)
			if err != nil {
				return err
			}
			tty, stdin, err := p.engine.Talks(cmd.Context(), target)
			if err != nil {
				return err
			}
			f.noTTY, f.interactive = !tty, stdin && !noStdin
			return c.converse(cmd.Context(), &f, func(ctx context.Context, console engine.Console) (int, error) {
				return p.engine.Attach(ctx, target, console)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.detachKeys, "detach-keys", "", "`KEYS` that leave the container to itself (default: ctrl-p,ctrl-q)")
	flags.IntVar(&index, "index", 0, "`NUMBER` of the container, where a service has several")
	flags.BoolVar(&noStdin, "no-stdin", false, "do not pass standard input on")
	flags.BoolVar(&sigProxy, "sig-proxy", false, "")
	flags.Lookup("sig-proxy").Hidden = true
	c.refuseDryRun("`galley logs SERVICE` shows what the container says", cmd)
	return cmd
}
