package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-units"
)

// changed is the observed container whose [Settings] an action changes, if it does.
func changed(a Action) (id string, ok bool) {
	switch a := a.(type) {
	case updateContainer:
		id = a.id
	case connectNetwork:
		id = a.id
	case disconnectNetwork:
		id = a.id
	}
	return id, id != ""
}

// updateContainer changes restart policy and limits of a container, running or not.
type updateContainer struct {
	subject
	// change holds what differs; the zero value of a field leaves it as it is.
	change container.UpdateConfig
	// want are all settings that the container has afterwards.
	want Settings
	// lowers: the limit of memory goes down.
	lowers bool
}

func (updateContainer) Verb() Verb { return VerbUpdate }

func (a updateContainer) do(ctx context.Context, r *run) error {
	if a.lowers {
		if err := r.fits(ctx, a); err != nil {
			return err
		}
	}
	err := r.call(ctx, func(ctx context.Context) error {
		response, err := r.api.ContainerUpdate(ctx, r.id(a.ref), a.change)
		for _, warning := range response.Warnings {
			r.warn(warning)
		}
		return err
	})
	return r.asked(a.ref, a.want, err)
}

// connectNetwork attaches a container to one more network, with the whole endpoint.
type connectNetwork struct {
	subject
	network string
	// settings gives the endpoint; ip addresses, aliases and all.
	settings network.EndpointSettings
	// want are all settings that the container has afterwards.
	want Settings
}

func (connectNetwork) Verb() Verb { return VerbConnect }

func (a connectNetwork) do(ctx context.Context, r *run) error {
	err := r.call(ctx, func(ctx context.Context) error {
		return alreadySo(r.api.NetworkConnect(ctx, a.network, r.id(a.ref), &a.settings), "already exists in network")
	})
	return r.asked(a.ref, a.want, err)
}

// disconnectNetwork detaches a container from a network.
type disconnectNetwork struct {
	subject
	network string
	// want are all settings that the container has afterwards.
	want Settings
}

func (disconnectNetwork) Verb() Verb { return VerbDisconnect }

func (a disconnectNetwork) do(ctx context.Context, r *run) error {
	err := r.call(ctx, func(ctx context.Context) error {
		return alreadySo(gone(r.api.NetworkDisconnect(ctx, a.network, r.id(a.ref), true)), "is not connected to")
	})
	return r.asked(a.ref, a.want, err)
}

// asked notes what an observed container was asked for. A change that the Engine refuses makes the container one to be
// replaced.
func (r *run) asked(c ref, want Settings, err error) error {
	switch {
	case c.id == "" || want == nil:
		return err
	case err == nil:
		r.changes.asks(c.id, want, true)
		return nil
	case is[*UnreachableError](err), errdefs.IsNotFound(err), isFullDisk(err):
		return err // a new one would fare no better
	}
	return &refusedError{id: c.id, what: changedInPlace, err: err}
}

// alreadySo takes a refusal for success whose words say that nothing was to be done; its status is that of many others.
func alreadySo(err error, words string) error {
	if err != nil && strings.Contains(err.Error(), words) {
		return nil
	}
	return err
}

// refusedError says what the Engine does not do with a container as it is; a new one takes its place.
type refusedError struct {
	id string
	// what it can't be.
	what string
	err  error
}

// changedInPlace is what a container can't be whose settings the Engine refuses.
const changedInPlace = "changed in place"

func (e *refusedError) Error() string { return fmt.Sprintf("it can't be %s: %v", e.what, e.err) }

func (e *refusedError) Unwrap() error { return e.err }

// fits refuses a limit of memory below what the container uses: with cgroup v2 the kernel would kill for it.
func (r *run) fits(ctx context.Context, a updateContainer) error {
	ctx, cancel := context.WithTimeout(ctx, r.opts.AnswerWithin)
	defer cancel()
	used, err := r.memoryUse(ctx, r.id(a.ref))
	if err != nil || used <= uint64(a.change.Memory) {
		return nil // the kernel has the last word
	}
	return &refusedError{id: a.id, what: changedInPlace, err: fmt.Errorf("it uses %s of memory", units.BytesSize(float64(used)))}
}

// memoryUse is how much memory a container uses, in bytes.
func (e *Engine) memoryUse(ctx context.Context, id string) (uint64, error) {
	response, err := e.api.ContainerStatsOneShot(ctx, id)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var stats container.StatsResponse
	if err := json.NewDecoder(response.Body).Decode(&stats); err != nil {
		return 0, err
	}
	return inUse(stats.MemoryStats), nil
}
