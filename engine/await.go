package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
)

// gate is what a container is waited for.
type gate string

const (
	// gateReady: running, and healthy if it has a healthcheck of its own or of its image; or completed with 0.
	gateReady gate = "ready"
	// gateHealthy: healthy; a container without a healthcheck can't pass (depends_on: service_healthy).
	gateHealthy gate = "healthy"
	// gateCompleted: ended with 0 (depends_on: service_completed_successfully).
	gateCompleted gate = "completed"
)

// awaitContainer waits until a container passes a gate. It changes nothing.
type awaitContainer struct {
	subject
	gate gate
	// within bounds the wait, counted from the beginning of the walk; 0 is for ever.
	within time.Duration
	// steady: a container without a healthcheck must have been running for a while (Options.SteadyFor).
	steady bool
	// monitor is how long it must have been running in any case; pause is added after the gate is passed.
	monitor, pause time.Duration
	// early: where the Engine would probe late, the healthcheck's own test is run early and often.
	early bool
}

func (awaitContainer) Verb() Verb { return VerbAwait }

// do subscribes, inspects, and then reads again after each event: no event can be missed and none is believed.
func (a awaitContainer) do(ctx context.Context, r *run) error {
	whole := ctx // a wait that is over is told with the state that the container is in then
	if a.within > 0 {
		deadline, cancel := context.WithDeadlineCause(ctx, r.began.Add(a.within), errTooLate)
		defer cancel()
		ctx = deadline
	}
	id := r.id(a.ref)
	woken, done := r.watch.on(ctx, id)
	defer done()
	probe := &probe{run: r, id: id}
	defer probe.stop()
	absence := absence{within: r.opts.ReconnectWithin}
	for last := ""; ; {
		c, err := r.inspect(whole, id)
		if absence.note(err); absence.tooLong() {
			return &UnreachableError{Host: r.Host, Err: err}
		}
		passed, state := a.judge(c, err)
		if state != "" {
			return a.blame(r, absence, state)
		}
		rest := a.unsteady(c, r.opts.SteadyFor)
		if passed && rest <= 0 {
			return a.rest(ctx)
		}
		if c.State != nil {
			last = describe(c.State)
		}
		if a.early && !passed {
			probe.begin(ctx, c)
		}
		var steady <-chan time.Time
		if passed {
			steady = time.After(rest)
		}
		select {
		case <-woken:
		case <-steady:
		case <-absence.retry():
		case <-probe.succeeded:
			return a.rest(ctx)
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errTooLate) {
				return a.unhealthy(fmt.Sprintf("%s after %s", last, a.within))
			}
			return errLeft
		}
	}
}

// blame tells why a gate will not be passed. Of a container that ended while the Engine was away, it is not known whether it
// did so by itself: a daemon that is started again finds its containers dead.
func (a awaitContainer) blame(r *run, absence absence, state string) error {
	err := a.unhealthy(state)
	if absence.noted || r.watch.broke() {
		return &UnreachableError{Host: r.Host, Err: fmt.Errorf("it went away for a moment: %w", err)}
	}
	return err
}

// rest is the pause between one group of replicas and the next.
func (a awaitContainer) rest(ctx context.Context) error {
	if a.pause == 0 {
		return nil
	}
	select {
	case <-time.After(a.pause):
		return nil
	case <-ctx.Done():
		return errLeft
	}
}

// unsteady is how much longer a container must run before it is believed.
func (a awaitContainer) unsteady(c container.InspectResponse, enough time.Duration) time.Duration {
	if c.State != nil && c.State.Health != nil || !a.steady {
		enough = 0 // a healthcheck says it better than time does
	}
	enough = max(enough, a.monitor)
	if enough == 0 || c.State == nil || !c.State.Running {
		return 0
	}
	started, err := time.Parse(time.RFC3339Nano, c.State.StartedAt)
	if err != nil {
		return 0
	}
	return enough - time.Since(started)
}

// errTooLate is the cause of a wait's end by its own bound.
var errTooLate = errors.New("waited long enough")

func (a awaitContainer) unhealthy(state string) error {
	return &UnhealthyError{Service: a.service, Container: a.name, State: state}
}

// absence is the time since which an Engine has not told about a container: it went away, or can't say. No event is to be
// hoped for then, so that is asked again, but not for ever.
type absence struct {
	within time.Duration
	since  time.Time // zero: it told
	pause  time.Duration
	noted  bool // it was away at least once
}

func (a *absence) note(err error) {
	switch {
	case err == nil || errdefs.IsNotFound(err):
		a.since, a.pause = time.Time{}, 0
	case a.since.IsZero():
		a.since, a.pause, a.noted = time.Now(), minPause, true
	default:
		a.pause = min(2*a.pause, maxPause)
	}
}

func (a *absence) tooLong() bool { return !a.since.IsZero() && time.Since(a.since) >= a.within }

// retry fires when it is time to ask again; never while the Engine tells.
func (a *absence) retry() <-chan time.Time {
	if a.since.IsZero() {
		return nil
	}
	return time.After(a.pause)
}

// inspect reads a container.
func (r *run) inspect(ctx context.Context, id string) (container.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.AnswerWithin)
	defer cancel()
	c, err := r.api.ContainerInspect(ctx, id)
	if c.ContainerJSONBase == nil {
		c.ContainerJSONBase = &container.ContainerJSONBase{}
	}
	return c, err
}

// judge tells whether the gate is passed, or, in words for "service X …", why it never will be. Neither: wait.
func (a awaitContainer) judge(c container.InspectResponse, err error) (passed bool, failure string) {
	switch {
	case errdefs.IsNotFound(err):
		return false, "is gone: its container was removed"
	case err != nil || c.State == nil:
		return false, ""
	}
	s := c.State
	switch {
	case s.Status == container.StateExited || s.Status == container.StateDead:
		if s.ExitCode == 0 && a.gate != gateHealthy {
			return true, ""
		}
		return false, describe(s)
	case s.Status == container.StatePaused:
		return false, "is paused"
	case s.Status != container.StateRunning || a.gate == gateCompleted:
		return false, ""
	case s.Health == nil || s.Health.Status == container.NoHealthcheck:
		if a.gate == gateHealthy {
			return false, "has no healthcheck, but another service waits for it to be healthy"
		}
		return true, ""
	case s.Health.Status == container.Unhealthy:
		return false, describe(s)
	}
	return s.Health.Status == container.Healthy, ""
}

// describe puts a container's state into words that fit "service X …".
func describe(s *container.State) string {
	switch {
	case s.Status == container.StateExited && s.OOMKilled:
		return fmt.Sprintf("exited with code %d (out of memory)", s.ExitCode)
	case s.Status == container.StateExited, s.Status == container.StateDead:
		return fmt.Sprintf("exited with code %d", s.ExitCode)
	case s.Status == container.StateRestarting:
		return fmt.Sprintf("is restarting, it exited with code %d", s.ExitCode)
	case s.Status == container.StateRunning && s.Health != nil && s.Health.Status != container.NoHealthcheck:
		if s.Health.Status == container.Starting {
			return "is still starting"
		}
		return lastLine("is "+s.Health.Status, probeFailure(s.Health))
	}
	return "is " + s.Status
}

// probeFailure is what a healthcheck said when it failed last; "" if it did not.
func probeFailure(h *container.Health) (output string) {
	if h == nil {
		return ""
	}
	for _, probe := range h.Log {
		if probe.ExitCode != 0 {
			output = probe.Output
		}
	}
	return output
}

// lastLine adds the last line of what a healthcheck said.
func lastLine(text, probe string) string {
	lines := strings.Split(strings.TrimSpace(probe), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return text + ": " + last
	}
	return text
}
