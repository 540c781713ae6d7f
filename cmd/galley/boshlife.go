package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"galley/bosh"
	"galley/compose"
)

// boshPreStart checks all that can be checked before anything is started.
func (c *cli) boshPreStart(vm *bosh.VM) *cobra.Command {
	return &cobra.Command{
		Use:   "pre-start",
		Short: "Check the properties, the recipe and the addresses, and put the files in place",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := vm.ReadSettings()
			if err != nil {
				return err
			}
			// All is checked before anything is reported: a deployment takes minutes.
			return errors.Join(
				unpackFiles(vm),
				c.daemonConfig(cmd.Context(), vm, settings, c.err, "--check"),
				checkCertificate(vm),
				c.checkRecipe(cmd.Context(), vm, settings),
			)
		},
	}
}

// checkCertificate reads the certificate for the TCP port, if there is one.
func checkCertificate(vm *bosh.VM) error {
	dir := filepath.Join(vm.Job(), "config/tls")
	if info, err := os.Stat(filepath.Join(dir, "cert.pem")); err != nil || info.Size() == 0 {
		return nil
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")); err != nil {
		return fmt.Errorf("property %q: %w", "tls.cert", err)
	}
	return nil
}

// checkRecipe loads the recipe and compares the addresses that it and the Engine's properties give to containers with those
// around the VM.
func (c *cli) checkRecipe(ctx context.Context, vm *bosh.VM, settings *bosh.Settings) error {
	wanted, err := vm.DaemonRanges()
	if err != nil {
		return err
	}
	if settings.HasRecipe {
		project, err := c.jobProject(ctx, vm, settings)
		if err != nil {
			return err
		}
		wanted = append(wanted, recipeRanges(project)...)
	}
	there, err := vm.HostRanges(settings.Peers)
	if err != nil {
		return err
	}
	return errors.Join(bosh.Clashes(wanted, there)...)
}

// jobProject loads the job's recipe, writes what belongs to it on this VM beside it, and loads both.
func (c *cli) jobProject(ctx context.Context, vm *bosh.VM, settings *bosh.Settings) (*compose.Project, error) {
	c.environ, c.dir = settings.ToolEnviron(*vm), vm.Project()
	plain, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	files, err := vm.ReadFiles()
	if err != nil {
		return nil, err
	}
	if err := writeOverride(vm, settings, plain, files); err != nil {
		return nil, err
	}
	source := c.source()
	source.Environ = environ(vm, settings)
	project, _, err := compose.Load(ctx, source)
	if err != nil {
		return nil, fmt.Errorf("reading the recipe with what the job's properties add: %w", c.unreadable(err))
	}
	return project, nil
}

// recipeRanges are the ranges that the recipe's own networks ask for.
func recipeRanges(project *compose.Project) []bosh.Range {
	var ranges []bosh.Range
	for _, network := range project.Networks {
		if network.Create.IPAM == nil {
			continue
		}
		for _, pool := range network.Create.IPAM.Config {
			if prefix, err := netip.ParsePrefix(pool.Subnet); err == nil { // checked with the recipe
				ranges = append(ranges, bosh.Range{Prefix: prefix.Masked(), Source: fmt.Sprintf("network %q of the recipe", network.Key)})
			}
		}
	}
	return ranges
}

// boshPostStart waits until the recipe's services are up; if they don't get there, the deployment fails.
func (c *cli) boshPostStart(vm *bosh.VM) *cobra.Command {
	return &cobra.Command{
		Use:   "post-start",
		Short: "Wait until every service is up, or say which isn't and why",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := vm.ReadSettings()
			if err != nil || !settings.HasRecipe {
				return err
			}
			ctx, cancel := context.WithCancelCause(cmd.Context())
			defer cancel(nil)
			watching, err := vm.WatchFailure(ctx, func(reason string) { cancel(errors.New(reason)) })
			if err != nil {
				return err
			}
			timeout := time.Duration(settings.WaitTimeout) * time.Second
			steady := time.Duration(settings.WaitSteady) * time.Second
			err = c.self(ctx, vm, settings, c.err, "wait", "--timeout", timeout.String(), "--steady", steady.String(), "--status", vm.Status())
			cancel(nil)
			<-watching
			return err
		},
	}
}

// boshDrain stops the containers in order, with as much time as the property gives.
func (c *cli) boshDrain(vm *bosh.VM) *cobra.Command {
	return &cobra.Command{
		Use:   "drain",
		Short: "Stop the containers, dependents first, and print 0 for the agent",
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Whatever goes wrong: the stop that follows ends all containers, and a drain that fails blocks the deployment.
			if err := c.drain(cmd.Context(), vm); err != nil {
				c.report(err)
			}
			_, err := fmt.Fprintln(c.out, "0")
			return err
		},
	}
}

func (c *cli) drain(ctx context.Context, vm *bosh.VM) error {
	settings, err := vm.ReadSettings()
	if err != nil || !settings.HasRecipe {
		return err
	}
	return c.stopContainers(ctx, vm, settings, time.Duration(settings.DrainTimeout)*time.Second, c.err)
}

// boshPostStop sees to it that the persistent disk can go.
func (c *cli) boshPostStop(vm *bosh.VM) *cobra.Command {
	return &cobra.Command{
		Use:   "post-stop",
		Short: "Fail if a process or a mount of the Engine's is left",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// monit calls no stop program for a process that is gone: this may be the first to clear up after a crash.
			if err := vm.StopDaemon(cmd.Context(), c.err); err != nil {
				return err
			}
			left, err := vm.Leftovers()
			if err != nil {
				return err
			}
			if len(left) > 0 {
				return fmt.Errorf("the persistent disk can't be unmounted:\n%s", strings.Join(left, "\n"))
			}
			return nil
		},
	}
}

// boshSupervise is the process that monit watches: it prepares, and then becomes galley run.
func (c *cli) boshSupervise(vm *bosh.VM) *cobra.Command {
	return &cobra.Command{
		Use:    "supervise",
		Short:  "Run prep and then the supervisor",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// monit wants the pidfile at once; the process keeps its number when it becomes galley run.
			if _, err := bosh.WritePIDFile(vm.SupervisorPID()); err != nil {
				return err
			}
			return c.superviseUntilItRuns(cmd.Context(), vm)
		},
	}
}

// retryAfter is how long the supervisor waits after a failed preparation: a script may find tomorrow what it lacks today.
const retryAfter = 30 * time.Second

// superviseUntilItRuns tries again what fails before the supervisor itself runs. Meanwhile the process stays, so that post-start
// comes to say why, and nothing answers at the health socket, so that monit tells of it.
func (c *cli) superviseUntilItRuns(ctx context.Context, vm *bosh.VM) error {
	for {
		err := c.supervise(ctx, vm)
		if recording := vm.RecordFailure(err); recording != nil {
			return errors.Join(err, recording)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		c.report(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryAfter):
		}
	}
}

func (c *cli) supervise(ctx context.Context, vm *bosh.VM) error {
	settings, err := vm.ReadSettings()
	if err != nil {
		return err
	}
	if err := vm.RunPrep(ctx, settings); err != nil {
		return err
	}
	if _, err := c.jobProject(ctx, vm, settings); err != nil {
		return errors.New(strings.Join(texts(failures(err)), "\n"))
	}
	run, err := command(ctx, vm, settings, runArguments(vm, settings)...)
	if err != nil {
		return err
	}
	if err := vm.RecordFailure(nil); err != nil {
		return err
	}
	return bosh.Become(run)
}

func texts(all []failure) []string {
	var lines []string
	for _, f := range all {
		lines = append(lines, f.text)
	}
	return lines
}

// runArguments are those of the supervisor.
func runArguments(vm *bosh.VM, settings *bosh.Settings) []string {
	args := []string{
		"run", "--own-restarts", "--restart-exited", "--remove-orphans", "--import",
		"--pidfile", vm.SupervisorPID(), "--status", vm.Status(), "--socket", vm.Health(), "--log-file", vm.SupervisorLog(),
	}
	if settings.Rollback {
		args = append(args, "--rollback-on-failure")
	}
	if settings.Listen != "" {
		args = append(args, "--listen", settings.Listen)
	}
	if settings.ImportParallelism > 0 {
		args = append(args, "--import-parallel", strconv.Itoa(settings.ImportParallelism))
	}
	return args
}

// boshSmokeTests is the errand: read-only questions, the answer to each a line.
func (c *cli) boshSmokeTests(vm *bosh.VM) *cobra.Command {
	return &cobra.Command{
		Use:   "smoke-tests",
		Short: "Tell whether the Engine, the supervisor, the services and the disk are well",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := vm.ReadSettings()
			if err != nil {
				return err
			}
			return c.smokeTests(cmd.Context(), vm, settings)
		},
	}
}

func (c *cli) smokeTests(ctx context.Context, vm *bosh.VM, settings *bosh.Settings) error {
	tests := []struct {
		name string
		test func() error
	}{
		{"the disk has room", vm.CheckRoom},
		{"the engine answers", func() error { return c.quietly(ctx, vm, settings, "ps", "--all") }},
	}
	if settings.HasRecipe {
		tests = append(tests, []struct {
			name string
			test func() error
		}{
			{"every service is up", func() error { return c.quietly(ctx, vm, settings, "wait", "--timeout", "30s", "--status", vm.Status()) }},
			{"nothing is to be changed", func() error { return c.quietly(ctx, vm, settings, "plan", "--detailed-exitcode") }},
		}...)
	}
	failed := 0
	for _, t := range tests {
		if err := t.test(); err != nil {
			failed++
			fmt.Fprintf(c.out, "not ok: %s\n%s\n", t.name, err)
			continue
		}
		fmt.Fprintf(c.out, "ok: %s\n", t.name)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d smoke tests failed", failed, len(tests))
	}
	return nil
}

// quietly runs this program; only if it fails, what it says is worth reading.
func (c *cli) quietly(ctx context.Context, vm *bosh.VM, settings *bosh.Settings, args ...string) error {
	var said strings.Builder
	if err := c.self(ctx, vm, settings, io.Writer(&said), args...); err != nil {
		return fmt.Errorf("%w\n%s", err, strings.TrimSpace(said.String()))
	}
	return nil
}
