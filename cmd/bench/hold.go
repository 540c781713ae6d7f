package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/prometheus/procfs"
)

const (
	// victims is how many containers are killed; each for the first time, so that the first pause alone counts.
	victims = 10
	// firstPause is galley's longest first pause before a repair.
	firstPause = 100 * time.Millisecond
	// Idle is who had time to become so; then it is watched.
	idleAfter = 10 * time.Second
	idleFor   = time.Minute
	// statusFile is where the supervisor says how it is.
	statusFile = "status.json"
)

// holding measures what it takes to supervise a project of 30 services, and how fast what was killed is back.
type holding struct {
	galley, dir, host string
	api               *client.Client
}

// run measures and prints.
func (h *holding) run(ctx context.Context, to io.Writer) error {
	if err := os.WriteFile(filepath.Join(h.dir, "compose.yml"), []byte(recipe(large)), 0o600); err != nil {
		return fmt.Errorf("writing a recipe: %w", err)
	}
	defer h.command(context.WithoutCancel(ctx), "down", "-t", "0").Run() // the Engine goes anyway
	run := h.command(ctx, "run", "--own-restarts", "--log-dir", "logs", "--log-file", "log", "--status", statusFile)
	if err := run.Start(); err != nil {
		return fmt.Errorf("starting galley run: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()
	memory, busy, err := h.idle(ctx, run.Process.Pid)
	var back, bare []time.Duration
	if err == nil {
		back, err = h.kill(ctx, 0, nil)
	}
	_ = run.Process.Signal(syscall.SIGTERM) // where it has ended, that is told
	if end := <-ended; end != nil {
		err = errors.Join(err, fmt.Errorf("running galley run: %w", end))
	}
	if err != nil {
		return err
	}
	start := func(id string) error { return h.api.ContainerStart(ctx, id, container.StartOptions{}) }
	if bare, err = h.kill(ctx, victims, start); err != nil {
		return err
	}
	seconds := func(d time.Duration) float64 { return d.Seconds() }
	least := median(bare, seconds)
	fmt.Fprint(to, "\nA supervisor of 30 services, with their logs as files\n\n")
	table := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "\tgalley run\tgoal")
	fmt.Fprintf(table, "idle: memory\t%.1f MB\tless than 30 MB\n", float64(memory)/1e6)
	fmt.Fprintf(table, "idle: processor\t%.3f %%\tless than 0.1 %%\n", 100*busy)
	fmt.Fprintf(table, "from SIGKILL of a container to its running again\t%.3f s\t%.3f s, 1.2 times of what the Engine needs, and a pause of 0.1 s\n",
		median(back, seconds), 1.2*least+firstPause.Seconds())
	return table.Flush()
}

func (h *holding) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, h.galley, args...)
	cmd.Dir = h.dir
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+h.host, "GALLEY_RUN_DIR="+h.dir, "GALLEY_STATE_DIR="+h.dir, "COMPOSE_PROJECT_NAME=hold")
	return cmd
}

// idle waits until all is up and has been for a while; then it tells the process's memory, in bytes, and what part of a
// processor it takes.
func (h *holding) idle(ctx context.Context, pid int) (memory int64, busy float64, err error) {
	if err := h.untilUp(ctx); err != nil {
		return 0, 0, err
	}
	time.Sleep(idleAfter)
	before, err := processorTime(pid)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	time.Sleep(idleFor)
	after, err := processorTime(pid)
	if err != nil {
		return 0, 0, err
	}
	process, err := procfs.NewProc(pid)
	if err != nil {
		return 0, 0, fmt.Errorf("reading a process's memory: %w", err)
	}
	status, err := process.NewStatus()
	if err != nil {
		return 0, 0, fmt.Errorf("reading a process's memory: %w", err)
	}
	return int64(status.VmRSS), (after - before).Seconds() / time.Since(began).Seconds(), nil
}

// untilUp waits for the supervisor to begin, which the status tells, and then for the services.
func (h *holding) untilUp(ctx context.Context) error {
	if said, err := h.command(ctx, "wait", "--status", statusFile, "--timeout", "3m").CombinedOutput(); err != nil {
		return fmt.Errorf("waiting for the services: %w: %s", err, said)
	}
	return nil
}

// processorTime is how long a process's threads have been on a processor.
func processorTime(pid int) (time.Duration, error) {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(stats) == 0 {
		return 0, fmt.Errorf("reading a process's time: there is none of %d", pid)
	}
	var sum time.Duration
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // a thread that ended
		}
		if err != nil {
			return 0, fmt.Errorf("reading a process's time: %w", err)
		}
		nanoseconds, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(nanoseconds, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading a process's time: %w", err)
		}
		sum += time.Duration(n)
	}
	return sum, nil
}

// kill kills the containers of some services one after the other, and tells how long each took to run again: by itself, or
// by start, which is called as soon as it is dead.
func (h *holding) kill(ctx context.Context, first int, start func(id string) error) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	heard, broken := h.api.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("event", string(events.ActionDie)), filters.Arg("event", string(events.ActionStart)))})
	var all []time.Duration
	for i := first; i < first+victims; i++ {
		name := fmt.Sprintf("hold-s%d-1", i)
		began := time.Now()
		if err := h.api.ContainerKill(ctx, name, "KILL"); err != nil {
			return nil, fmt.Errorf("killing %s: %w", name, err)
		}
		for again := false; !again; {
			select {
			case m := <-heard:
				mine := m.Actor.Attributes["name"] == name
				if mine && m.Action == events.ActionDie && start != nil {
					if err := start(m.Actor.ID); err != nil {
						return nil, fmt.Errorf("starting %s: %w", name, err)
					}
				}
				again = mine && m.Action == events.ActionStart
			case err := <-broken:
				return nil, fmt.Errorf("waiting for %s to run again: %w", name, err)
			}
		}
		all = append(all, time.Since(began))
	}
	return all, nil
}
