package engine

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"galley/compose"
)

// createNetwork creates a network of the project.
type createNetwork struct {
	spec *compose.Network
}

func (a createNetwork) Target() Target { return Target{Kind: KindNetwork, Name: a.spec.Name} }
func (createNetwork) Verb() Verb       { return VerbCreate }

func (a createNetwork) do(ctx context.Context, r *run) error {
	options := a.spec.Create
	options.Labels = withLabels(options.Labels, r.ownLabels())
	return r.call(ctx, func(ctx context.Context) error {
		_, err := r.api.NetworkCreate(ctx, a.spec.Name, options)
		if errdefs.IsConflict(err) {
			return nil // made meanwhile; the next plan compares it
		}
		return err
	})
}

// removeNetwork removes a network. Its name is for people, the id is exact.
type removeNetwork struct {
	name, id string
	// spare: where somebody else uses it, it is left, with a warning.
	spare bool
}

func (a removeNetwork) Target() Target { return Target{Kind: KindNetwork, Name: a.name} }
func (removeNetwork) Verb() Verb       { return VerbRemove }

// do removes the network. For a moment after the removal of its last container the Engine still counts an endpoint: the
// attempt is repeated when it says that one is gone.
func (a removeNetwork) do(ctx context.Context, r *run) error {
	ctx, cancel := r.bounded(ctx, 0)
	defer cancel()
	err := r.api.NetworkRemove(ctx, a.id)
	if !errdefs.IsPermissionDenied(err) {
		return r.explain(ctx, gone(err))
	}
	if guest := r.guest(ctx, a.id); a.spare && guest != "" {
		r.warn("network " + a.name + " is still in use by container " + guest + " and was left")
		return nil
	}
	ctx, cancel = context.WithTimeout(ctx, endpointsLinger)
	defer cancel()
	disconnected, broken := r.api.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", string(events.NetworkEventType)), filters.Arg("network", a.id),
	)})
	for {
		if again := r.api.NetworkRemove(ctx, a.id); !errdefs.IsPermissionDenied(again) && ctx.Err() == nil {
			return gone(again)
		}
		select {
		case <-disconnected:
		case <-broken:
			return err
		}
	}
}

// guest is the name of a container that is on a network and is there; "" if there is none, or if the Engine does not say.
func (r *run) guest(ctx context.Context, id string) string {
	n, err := r.api.NetworkInspect(ctx, id, network.InspectOptions{})
	if err != nil {
		return ""
	}
	for _, user := range slices.Sorted(maps.Keys(n.Containers)) {
		if _, err := r.api.ContainerInspect(ctx, user); err == nil {
			return n.Containers[user].Name
		}
	}
	return ""
}

// endpointsLinger bounds the wait for endpoints that are only counted still. Engine 20.10 can count one for good, until it
// is restarted.
const endpointsLinger = 3 * time.Second

// createVolume creates a named volume of the project.
type createVolume struct {
	spec *compose.Volume
}

func (a createVolume) Target() Target { return Target{Kind: KindVolume, Name: a.spec.Name} }
func (createVolume) Verb() Verb       { return VerbCreate }

func (a createVolume) do(ctx context.Context, r *run) error {
	options := volume.CreateOptions(a.spec.Create)
	options.Name = a.spec.Name
	options.Labels = withLabels(options.Labels, r.ownLabels())
	return r.call(ctx, func(ctx context.Context) error {
		_, err := r.api.VolumeCreate(ctx, options)
		return err
	})
}

// removeVolume removes a volume, as it was asked for, or an anonymous one that nobody uses any more.
type removeVolume struct {
	name string
}

func (a removeVolume) Target() Target { return Target{Kind: KindVolume, Name: a.name} }
func (removeVolume) Verb() Verb       { return VerbRemove }

func (a removeVolume) do(ctx context.Context, r *run) error {
	return r.call(ctx, func(ctx context.Context) error {
		return gone(r.api.VolumeRemove(ctx, a.name, false))
	})
}

// removeImage removes an image that the project used.
type removeImage struct {
	ref string
}

func (a removeImage) Target() Target { return Target{Kind: KindImage, Name: a.ref} }
func (removeImage) Verb() Verb       { return VerbRemove }

func (a removeImage) do(ctx context.Context, r *run) error {
	return r.call(ctx, func(ctx context.Context) error {
		_, err := r.api.ImageRemove(ctx, a.ref, image.RemoveOptions{})
		if errdefs.IsConflict(err) {
			r.warn("image " + a.ref + " is still in use and was left")
			return nil
		}
		return gone(err)
	})
}

// withLabels returns a and b together, b winning, leaving both as they are.
func withLabels(a, b map[string]string) map[string]string {
	all := make(map[string]string, len(a)+len(b))
	for _, labels := range []map[string]string{a, b} {
		for k, v := range labels {
			all[k] = v
		}
	}
	return all
}
