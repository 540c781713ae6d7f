package engine

import (
	"context"
	"time"

	"github.com/docker/docker/api/types/container"
)

// probe runs a container's own healthcheck while somebody waits for it. The Engine probes for the first time after a whole
// interval, 30 s unless the recipe says otherwise, however soon the service was ready.
type probe struct {
	*run
	id string
	// succeeded is closed when the test has passed; nil until begun.
	succeeded chan struct{}
	cancel    context.CancelFunc
}

const (
	// The Engine that probes within soon needs no help.
	soon = 500 * time.Millisecond
	// Most services are ready within seconds or not for long: probes begin dense and get rarer, each pause being a part of the
	// time that has passed, and of what the last probe took, so that slow ones don't keep a machine busy.
	partOfWait    = 16
	partOfProbe   = 2
	shortestPause = 25 * time.Millisecond
	longestPause  = time.Second
)

// begin starts probing, once, if the container has a healthcheck, is starting, and the Engine would be late.
func (p *probe) begin(ctx context.Context, c container.InspectResponse) {
	if p.succeeded != nil || c.State == nil || c.State.Health == nil || c.State.Health.Status != container.Starting {
		return
	}
	test := probeCommand(c.Config)
	if test == nil || enginePause(c.Config.Healthcheck) <= soon {
		return
	}
	ctx, p.cancel = context.WithCancel(ctx)
	p.succeeded = make(chan struct{})
	go p.loop(ctx, test, c.Config.Healthcheck.Timeout)
}

func (p *probe) stop() {
	if p.cancel != nil {
		p.cancel()
	}
}

// loop runs the test until it passes. A test that fails or can't be run says nothing: the verdict "unhealthy" stays the
// Engine's alone, by the recipe's retries.
func (p *probe) loop(ctx context.Context, test []string, timeout time.Duration) {
	if timeout == 0 {
		timeout = 30 * time.Second // the Engine's default
	}
	for began := time.Now(); ; {
		asked := time.Now()
		attempt, cancel := context.WithTimeout(ctx, timeout)
		result, err := p.exec(attempt, p.id, container.ExecOptions{Cmd: test})
		cancel()
		if err == nil && result.code == 0 {
			close(p.succeeded)
			return
		}
		pause := max(shortestPause, time.Since(asked)/partOfProbe, time.Since(began)/partOfWait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(pause, longestPause)):
		}
	}
}

// probeCommand is the healthcheck's test as a command. Source: moby daemon/health.go, getProbe and getShell.
func probeCommand(c *container.Config) []string {
	if c == nil || c.Healthcheck == nil || len(c.Healthcheck.Test) < 2 {
		return nil
	}
	switch args := c.Healthcheck.Test[1:]; c.Healthcheck.Test[0] {
	case "CMD":
		return args
	case "CMD-SHELL":
		shell := []string{"/bin/sh", "-c"}
		if len(c.Shell) > 0 {
			shell = c.Shell
		}
		return append(shell[:len(shell):len(shell)], args...)
	}
	return nil
}

// enginePause is how long the Engine waits before it probes a starting container.
func enginePause(h *container.HealthConfig) time.Duration {
	interval := h.Interval
	if interval == 0 {
		interval = 30 * time.Second
	}
	if h.StartPeriod > 0 && h.StartInterval > 0 {
		return min(interval, h.StartInterval)
	}
	return interval
}
