package engine

import (
	"context"
	"fmt"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
)

// OneOff is a container of a service that is none of its replicas: it runs once, for a command of its own.
type OneOff struct {
	// Service is the service as it is this once.
	Service *compose.Service
	// Name is the container's.
	Name string
}

// dependencies are the services that must be there before.
func (o *OneOff) dependencies(none bool) []string {
	var names []string
	for _, need := range o.Service.Needs {
		if !none {
			names = append(names, need.Service)
		}
	}
	return names
}

// using are the services that networks and volumes are needed for: those chosen, and that of a one-off container.
func (d *differ) using(chosen []*compose.Service) []*compose.Service {
	if d.opts.OneOff == nil {
		return chosen
	}
	return append(chosen[:len(chosen):len(chosen)], d.opts.OneOff.Service)
}

// planOneOff creates the one-off container, once what it waits for is ready. Its start is not planned: who starts it talks
// to it.
func (d *differ) planOneOff() {
	if d.opts.OneOff == nil {
		return
	}
	s := d.opts.OneOff.Service
	d.needImages(s, s.Config.Image, s.Platform, &s.Host)
	r := &replica{number: 1, ref: ref{name: d.opts.OneOff.Name}, why: "one-off of service " + s.Name, awaits: map[gate]*node{}}
	d.create(&servicePlan{spec: s}, r)
	change(r.created, func(a createContainer) createContainer {
		a.oneOff = true
		return a
	})
	open := d.gatesOf(s)
	r.created.need(open.needs...)
	after([]*node{r.created}, open.after)
}

// StartAttached starts a one-off container that talks to the console, waits for its end, and returns its exit code. One that
// the Engine removes then has gone when it returns. When ctx ends, the container is stopped.
func (e *Engine) StartAttached(ctx context.Context, once *OneOff, console Console) (int, error) {
	name, until := once.Name, container.WaitConditionNextExit
	if once.Service.Host.AutoRemove {
		until = container.WaitConditionRemoved
	}
	stream, err := e.api.ContainerAttach(ctx, name, container.AttachOptions{
		Stream: true, Stdin: console.Stdin != nil, Stdout: true, Stderr: true, DetachKeys: console.DetachKeys,
	})
	if err != nil {
		return 0, e.calling(ctx, "attaching to "+name, err)
	}
	ended, broken := e.api.ContainerWait(context.WithoutCancel(ctx), name, until)
	if err := e.Start(ctx, name); err != nil {
		stream.Close()
		return 0, err
	}
	resize := func(ctx context.Context, o container.ResizeOptions) error { return e.api.ContainerResize(ctx, name, o) }
	if err := console.session(ctx, stream, resize); err != nil {
		if ctx.Err() != nil {
			return 0, e.stopped(ctx, name, err)
		}
		return 0, err
	}
	select {
	case end := <-ended:
		if end.Error != nil {
			return 0, fmt.Errorf("waiting for the end of %s: %s", name, end.Error.Message)
		}
		return int(end.StatusCode), nil
	case err := <-broken:
		return 0, e.calling(ctx, "waiting for the end of "+name, err)
	case <-ctx.Done():
		return 0, e.stopped(ctx, name, context.Cause(ctx))
	}
}

// Start starts a container.
func (e *Engine) Start(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, e.opts.FinishWithin)
	defer cancel()
	return e.calling(ctx, "starting "+name, e.api.ContainerStart(ctx, name, container.StartOptions{}))
}

// stopped stops a container because of an interruption, which it returns unless the stop failed.
func (e *Engine) stopped(ctx context.Context, name string, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.opts.FinishWithin)
	defer cancel()
	if err := gone(e.api.ContainerStop(ctx, name, container.StopOptions{})); err != nil {
		return e.calling(ctx, "stopping "+name, err)
	}
	return cause
}
