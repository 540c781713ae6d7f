package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"galley/bosh"
)

// boshCommand holds what the scripts of the BOSH release's job call.
func (c *cli) boshCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bosh COMMAND",
		Short: "Do the work of the BOSH release's jobs on a VM, and make image releases",
		Long: `The scripts of the jobs in bosh/release only call these commands. They take everything
from the job's rendered properties in /var/vcap/jobs/docker/config.

image-release makes a release of images out of a recipe, anywhere. Of the others, those
that change something refuse --dry-run: a VM's plan is that of galley plan, stop and
daemon-config.`,
	}
	vm := bosh.VM{}
	cmd.PersistentFlags().StringVar(&vm.Root, "root", "/", "`DIR` that the VM's paths start from")
	changing := []*cobra.Command{
		c.boshPreStart(&vm),
		c.boshDrain(&vm),
		c.boshPostStop(&vm),
		c.boshDocker(&vm),
		c.boshSupervisor(&vm),
		c.boshSupervise(&vm),
		c.boshRunTask(&vm),
	}
	c.refuseDryRun("`galley plan`, and `galley stop` or `galley daemon-config` with --dry-run, show what would be done", changing...)
	cmd.AddCommand(changing...)
	cmd.AddCommand(c.boshPostStart(&vm), c.boshEnv(&vm), c.boshSmokeTests(&vm), c.boshImageRelease())
	return cmd
}

// boshDocker starts and stops dockerd, for monit.
func (c *cli) boshDocker(vm *bosh.VM) *cobra.Command {
	return &cobra.Command{
		Use:       "docker start|stop",
		Short:     "Start dockerd after the files are in place; stop it with nothing left alive or mounted",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"start", "stop"},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.logged(vm, "docker.log", func(out io.Writer) error {
				if args[0] == "stop" {
					return vm.StopDaemon(cmd.Context(), out)
				}
				return c.startDaemon(cmd.Context(), vm, out)
			})
		},
	}
}

// startDaemon puts the files in place first: the Engine makes directories of bind sources that are missing.
func (c *cli) startDaemon(ctx context.Context, vm *bosh.VM, out io.Writer) error {
	settings, err := vm.ReadSettings()
	if err != nil {
		return err
	}
	if err := unpackFiles(vm); err != nil {
		return err
	}
	if err := c.daemonConfig(ctx, vm, settings, out); err != nil {
		return err
	}
	return vm.StartDaemon(ctx, settings, out)
}

func unpackFiles(vm *bosh.VM) error {
	files, err := vm.ReadFiles()
	if err != nil {
		return err
	}
	return bosh.Unpack(vm.Project(), files)
}

// daemonConfig writes the Engine's configuration, with flags of daemon-config.
func (c *cli) daemonConfig(ctx context.Context, vm *bosh.VM, settings *bosh.Settings, out io.Writer, flags ...string) error {
	for _, dir := range []string{vm.Data(), vm.DockerConfig()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the engine's directories: %w", err)
		}
	}
	return c.self(ctx, vm, settings, out, append([]string{
		"daemon-config", "--spec", vm.DaemonSpec(), "--daemon-json", vm.DaemonJSON(), "--certs-dir", vm.Certs(),
		"--auth-file", filepath.Join(vm.DockerConfig(), "config.json"),
	}, flags...)...)
}

// boshSupervisor starts and stops the supervisor, for monit.
func (c *cli) boshSupervisor(vm *bosh.VM) *cobra.Command {
	return &cobra.Command{
		Use:       "supervisor start|stop",
		Short:     "Start what supervises the containers; stop the containers and then it",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"start", "stop"},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.logged(vm, "supervisor.log", func(out io.Writer) error {
				settings, err := vm.ReadSettings()
				if err != nil {
					return err
				}
				if args[0] == "stop" {
					return c.stopSupervisor(cmd.Context(), vm, settings, out)
				}
				return c.startSupervisor(vm, settings, out)
			})
		},
	}
}

// startSupervisor starts galley bosh supervise, detached.
func (c *cli) startSupervisor(vm *bosh.VM, settings *bosh.Settings, out io.Writer) error {
	running, err := bosh.FindProcess(vm.SupervisorPID(), "galley")
	if err != nil {
		return err
	}
	if running != nil {
		fmt.Fprintf(out, "the supervisor runs already, as process %d\n", running.PID)
		return running.Close()
	}
	log, err := os.OpenFile(vm.SupervisorLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("opening the supervisor's log: %w", err)
	}
	defer log.Close()
	supervise, err := command(context.Background(), vm, settings, "bosh", "--root", vm.Root, "supervise")
	if err != nil {
		return err
	}
	supervise.Stdout, supervise.Stderr = log, log
	if err := bosh.StartPlainly(supervise); err != nil {
		return fmt.Errorf("starting the supervisor: %w", err)
	}
	fmt.Fprintf(out, "started the supervisor, as process %d\n", supervise.Process.Pid)
	return supervise.Process.Release()
}

// The budget of a stop, within the 150 seconds of the job's monit file. Drain gives containers what the property says before.
const (
	containersGrace = 95 * time.Second
	containersKill  = 20 * time.Second
	supervisorGrace = 10 * time.Second
)

// stopSupervisor stops the containers, dependents first, and then what supervises them: monit goes on as soon as that
// process is gone.
func (c *cli) stopSupervisor(ctx context.Context, vm *bosh.VM, settings *bosh.Settings, out io.Writer) error {
	if failed := c.stopContainers(ctx, vm, settings, containersGrace, out); failed != nil {
		fmt.Fprintf(out, "stopping the containers: %v: what still runs ends with dockerd\n", failed)
	}
	running, err := bosh.FindProcess(vm.SupervisorPID(), "galley")
	if err != nil || running == nil {
		return err
	}
	defer running.Close()
	if err := running.End(ctx, supervisorGrace); err != nil {
		return fmt.Errorf("stopping the supervisor: %w", err)
	}
	fmt.Fprintln(out, "stopped the supervisor")
	return os.RemoveAll(vm.SupervisorPID())
}

// stopContainers stops or removes the project's containers, as the property stop_mode says; those that still run after grace
// are killed. Without a dockerd there is nobody to ask, and it does nothing.
func (c *cli) stopContainers(ctx context.Context, vm *bosh.VM, settings *bosh.Settings, grace time.Duration, out io.Writer) error {
	daemon, err := bosh.FindProcess(vm.DaemonPID(), "dockerd")
	if err != nil {
		return err
	}
	if daemon == nil {
		fmt.Fprintln(out, "dockerd does not run: there are no containers to stop")
		return nil
	}
	defer daemon.Close()
	stop := []string{"--progress", "plain", settings.StopMode, "--wait-lock"}
	bounded, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := c.self(bounded, vm, settings, out, stop...); bounded.Err() == nil {
		return err
	}
	fmt.Fprintf(out, "the containers did not stop within %s: killing those that still run\n", grace)
	bounded, cancel = context.WithTimeout(ctx, containersKill)
	defer cancel()
	return c.self(bounded, vm, settings, out, append(stop, "--timeout", "0")...)
}

// boshEnv prints the environment in which galley works on the VM.
func (c *cli) boshEnv(vm *bosh.VM) *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print the environment in which galley finds the VM's recipe and Engine, for a shell to read",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			settings, err := vm.ReadSettings()
			if err != nil {
				return err
			}
			for _, variable := range environ(vm, settings) {
				name, value, _ := strings.Cut(variable, "=")
				switch name {
				case "HOME", "TMPDIR": // the shell's own
					continue
				case "PWD": // so is this, but recipes mean the project's directory
					name = "GALLEY_PWD"
				}
				if _, err := fmt.Fprintf(c.out, "export %s=%s\n", name, shellQuoted(value)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// shellQuoted makes one word of a text, whatever is in it.
func shellQuoted(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// environ is the environment of galley on the VM, with the recipe and what [override] says beside it.
func environ(vm *bosh.VM, settings *bosh.Settings) []string {
	environ := settings.ToolEnviron(*vm)
	if _, err := os.Stat(vm.Override()); err == nil {
		// In place of the entry that is there: a process takes the first of two entries of one name.
		environ[slices.Index(environ, "COMPOSE_FILE="+vm.Recipe())] += ":" + vm.Override()
	}
	return environ
}

// command is a run of this very program, on the VM's recipe and Engine, in the project's directory.
func command(ctx context.Context, vm *bosh.VM, settings *bosh.Settings, args ...string) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding galley's own program: %w", err)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = environ(vm, settings)
	cmd.Dir = vm.Project()
	return cmd, nil
}

// self runs this program with other arguments and waits for it.
func (c *cli) self(ctx context.Context, vm *bosh.VM, settings *bosh.Settings, out io.Writer, args ...string) error {
	cmd, err := command(ctx, vm, settings, args...)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("running galley %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// logged runs what monit starts, whose output monit throws away: what it says, and why it fails, goes to a log as well.
func (c *cli) logged(vm *bosh.VM, name string, do func(out io.Writer) error) error {
	if err := os.MkdirAll(vm.Log(), 0o770); err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(vm.Log(), name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	defer log.Close()
	out := io.MultiWriter(c.err, &stamped{to: log})
	c.err = out
	c.ui = newUI(c.out, out, "never", "plain", c.getenv)
	if err := do(out); err != nil {
		c.report(err)
		return statusError(exitFailed)
	}
	return nil
}

// stamped writes each line with the time.
type stamped struct {
	to     io.Writer
	inLine bool
}

func (s *stamped) Write(text []byte) (int, error) {
	var stampedText []byte
	for line := range strings.Lines(string(text)) {
		if !s.inLine {
			stampedText = time.Now().UTC().AppendFormat(stampedText, time.RFC3339+" ")
		}
		stampedText = append(stampedText, line...)
		s.inLine = !strings.HasSuffix(line, "\n")
	}
	if _, err := s.to.Write(stampedText); err != nil {
		return 0, err
	}
	return len(text), nil
}
