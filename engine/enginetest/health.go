package enginetest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

// What dockerd takes where a healthcheck says nothing (daemon/health.go).
const (
	probeInterval  = 30 * time.Second
	startInterval  = 5 * time.Second
	probeTimeout   = 30 * time.Second
	probeRetries   = 3
	keptProbes     = 5
	maxProbeOutput = 4096
)

// startingHealth is the health of a container that has just started; nil without a healthcheck. The log of an earlier run
// stays.
func startingHealth(check *container.HealthConfig, earlier *container.Health) *container.Health {
	if !probed(check) {
		return nil
	}
	h := &container.Health{Status: container.Starting, Log: []*container.HealthcheckResult{}}
	if earlier != nil {
		h.Log = earlier.Log
	}
	return h
}

func probed(check *container.HealthConfig) bool {
	return check != nil && len(check.Test) > 1 && (check.Test[0] == "CMD" || check.Test[0] == "CMD-SHELL")
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// watchHealth probes a container that has a healthcheck until its process ends. The caller holds e.mu.
func (e *Engine) watchHealth(c *ctr) {
	if c.health == nil || c.proc == nil {
		return
	}
	p, check, started := c.proc, *c.config.Healthcheck, c.started
	e.task(func() {
		for {
			e.mu.Lock()
			starting := c.proc == p && c.health.Status == container.Starting
			e.mu.Unlock()
			pause := orElse(check.Interval, probeInterval)
			if starting && time.Since(started) < e.scaled(check.StartPeriod) && e.atLeast("1.44") {
				pause = orElse(check.StartInterval, startInterval)
			}
			if !rest(p.ctx, e.scaled(pause)) {
				return
			}
			result := e.probe(p, check)
			if p.ctx.Err() != nil {
				return
			}
			e.judge(c, p, check, result)
		}
	})
}

// rest waits for d, and tells whether that came first.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// probe runs the healthcheck's command once.
func (e *Engine) probe(p *process, check container.HealthConfig) *container.HealthcheckResult {
	argv := check.Test[1:]
	if check.Test[0] == "CMD-SHELL" {
		argv = append([]string{"/bin/sh", "-c"}, argv...)
	}
	p.thaw()
	x := &execution{
		id: newID(), container: p.c, argv: argv, env: nil, stdout: true, stderr: true,
		user: p.c.config.User, dir: p.c.config.WorkingDir,
	}
	result := &container.HealthcheckResult{Start: time.Now().UTC()}
	timeout := orElse(check.Timeout, probeTimeout)
	ctx, cancel := context.WithTimeout(p.ctx, e.scaled(timeout))
	defer cancel()
	var output strings.Builder
	result.ExitCode = e.runExec(ctx, x, strings.NewReader(""), &output, &output)
	result.End = time.Now().UTC()
	result.Output = output.String()[:min(output.Len(), maxProbeOutput)]
	if ctx.Err() == context.DeadlineExceeded {
		result.ExitCode = -1
		result.Output = "Health check exceeded timeout (" + timeout.String() + ")"
		if output.Len() > 0 {
			result.Output += ": " + output.String()
		}
	}
	return result
}

// judge turns a probe's result into health (daemon/health.go, handleProbeResult).
func (e *Engine) judge(c *ctr, p *process, check container.HealthConfig, result *container.HealthcheckResult) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.proc != p || p.healthSet {
		return
	}
	h := *c.health
	before := h.Status
	h.Log = append(slices.Clone(h.Log[max(0, len(h.Log)+1-keptProbes):]), result)
	switch {
	case result.ExitCode == 0:
		h.FailingStreak, h.Status = 0, container.Healthy
	case h.Status == container.Starting && result.Start.Sub(c.started) < e.scaled(check.StartPeriod):
	default:
		h.FailingStreak++
		retries := check.Retries
		if retries <= 0 {
			retries = probeRetries
		}
		if h.FailingStreak >= retries {
			h.Status = container.Unhealthy
		}
	}
	c.health = &h
	if h.Status != before {
		e.tell(c, events.Action("health_status: "+h.Status))
	}
	c.touch()
}

// SetHealth gives a running container a health, with its event; its own probes no longer count until it is restarted.
func (e *Engine) SetHealth(name string, status container.HealthStatus) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.container(name)
	if err != nil {
		return err
	}
	if c.proc == nil {
		return fail(http.StatusConflict, "container %s is not running", name)
	}
	c.proc.healthSet = true
	h := container.Health{Log: []*container.HealthcheckResult{}}
	if c.health != nil {
		h = *c.health
	}
	before := h.Status
	h.Status = status
	c.health = &h
	if before != status {
		e.tell(c, events.Action("health_status: "+status))
	}
	c.touch()
	return nil
}
