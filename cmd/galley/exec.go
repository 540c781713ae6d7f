package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"galley/engine"
)

// execFlags are the flags of exec.
type execFlags struct {
	consoleFlags
	command engine.Command
	detach  bool
	index   int
}

// execCommand runs a command in a container.
func (c *cli) execCommand() *cobra.Command {
	var x execFlags
	cmd := &cobra.Command{
		Use:   "exec [flags] SERVICE COMMAND [ARGS...]",
		Short: "Run a command in a service's container",
		Long: `Run a command in a running container of a service, and return its exit code.

Called from a terminal, the command gets one too, and ctrl-p ctrl-q leaves it to itself;
else standard input is passed on to its end. No readable recipe is needed, only the
project's name.`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			x.command.Args = args[1:]
			return c.exec(cmd.Context(), &x, args[0])
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // behind the service all belongs to the command
	x.consoleFlags.addTo(f)
	f.BoolVarP(&x.detach, "detach", "d", false, "return at once and leave the command to itself")
	f.StringArrayVarP(&x.command.Env, "env", "e", nil, "environment variable `KEY=VALUE` of the command; KEY alone takes the value from here; repeatable")
	f.IntVar(&x.index, "index", 0, "`NUMBER` of the container, where a service has several")
	f.BoolVar(&x.command.Privileged, "privileged", false, "give the command all privileges")
	f.StringVarP(&x.command.User, "user", "u", "", "`USER` that runs the command")
	f.StringVarP(&x.command.Dir, "workdir", "w", "", "`DIR` that the command runs in")
	return cmd
}

func (c *cli) exec(ctx context.Context, x *execFlags, service string) error {
	p, err := c.present(ctx, []string{service})
	if err != nil {
		return err
	}
	defer p.engine.Close()
	target, err := p.running(service, x.index)
	if err != nil {
		return err
	}
	if c.global.dryRun {
		return c.printPlan(engine.Execution(p.project, target, x.command), "text")
	}
	x.command.Env = c.resolved(x.command.Env)
	x.tty = false // as docker compose does, also in a script: whether there is a terminal decides
	if x.detach {
		return p.engine.ExecDetached(ctx, target, x.command)
	}
	return c.converse(ctx, &x.consoleFlags, func(ctx context.Context, console engine.Console) (int, error) {
		return p.engine.Exec(ctx, target, x.command, console)
	})
}

// resolved gives variables without a value that of the environment; one that is not set is left out.
func (c *cli) resolved(env []string) []string {
	var all []string
	for _, entry := range env {
		if strings.Contains(entry, "=") {
			all = append(all, entry)
			continue
		}
		for _, have := range c.environ {
			if strings.HasPrefix(have, entry+"=") {
				all = append(all, have)
			}
		}
	}
	return all
}

// consoleFlags say what a process in a container talks to.
type consoleFlags struct {
	noTTY, tty, interactive bool
	detachKeys              string
}

func (f *consoleFlags) addTo(flags *pflag.FlagSet) {
	flags.BoolVarP(&f.noTTY, "no-tty", "T", false, "no terminal for the command (default: as standard input and output are one)")
	flags.BoolVarP(&f.tty, "tty", "t", false, "")
	flags.BoolVarP(&f.interactive, "interactive", "i", true, "pass standard input on")
	flags.StringVar(&f.detachKeys, "detach-keys", "", "`KEYS` that leave the command to itself (default: ctrl-p,ctrl-q)")
	flags.Lookup("tty").Hidden = true // docker compose hides it too: it is the default
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "no-TTY" {
			name = "no-tty" // docker compose's own spelling until 2.34
		}
		return pflag.NormalizedName(name)
	})
}

// hasTTY tells whether the process gets a terminal: where there is one on this side.
func (c *cli) hasTTY(f *consoleFlags) bool {
	return !f.noTTY && isTerminal(c.out) && (c.inputTerminal() != nil || !f.interactive)
}

// converse lets a process in a container have the console, and returns its exit code as an error.
func (c *cli) converse(ctx context.Context, f *consoleFlags, talk func(context.Context, engine.Console) (int, error)) error {
	console := engine.Console{Stdout: c.out, Stderr: c.err, DetachKeys: f.detachKeys}
	if f.interactive {
		console.Stdin = c.stdin
	}
	console.TTY = c.hasTTY(f)
	if f.tty && !f.noTTY && !console.TTY {
		return &usageError{err: errors.New("the input device is not a terminal"), hint: "-T runs the command without one"}
	}
	if console.TTY && f.interactive {
		terminal, err := c.takeTerminal()
		if err != nil {
			return fmt.Errorf("taking the terminal: %w", err)
		}
		defer terminal.giveBack()
		console.Sizes = terminal.sizes
	}
	code, err := talk(ctx, console)
	switch {
	case errors.Is(err, engine.ErrDetached):
		return nil
	case err != nil:
		return err
	case code != 0:
		return statusError(code)
	}
	return nil
}
