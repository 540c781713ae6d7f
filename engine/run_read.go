package engine

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"golang.org/x/sync/errgroup"
)

// Facts are what only an inspect tells of a container.
type Facts struct {
	// Phase and Health are as in [Container]: what is, where the list may tell what was.
	Phase  container.ContainerState
	Health container.HealthStatus
	// Started and Finished are when its process last began and ended; zero where it never did.
	Started, Finished time.Time
	// ExitCode is the last one; meaningful with Finished.
	ExitCode  int
	OOMKilled bool
	// Error is the Engine's word on why it could not be started.
	Error string
	// Probe is what the last healthcheck that failed printed.
	Probe string

	// networks are those that it is on, by name.
	networks map[string]*network.EndpointSettings
}

// learn asks for the facts of containers that are not known yet, or known otherwise than they are listed. Those of others are
// kept, those of containers that are gone forgotten. partial: of some the Engine did not tell in time.
func (e *Engine) learn(ctx context.Context, containers []*Container, known map[string]*Facts) (all map[string]*Facts, partial bool, err error) {
	facts := make(map[string]*Facts, len(containers))
	var mu sync.Mutex
	calls, ctx := errgroup.WithContext(ctx)
	calls.SetLimit(e.opts.Parallel)
	for _, c := range containers {
		if f := known[c.ID]; f != nil && f.agree(c) {
			mu.Lock()
			facts[c.ID] = f
			mu.Unlock()
			continue
		}
		calls.Go(func() error {
			inspected, silent, err := e.inspectBriefly(ctx, c)
			if errdefs.IsNotFound(err) {
				return nil
			}
			if err != nil && !silent {
				return e.reading(ctx, "containers", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if silent {
				partial = true
				return nil
			}
			facts[c.ID] = factsOf(inspected)
			return nil
		})
	}
	err = calls.Wait()
	return facts, partial, err
}

// inspectBriefly asks for all that the Engine knows of a container. silent: it does not tell in time. It waits with the answer
// while the container is being started, as for a mount from a server that is away: that is no reason to give up the others.
func (e *Engine) inspectBriefly(ctx context.Context, c *Container) (inspected container.InspectResponse, silent bool, err error) {
	brief, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	inspected, err = e.api.ContainerInspect(brief, c.ID)
	if err != nil && ctx.Err() == nil && brief.Err() != nil {
		return inspected, true, e.unreachable(brief, err)
	}
	return inspected, false, err
}

func factsOf(c container.InspectResponse) *Facts {
	f := &Facts{}
	if c.NetworkSettings != nil {
		f.networks = c.NetworkSettings.Networks
	}
	if c.ContainerJSONBase == nil || c.State == nil {
		return f
	}
	f.Phase = c.State.Status
	if c.State.Health != nil && c.State.Health.Status != container.NoHealthcheck && f.Phase == container.StateRunning {
		f.Health = c.State.Health.Status
	}
	f.Started, f.Finished = moment(c.State.StartedAt), moment(c.State.FinishedAt)
	f.ExitCode, f.OOMKilled, f.Error = c.State.ExitCode, c.State.OOMKilled, c.State.Error
	f.Probe = probeFailure(c.State.Health)
	return f
}

// agree tells whether a container is listed as an inspect gave it.
func (f *Facts) agree(c *Container) bool {
	return f.agreeOnPhase(c) && f.agreeOnNetworks(c)
}

func (f *Facts) agreeOnPhase(c *Container) bool {
	return f.Phase == c.Phase && (f.Health == c.Health || f.Phase != container.StateRunning)
}

func (f *Facts) agreeOnNetworks(c *Container) bool {
	return c.Summary.NetworkSettings == nil || maps.EqualFunc(f.networks, c.Summary.NetworkSettings.Networks, func(a, b *network.EndpointSettings) bool {
		return (a == nil) == (b == nil) && (a == nil || a.NetworkID == b.NetworkID)
	})
}

// correct takes an inspect's word against the list's.
func (f *Facts) correct(c *Container) {
	c.Started, c.Finished = f.Started, f.Finished
	if !f.agreeOnNetworks(c) {
		c.Summary.NetworkSettings = &container.NetworkSettingsSummary{Networks: f.networks}
	}
	if !f.agreeOnPhase(c) {
		c.Misrecorded = f.Phase != c.Phase
		c.Phase, c.Health, c.ExitCode = f.Phase, f.Health, f.ExitCode
	}
}

// moment reads one of the Engine's timestamps; "never" is the year 1 there, the zero time here.
func moment(stamp string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// reading is what was read in the background.
type reading struct {
	link  *link
	have  *State
	facts map[string]*Facts
	err   error
	// all: not the containers alone; inFull: with all their settings. amid: it began while something was being changed here.
	// partial: of some containers the facts are yet to be asked for again.
	all, inFull, amid, partial bool
}

// readSoon has the containers read after a pause, or, with all, everything. A reading that is waited for is not put off.
func (s *supervisor) readSoon(all bool, pause time.Duration) {
	at := time.Now().Add(pause)
	if !s.look || at.Before(s.lookAt) {
		s.lookAt = at
	}
	s.look, s.all = true, s.all || all
}

// leavesResources tells whether a plan changes nothing but containers that are there before and after.
func (p *Plan) leavesResources() bool {
	return !slices.ContainsFunc(p.Steps, func(s Step) bool {
		verb := s.Action.Verb()
		return s.Action.Target().Kind != KindContainer || verb == VerbCreate || verb == VerbRemove
	})
}

// observe reads in the background: containers alone where nothing hints at more.
func (s *supervisor) observe(ctx context.Context) {
	r := &reading{link: s.link, all: s.all || s.have == nil, amid: s.work != nil}
	s.look, s.all, s.reading = false, false, true
	e, project, before := s.link.engine, s.want.Name, s.have
	r.inFull = s.inFull || !time.Now().Before(s.resync)
	facts := maps.Clone(s.facts)
	s.inFull = false
	clear(s.dirty)
	go func() {
		switch {
		case r.inFull:
			r.have, r.err = e.StateInFull(ctx, project)
		case r.all:
			r.have, r.err = e.State(ctx, project)
		default:
			state := *before
			state.Containers, r.err = e.Containers(ctx, project)
			carrySettings(before.Containers, state.Containers)
			r.have = &state
		}
		if r.err == nil {
			r.facts, r.partial, r.err = e.learn(ctx, r.have.Containers, facts)
		}
		select {
		case s.readings <- r:
		case <-s.quit:
		}
	}()
}

// carrySettings goes on with what was known of containers: a list doesn't tell it.
func carrySettings(before, now []*Container) {
	known := map[string]Settings{}
	for _, c := range before {
		known[c.ID] = c.Settings
	}
	for _, c := range now {
		c.Settings = known[c.ID]
	}
}

// read takes what was read into account.
func (s *supervisor) read(r *reading) {
	s.reading = false
	if r.link != s.link {
		return
	}
	if r.err != nil {
		s.fail(r.err)
		s.readSoon(true, maxPause)
		return
	}
	if s.wasInFull = r.inFull; r.all || r.inFull {
		s.resync = time.Now().Add(s.opts.Resync)
	}
	s.stale = s.stale && r.amid
	if r.partial {
		s.readSoon(false, maxPause)
	}
	s.know(r.have, r.facts)
}

// know takes over what was read, less the facts that something was heard about meanwhile.
func (s *supervisor) know(have *State, facts map[string]*Facts) {
	for id := range s.dirty {
		delete(facts, id)
	}
	maps.DeleteFunc(s.told, func(_ string, at time.Time) bool { return !lately(at) })
	for _, c := range have.Containers {
		f := facts[c.ID]
		if f == nil {
			continue
		}
		f.correct(c)
		if c.Misrecorded && s.changedLately(c) { // perhaps after it was listed
			c.Misrecorded = false
			s.readSoon(false, eventLag)
		}
	}
	s.have, s.facts, s.unjudged = have, facts, true
	s.tally()
}

// changedLately tells whether a list may be older than what became of a container.
func (s *supervisor) changedLately(c *Container) bool {
	return slices.ContainsFunc([]time.Time{c.Started, c.Finished, s.told[c.ID]}, lately)
}

func lately(at time.Time) bool { return time.Since(at) < eventLag }
