package engine

import (
	"context"

	"github.com/containerd/errdefs"
)

// killContainer sends a running container a signal.
type killContainer struct {
	subject
	signal string
}

func (killContainer) Verb() Verb { return VerbKill }

func (a killContainer) do(ctx context.Context, r *run) error {
	return r.call(ctx, func(ctx context.Context) error {
		err := gone(r.api.ContainerKill(ctx, r.id(a.ref), a.signal))
		if errdefs.IsConflict(err) {
			return nil // it has ended meanwhile
		}
		return err
	})
}

// pauseContainer freezes a running container.
type pauseContainer struct {
	subject
}

func (pauseContainer) Verb() Verb { return VerbPause }

func (a pauseContainer) do(ctx context.Context, r *run) error {
	return r.call(ctx, func(ctx context.Context) error { return r.api.ContainerPause(ctx, r.id(a.ref)) })
}

// unpauseContainer lets a frozen container go on.
type unpauseContainer struct {
	subject
}

func (unpauseContainer) Verb() Verb { return VerbUnpause }

func (a unpauseContainer) do(ctx context.Context, r *run) error {
	return r.call(ctx, func(ctx context.Context) error { return r.api.ContainerUnpause(ctx, r.id(a.ref)) })
}
