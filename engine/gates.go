package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
)

// gates are what a start waits for: needs must have succeeded, after only ended (depends_on: required: false).
type gates struct {
	needs, after []*node
}

// and returns both gates together.
func (g gates) and(other gates) gates {
	return gates{slices.Concat(g.needs, other.needs), slices.Concat(g.after, other.after)}
}

// gatesOf are the gates by a service's depends_on. What has passed already is no step.
func (d *differ) gatesOf(s *compose.Service) gates {
	var g gates
	for _, need := range s.Needs {
		dependency := d.services[need.Service]
		if dependency == nil {
			continue // switched off by a profile, or left out of this plan
		}
		for _, r := range dependency.replicas {
			passed, required := d.passed, need.Required
			if d.opts.restore != nil {
				passed, required = d.backAgain, false
			}
			switch n := passed(dependency, r, need, s.Name); {
			case n == nil:
			case required:
				g.needs = append(g.needs, n)
			default:
				g.after = append(g.after, n)
			}
		}
	}
	return g
}

// passed is the node after which a replica fulfils the condition; nil if it does already.
func (d *differ) passed(p *servicePlan, r *replica, need compose.Need, dependent string) *node {
	why := fmt.Sprintf("service %s waits for it", dependent)
	switch need.Condition {
	case compose.Healthy:
		if r.started == nil && r.keep != nil && r.keep.Health == container.Healthy {
			return nil
		}
		return d.await(p, r, gateHealthy, why)
	case compose.Completed:
		if r.started == nil && r.keep != nil && r.keep.completed() {
			return nil
		}
		return d.await(p, r, gateCompleted, why)
	}
	return r.started
}

// gate is what a service's own containers must pass: a one-shot completes, everything else gets ready. What is put back may
// never end: it was perhaps no one-shot then.
func (p *servicePlan) gate() gate {
	if p.oneShot && !p.back {
		return gateCompleted
	}
	return gateReady
}

// await adds the wait for a gate, once for each replica. Healthy is the stricter form of ready: asked for both, one wait
// does.
func (d *differ) await(p *servicePlan, r *replica, g gate, why string) *node {
	if g == gateHealthy && r.awaits[gateReady] != nil {
		change(r.awaits[gateReady], func(a awaitContainer) awaitContainer {
			a.gate = gateHealthy
			return a
		})
		return r.awaits[gateReady]
	}
	if g == gateReady && r.awaits[gateHealthy] != nil {
		return r.awaits[gateHealthy]
	}
	if r.awaits[g] == nil {
		r.awaits[g] = d.add(awaitContainer{
			subject: subject{r.ref, p.spec.Name},
			gate:    g,
			within:  d.opts.WaitTimeout,
			early:   !p.spec.NoEarlyProbes,
		}, why, r.started)
	}
	return r.awaits[g]
}

// planWait adds a gate for every container that is not known to be up.
func (d *differ) planWait(services []*compose.Service) {
	for _, s := range services {
		p := d.services[s.Name]
		for _, r := range p.replicas {
			if r.started != nil || !isUp(p, r.keep) {
				d.await(p, r, p.gate(), "--wait")
			}
		}
	}
}

// isUp tells whether an observed container has passed its gate.
func isUp(p *servicePlan, c *Container) bool {
	switch {
	case c == nil:
		return false
	case p.oneShot:
		return c.completed()
	}
	return c.Phase == container.StateRunning && (c.Health == "" || c.Health == container.Healthy)
}

// Await waits until the containers that are there are up: each healthy where it has a healthcheck, or completed with 0. It
// changes nothing. What is not up in time, or ends, is a *StepError with an *UnhealthyError, as with a wait of Apply.
func (e *Engine) Await(ctx context.Context, want *compose.Project, have *State, timeout time.Duration) error {
	var g graph
	for _, c := range have.Containers {
		s := want.Service(c.Service)
		if s == nil || c.OneOff {
			continue
		}
		p := &servicePlan{spec: s, oneShot: isOneShot(want, s.Name)}
		if isUp(p, c) {
			continue
		}
		g.add(awaitContainer{subject: subject{c.ref(), s.Name}, gate: p.gate(), within: timeout, early: !s.NoEarlyProbes}, "to be up")
	}
	return e.Apply(ctx, &Plan{Project: want.Name, Steps: g.steps()})
}
