package engine

import (
	"context"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"

	"galley/compose"
)

// ref names a container in a plan: by its id if it was observed, else by its name until the plan has created it.
type ref struct {
	id, name string
}

func (c *Container) ref() ref { return ref{id: c.ID, name: c.Name} }

// subject is the container that an action is about.
type subject struct {
	ref
	service string
}

// Target returns the container.
func (s subject) Target() Target {
	return Target{Kind: KindContainer, Name: s.name, Service: s.service}
}

// createContainer creates a replica under the given name.
type createContainer struct {
	subject
	project *compose.Project
	spec    *compose.Service
	// image is the spec's as the Engine knows it.
	image  string
	number int
	// mounted are the Engine's names of mounted images that the recipe names otherwise.
	mounted map[string]string
	// imageID is what the image's reference points to, "" while it is still to be pulled.
	imageID string
	// parents are the containers behind the spec's service: references, by service.
	parents map[string]ref
	// replaces is the id of the container whose place it takes, "" if there is none.
	replaces string
	// inherit are anonymous volumes to be carried over, by destination.
	inherit map[string]string
	// forsaken are the anonymous volumes that are not.
	forsaken []string
	// files are the mounts of configs and secrets.
	files []mount.Mount
	// connectAll attaches all networks at once (API 1.44 and newer); else only the first.
	connectAll bool
	// init is set for a container of pre_start.
	init *initOf
	// oneOff marks a container that is no replica.
	oneOff bool
}

func (createContainer) Verb() Verb { return VerbCreate }

func (a createContainer) do(ctx context.Context, r *run) error {
	body, err := a.payload(ctx, r)
	if err != nil {
		return err
	}
	ctx, cancel := r.bounded(ctx, 0)
	defer cancel()
	created, err := r.api.ContainerCreate(ctx, body.config, body.host, body.network, body.platform, a.name)
	if errdefs.IsConflict(err) && r.adopt(ctx, a) {
		return nil
	}
	if err != nil {
		return r.explain(ctx, err)
	}
	r.created(a.name, created.ID)
	if a.init == nil {
		r.changes.asks(created.ID, wantedSettings(a.project, a.spec, a.number), false)
	}
	for _, warning := range created.Warnings {
		r.warn(warning)
	}
	return nil
}

// startContainer starts a container.
type startContainer struct {
	subject
	// alone: the container publishes a range of host ports, out of which the Engine picks without a lock of its own.
	alone bool
}

func (startContainer) Verb() Verb { return VerbStart }

func (a startContainer) do(ctx context.Context, r *run) error {
	if a.alone {
		r.portRanges.Lock()
		defer r.portRanges.Unlock()
	}
	id := r.id(a.ref)
	err := r.call(ctx, func(ctx context.Context) error {
		return r.api.ContainerStart(ctx, id, container.StartOptions{})
	})
	if err != nil && outlived(err) {
		return &refusedError{id: id, what: "started any more", err: err}
	}
	return err
}

// outlived tells whether a container can't be started since a process of it outlived the Engine: one that was killed in the
// middle of a start, as 20.10 is without noticing afterwards. All further starts of that container fail; a new one is another's.
func outlived(err error) bool {
	text := err.Error()
	return strings.HasSuffix(text, "id already in use") || strings.Contains(text, "task ") && strings.HasSuffix(text, ": already exists")
}

// stopContainer stops a container, within its own grace period or the one given, in seconds.
type stopContainer struct {
	subject
	timeout *int
	// unpause first: a paused process can't act on the stop signal.
	unpause bool
	// stays: the container is not removed afterwards, so that lists must tell that it stopped.
	stays bool
}

func (stopContainer) Verb() Verb { return VerbStop }

func (a stopContainer) do(ctx context.Context, r *run) (err error) {
	ctx, cancel := r.stopping(ctx, r.id(a.ref), a.timeout)
	defer cancel()
	if a.unpause {
		if err := r.api.ContainerUnpause(ctx, r.id(a.ref)); err != nil && !errdefs.IsConflict(err) {
			return r.explain(ctx, gone(err))
		}
	}
	if a.stays {
		woken, done := r.watch.on(ctx, r.id(a.ref))
		defer done()
		defer func() {
			if err == nil {
				r.awaitListed(ctx, r.id(a.ref), woken)
			}
		}()
	}
	return r.explain(ctx, gone(r.api.ContainerStop(ctx, r.id(a.ref), container.StopOptions{Timeout: a.timeout})))
}

// awaitListed waits until the Engine no longer lists a container among the running. It answers a stop when the process has
// ended, and writes that down for its lists after that, before it tells of the death: seen on Engine 26.1. It is no error
// when that takes long; the container has stopped.
func (r *run) awaitListed(ctx context.Context, id string, woken <-chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.AnswerWithin)
	defer cancel()
	for {
		running, err := r.api.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("id", id))})
		if err != nil || len(running) == 0 {
			return
		}
		select {
		case <-woken:
		case <-ctx.Done():
			return
		}
	}
}

// restartContainer stops and starts a container because one that it depends on was replaced.
type restartContainer struct {
	subject
	timeout *int
}

func (restartContainer) Verb() Verb { return VerbRestart }

func (a restartContainer) do(ctx context.Context, r *run) error {
	ctx, cancel := r.stopping(ctx, r.id(a.ref), a.timeout)
	defer cancel()
	return r.explain(ctx, r.api.ContainerRestart(ctx, r.id(a.ref), container.StopOptions{Timeout: a.timeout}))
}

// removeContainer removes a stopped container.
type removeContainer struct {
	subject
	// volumes removes the anonymous volumes too that were made for the container and that nobody else mounts. Those that
	// it had carried over have a name for the Engine, and are steps of their own.
	volumes bool
}

func (removeContainer) Verb() Verb { return VerbRemove }

func (a removeContainer) do(ctx context.Context, r *run) error {
	ctx, cancel := r.bounded(ctx, 0)
	defer cancel()
	id := r.id(a.ref)
	options := container.RemoveOptions{Force: true, RemoveVolumes: a.volumes}
	err := r.api.ContainerRemove(ctx, id, options)
	if !errdefs.IsConflict(err) {
		return r.explain(ctx, gone(err))
	}
	// Somebody else is removing it already: that is waited for.
	woken, done := r.watch.on(ctx, id)
	defer done()
	for {
		again := r.api.ContainerRemove(ctx, id, options)
		if !errdefs.IsConflict(again) {
			return r.explain(ctx, gone(again))
		}
		select {
		case <-woken:
		case <-ctx.Done():
			return r.explain(ctx, err)
		}
	}
}

// renameContainer gives a container that took another one's place its proper name.
type renameContainer struct {
	subject
	to string
}

func (renameContainer) Verb() Verb { return VerbRename }

func (a renameContainer) do(ctx context.Context, r *run) error {
	return r.call(ctx, func(ctx context.Context) error {
		return r.api.ContainerRename(ctx, r.id(a.ref), a.to)
	})
}

// gone takes "there is no such thing" for success: what was to be taken away is away.
func gone(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// stopping limits a stop. How long that may take by a container's own grace period is asked only of one that takes long.
func (r *run) stopping(ctx context.Context, id string, timeout *int) (context.Context, context.CancelFunc) {
	if timeout != nil {
		return r.bounded(ctx, grace(*timeout))
	}
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(r.opts.FinishWithin, func() {
		own := defaultGrace
		if c, err := r.inspect(ctx, id); err == nil && c.Config != nil && c.Config.StopTimeout != nil {
			own = grace(*c.Config.StopTimeout)
		}
		select {
		case <-time.After(own):
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() { timer.Stop(); cancel() }
}

// defaultGrace is the Engine's.
const defaultGrace = 10 * time.Second

// grace is how long a stop may take by the seconds given; -1 is for ever.
func grace(seconds int) time.Duration {
	if seconds < 0 {
		return 365 * 24 * time.Hour
	}
	return time.Duration(seconds) * time.Second
}
