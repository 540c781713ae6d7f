package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
)

// verdict is what shall be done about a project at one moment.
type verdict struct {
	// opts are the plan's; its Services those that are to be planned. Only where empty is false.
	opts DiffOptions
	// empty: there is nothing to do now.
	empty bool
	// remaining is how many changing steps each service has.
	remaining map[string]int
	// held says by service why it is left out, lying by container id why it is not started.
	held  map[string]hold
	lying map[string]string
	// ailing says by container id why one that runs is to be restarted.
	ailing map[string]string
	// drift names what is not as wanted, by service, in the words of the plan.
	drift map[string][]string
	// warnings are the plan's.
	warnings []string
	// next is when to ask again; zero: when something happens.
	next time.Time
}

// hold is why a service is left out of a plan.
type hold struct {
	kind holdKind
	why  string
	err  error
}

type holdKind int

const (
	holdStopped holdKind = iota // by hand
	holdBackoff                 // its time has not come
	holdWaiting                 // for a dependency
	holdInvalid                 // no plan can be made
	holdReport                  // nothing is to be repaired
)

// decide compares and says what is to be done now. heard are the containers, by id, of which something was told since have
// was asked for. fresh: the recipe was just loaded, so that there is nothing to wait for.
func (l *ledger) decide(now time.Time, want *compose.Project, have *State, heard map[string]bool, fresh bool) verdict {
	v := verdict{held: map[string]hold{}, lying: l.lying(want, have), ailing: ailing(want, have), drift: map[string][]string{}}
	for _, s := range want.Services {
		if l.rests(s.Name) {
			v.held[s.Name] = hold{kind: holdStopped, why: "stopped by hand"}
		}
	}
	for _, c := range have.Containers {
		if c.Phase == container.StateRemoving { // the end of it is an event
			v.held[c.Service] = hold{kind: holdWaiting, why: fmt.Sprintf("container %s is being removed", c.Name)}
		}
		if heard[c.ID] && !fresh && !c.OneOff { // what came of it is read next
			v.held[c.Service] = hold{kind: holdWaiting, why: fmt.Sprintf("container %s has just changed", c.Name)}
		}
		if until, untold := l.untold(c, now); untold && !c.OneOff {
			v.held[c.Service] = hold{kind: holdWaiting, why: fmt.Sprintf("container %s has ended, and it is not told yet how", c.Name)}
			v.wake(until)
		}
	}
	plan := l.possible(&v, want, have)
	l.postpone(&v, plan, now, fresh)
	holdDependents(&v, want, have)
	v.empty = true
	if names := v.planned(want); len(names) > 0 || l.opts.Diff.RemoveOrphans {
		v.opts = l.options(&v, want, names)
		if plan, err := l.diff(want, have, v.opts, names); err == nil {
			v.remaining = changingSteps(plan)
			v.empty = len(v.remaining) == 0
			v.warnings = plan.Warnings
		}
	}
	return v
}

// lying are the containers that ended and are left so.
func (l *ledger) lying(want *compose.Project, have *State) map[string]string {
	lying := map[string]string{}
	for _, c := range have.Containers {
		s := want.Service(c.Service)
		if s == nil || c.OneOff {
			continue
		}
		if why := l.lies(s, c); why != "" {
			lying[c.ID] = why
		}
	}
	return lying
}

// ailing are the containers that run and are of no use so: unhealthy ones, where the recipe asks for it, and those that
// share a namespace with one that has started since: theirs is the one before.
func ailing(want *compose.Project, have *State) map[string]string {
	byID := map[string]*Container{}
	for _, c := range have.Containers {
		byID[c.ID] = c
	}
	ailing := map[string]string{}
	for _, c := range have.Containers {
		s := want.Service(c.Service)
		if s == nil || c.OneOff || c.Phase != container.StateRunning {
			continue
		}
		if s.RestartUnhealthy && c.Health == container.Unhealthy {
			ailing[c.ID] = "is unhealthy"
		}
		for service, id := range parseParents(c.Summary.Labels[labelParents]) {
			parent := byID[id]
			if parent != nil && parent.Phase == container.StateRunning && sharesNamespace(s, service) && parent.Started.After(c.Started) && !c.Started.IsZero() {
				ailing[c.ID] = fmt.Sprintf("service %s, whose namespace it shares, was restarted", service)
			}
		}
	}
	return ailing
}

// sharesNamespace tells whether a service's containers live in a namespace of another's, not merely on its volumes.
func sharesNamespace(s *compose.Service, parent string) bool {
	return slices.Contains([]string{
		string(s.Host.NetworkMode), string(s.Host.IpcMode), string(s.Host.PidMode), string(s.Host.UTSMode), string(s.Host.Cgroup),
	}, compose.ServicePrefix+parent)
}

// options are a plan's for the services named.
func (l *ledger) options(v *verdict, want *compose.Project, names []string) DiffOptions {
	opts := l.opts.Diff
	opts.Services, opts.NoDeps = names, true
	opts.leave, opts.keep, opts.Pins, opts.restart = v.lying, l.putBack, l.pins, v.ailing
	for name := range v.held {
		if name == "" || !want.Knows(name) { // an orphan
			opts.RemoveOrphans = false
		}
	}
	return opts
}

// planned are the services that are not held, in the recipe's order.
func (v *verdict) planned(want *compose.Project) []string {
	var names []string
	for _, s := range want.Services {
		if _, held := v.held[s.Name]; !held {
			names = append(names, s.Name)
		}
	}
	return names
}

// diff plans for the services named, which may be none: then orphans alone.
func (l *ledger) diff(want *compose.Project, have *State, opts DiffOptions, names []string) (*Plan, error) {
	if len(names) == 0 {
		idle := *want
		for _, s := range want.Services {
			idle.Inactive = append(slices.Clone(idle.Inactive), s.Name)
		}
		slices.Sort(idle.Inactive)
		idle.Services = nil
		want = &idle
	}
	return Diff(want, have, opts)
}

// possible plans for all that is not held. A service for which no plan can be made is held, so that the others go on.
func (l *ledger) possible(v *verdict, want *compose.Project, have *State) *Plan {
	names := v.planned(want)
	plan, err := l.diff(want, have, l.options(v, want, names), names)
	if err == nil {
		return plan
	}
	for _, name := range names {
		if _, err := Diff(want, have, l.options(v, want, []string{name})); err != nil {
			v.held[name] = hold{kind: holdInvalid, err: err}
		}
	}
	names = v.planned(want)
	if plan, err = l.diff(want, have, l.options(v, want, names), names); err == nil {
		return plan
	}
	for _, name := range names { // they can't be planned together
		v.held[name] = hold{kind: holdInvalid, err: err}
	}
	return &Plan{}
}

// postpone holds the services that have steps but whose time has not come.
func (l *ledger) postpone(v *verdict, plan *Plan, now time.Time, fresh bool) {
	for _, step := range plan.Steps {
		if target := step.Action.Target(); step.Action.Verb() != VerbAwait {
			v.drift[target.Service] = append(v.drift[target.Service], fmt.Sprintf("%s %s (%s)", step.Action.Verb(), target, step.Why))
		}
	}
	for service := range l.troubles {
		if _, held := v.held[service]; len(v.drift[service]) == 0 && !held {
			l.repaired(service)
		}
	}
	for service := range v.drift {
		if !fresh && l.opts.NoRepair {
			v.held[service] = hold{kind: holdReport, why: "nothing is repaired (--no-repair)"}
			continue
		}
		if !fresh {
			l.schedule(service, now)
		}
		t := l.trouble(service)
		if !t.due.After(now) {
			continue
		}
		v.held[service] = hold{kind: holdBackoff, why: "it is tried again", err: t.err}
		v.wake(t.due)
	}
}

// wake has it decided anew at a time, or earlier.
func (v *verdict) wake(at time.Time) {
	if v.next.IsZero() || at.Before(v.next) {
		v.next = at
	}
}

// holdDependents holds what waits for something that is held, and does not fulfil what it waits for; and what waits for
// that in turn.
func holdDependents(v *verdict, want *compose.Project, have *State) {
	for changed := true; changed; {
		changed = false
		for _, s := range want.Services {
			if _, held := v.held[s.Name]; held {
				continue
			}
			for _, need := range s.Needs {
				if why := blocked(v, want, have, need); why != "" && need.Required {
					v.held[s.Name] = hold{kind: holdWaiting, why: why}
					changed = true
					break
				}
			}
		}
	}
}

// blocked tells why a dependency's condition is not fulfilled and no plan will make it so; "" otherwise.
func blocked(v *verdict, want *compose.Project, have *State, need compose.Need) string {
	s := want.Service(need.Service)
	if s == nil {
		return "" // switched off by a profile
	}
	_, held := v.held[need.Service]
	replicas, lying := 0, false
	for _, c := range have.Containers {
		if c.Service != need.Service || c.OneOff {
			continue
		}
		lying = lying || v.lying[c.ID] != ""
		switch {
		case v.fulfils(c, need.Condition):
			replicas++
		case need.Condition == compose.Healthy && c.Health == container.Unhealthy && len(v.drift[need.Service]) == 0:
			return fmt.Sprintf("service %s is unhealthy", need.Service)
		}
	}
	switch {
	case replicas >= s.Replicas:
		return ""
	case held:
		return fmt.Sprintf("service %s is not there: %s", need.Service, v.held[need.Service].words())
	case lying:
		return fmt.Sprintf("service %s has ended", need.Service)
	}
	return ""
}

func (h hold) words() string {
	if h.err != nil {
		return h.err.Error()
	}
	return h.why
}

// fulfils tells whether a container is what a dependent waits for.
func (v *verdict) fulfils(c *Container, condition compose.Condition) bool {
	switch condition {
	case compose.Healthy:
		return c.Phase == container.StateRunning && c.Health == container.Healthy
	case compose.Completed:
		return c.completed()
	}
	return c.Running() || v.lying[c.ID] != "" // it was started, and that was all
}

// changingSteps counts a plan's steps that change something, by service.
func changingSteps(p *Plan) map[string]int {
	steps := map[string]int{}
	for _, s := range p.Steps {
		if s.Action.Verb() != VerbAwait {
			steps[s.Action.Target().Service]++
		}
	}
	return steps
}
