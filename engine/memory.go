package engine

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"golang.org/x/sync/errgroup"
)

// Memory keeps what was found out about containers beyond what the Engine lists, from one look at a project to the next
// and, where it is a file, from one process to the next: a plan with nothing to do costs no inspect. It is a cache. Lost, it
// costs an inspect of each container; no decision rests on it that an inspect would not confirm, unless somebody else
// changed the container since. [Engine.StateInFull] finds that out.
type Memory interface {
	// Load gives what is kept of a project, by container id: nothing, where there is nothing or it can't be understood.
	Load(project string) map[string]Known
	// Save keeps that instead. An error says that something older is kept still, which would be wrong from now on.
	Save(project string, known map[string]Known) error
}

// Known is what is known of one container.
type Known struct {
	// Asked are the settings that it was created with, or that were asked for last.
	Asked Settings `json:"asked,omitempty"`
	// Got are all settings as an inspect gave them. Then Asked are only those of which the Engine made something else, as
	// it does with limits that the kernel doesn't know: asking again would change nothing.
	Got Settings `json:"got,omitempty"`
	// Unsure: what was asked for is yet to be compared with what came of it.
	Unsure bool `json:"unsure,omitempty"`
	// Created is when it was created, Started when it had started last as an inspect gave it: by now it may have started again.
	Created time.Time `json:"created,omitzero"`
	Started time.Time `json:"started,omitzero"`
}

// settings are what the container has, as far as wishes can be told from it.
func (k Known) settings() Settings {
	settings := maps.Clone(k.Got)
	if settings == nil {
		settings = Settings{}
	}
	maps.Copy(settings, k.Asked)
	return settings
}

// inspected is what is known after an inspect.
func (k Known) inspected(c container.InspectResponse) Known {
	got := observedSettings(c)
	if c.State != nil {
		k.Created, k.Started = moment(c.Created), moment(c.State.StartedAt)
	}
	now := Known{Got: got, Asked: Settings{}, Created: k.Created, Started: k.Started}
	for name, asked := range k.Asked {
		came, before := got[name], k.Got[name]
		if came != asked && (k.Unsure || k.Got != nil && came == before) {
			now.Asked[name] = asked
		}
	}
	return now
}

// recall completes containers with their settings: from memory, or by inspecting those that it lacks; in full, all of
// them. The containers of others are replaced anyway.
func (e *Engine) recall(ctx context.Context, project string, containers []*Container, full bool) error {
	known := e.opts.Memory.Load(project)
	pairs := restartPairs(containers)
	late := unsettled(pairs, known)
	shared := sharingPairs(containers)
	for _, p := range shared {
		late[p.dependent.ID], late[p.dependency.ID] = true, true // either may have started again since
	}
	now, err := e.inspectLacking(ctx, containers, known, func(c *Container) bool { return full || late[c.ID] })
	if err != nil {
		return err
	}
	for _, c := range containers {
		if k, ok := now[c.ID]; ok {
			c.Settings = k.settings()
		}
	}
	for _, p := range pairs {
		if started := now[p.dependent.ID].Started; !started.IsZero() && started.Before(now[p.dependency.ID].Created) {
			p.dependent.Behind = append(p.dependent.Behind, p.dependency.ID)
		}
	}
	for _, p := range shared {
		if started := now[p.dependent.ID].Started; !started.IsZero() && started.Before(now[p.dependency.ID].Started) {
			p.dependent.Stranded = append(p.dependent.Stranded, p.dependency.ID)
		}
	}
	if maps.EqualFunc(known, now, Known.equal) {
		return nil
	}
	// What can't be kept is asked again.
	_ = e.opts.Memory.Save(project, now)
	return nil
}

// inspectLacking returns what is known of Galley's own containers, by id, after an inspect of those of which too little is known,
// and of those that doubtful names.
func (e *Engine) inspectLacking(ctx context.Context, containers []*Container, known map[string]Known, doubtful func(*Container) bool) (map[string]Known, error) {
	found := make([]Known, len(containers))
	inspects, ctx := errgroup.WithContext(ctx)
	inspects.SetLimit(e.opts.Parallel)
	for i, c := range containers {
		if c.Hash == "" || c.OneOff {
			continue
		}
		k, ok := known[c.ID]
		if found[i] = k; ok && !k.Unsure && !doubtful(c) {
			continue
		}
		inspects.Go(func() error {
			response, silent, err := e.inspectBriefly(ctx, c)
			switch {
			case errdefs.IsNotFound(err):
				return nil // it went between the list and this; whoever acts on it finds that out
			case silent && ok:
				return nil // what was known must do
			case silent:
				return err
			case err != nil:
				return e.reading(ctx, "container "+c.Name, err)
			}
			found[i] = k.inspected(response)
			return nil
		})
	}
	if err := inspects.Wait(); err != nil {
		return nil, err
	}
	now := map[string]Known{}
	for i, c := range containers {
		if found[i].Asked != nil || found[i].Got != nil {
			now[c.ID] = found[i]
		}
	}
	return now, nil
}

// restartPair is a running container and one for whose sake it may have to be restarted.
type restartPair struct{ dependent, dependency *Container }

// restartPairs are the running containers and those that took another's place of services that they depend on with
// `restart: true`.
func restartPairs(containers []*Container) []restartPair {
	var pairs []restartPair
	for _, c := range containers {
		for _, need := range c.Needs {
			if !need.Restart || c.Phase != container.StateRunning {
				continue
			}
			for _, other := range containers {
				if other.Service == need.Service && other.Summary.Labels[labelReplaces] != "" {
					pairs = append(pairs, restartPair{c, other})
				}
			}
		}
	}
	return pairs
}

// sharingPairs are the running containers that share namespaces with, or volumes of, another that runs.
func sharingPairs(containers []*Container) []restartPair {
	var pairs []restartPair
	for _, c := range containers {
		for _, id := range parseParents(c.Summary.Labels[labelParents]) {
			for _, other := range containers {
				if other.ID == id && c.Phase == container.StateRunning && other.Phase == container.StateRunning {
					pairs = append(pairs, restartPair{c, other})
				}
			}
		}
	}
	return pairs
}

// unsettled are the containers, by id, that must be inspected to know which came first. When one was created never changes,
// and when one started only gets later: once it did so after the other's creation, that is known for good.
func unsettled(pairs []restartPair, known map[string]Known) map[string]bool {
	ids := map[string]bool{}
	for _, p := range pairs {
		created := known[p.dependency.ID].Created
		if created.IsZero() {
			ids[p.dependency.ID] = true
		}
		if started := known[p.dependent.ID].Started; created.IsZero() || !started.After(created) {
			ids[p.dependent.ID] = true
		}
	}
	return ids
}

func (k Known) equal(other Known) bool {
	return k.Unsure == other.Unsure && k.Created.Equal(other.Created) && k.Started.Equal(other.Started) && maps.Equal(k.Asked, other.Asked) && maps.Equal(k.Got, other.Got)
}

// changes collects what a walk does to the settings of containers.
type changes struct {
	mu sync.Mutex
	// asked are the settings by container id that creations and finished changes ask for.
	asked map[string]Known
}

// asks notes what a container was asked to have. Of a change it is yet to be seen what came of it; a creation is taken at
// its word.
func (c *changes) asks(id string, settings Settings, unsure bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[id] = Known{Asked: settings, Unsure: unsure}
}

// forget takes out of memory, before a walk begins, the containers that it will change. Should the process die in between,
// the next one inspects them.
func (e *Engine) forget(plan *Plan) error {
	known := maps.Clone(e.opts.Memory.Load(plan.Project))
	before := len(known)
	for _, step := range plan.Steps {
		if id, ok := changed(step.Action); ok {
			delete(known, id)
		}
	}
	if len(known) == before {
		return nil
	}
	if err := e.opts.Memory.Save(plan.Project, known); err != nil {
		return fmt.Errorf("forgetting what was known of containers that change: %w", err)
	}
	return nil
}

// remember keeps what a walk asked for, but for containers of which a change failed.
func (e *Engine) remember(plan *Plan, outcomes []outcome, asked map[string]Known) {
	for i, step := range plan.Steps {
		if id, ok := changed(step.Action); ok && outcomes[i].kind != Done {
			delete(asked, id)
		}
	}
	if len(asked) == 0 {
		return
	}
	known := maps.Clone(e.opts.Memory.Load(plan.Project))
	if known == nil {
		known = map[string]Known{}
	}
	maps.Copy(known, asked)
	// What can't be kept is asked again.
	_ = e.opts.Memory.Save(plan.Project, known)
}

// processMemory is a memory that ends with the process.
type processMemory struct {
	mu       sync.Mutex
	projects map[string]map[string]Known
}

func (m *processMemory) Load(project string) map[string]Known {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.projects[project]
}

func (m *processMemory) Save(project string, known map[string]Known) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.projects == nil {
		m.projects = map[string]map[string]Known{}
	}
	m.projects[project] = known
	return nil
}
