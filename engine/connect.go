package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
)

// MinAPI is the oldest Engine API version that Galley drives: Docker Engine 20.10.
const MinAPI = "1.41"

const (
	defaultAnswerWithin = 10 * time.Second
	defaultFinishWithin = 2 * time.Minute
	defaultSteadyFor    = time.Second
	defaultReconnect    = time.Minute
	// On two cores dockerd gains nothing from more calls at a time, and removals get slower.
	defaultParallel = 12
)

// Connect reaches the Engine and negotiates the API version. An Engine that does not answer is an *UnreachableError,
// one older than [MinAPI] a *TooOldError.
func Connect(ctx context.Context, opts Options) (*Engine, error) {
	opts = opts.withDefaults()
	docker, err := newClient(opts.Host)
	if err != nil {
		return nil, &UnreachableError{Host: opts.Host, Err: err}
	}
	e := &Engine{Host: docker.DaemonHost(), api: docker, opts: opts}
	ctx, cancel := context.WithTimeout(ctx, opts.AnswerWithin)
	defer cancel()
	ping, err := docker.Ping(ctx)
	if err != nil {
		return nil, e.unreachable(ctx, err)
	}
	if ping.APIVersion == "" {
		return nil, &UnreachableError{Host: e.Host, Err: fmt.Errorf("what answers there is no Docker Engine")}
	}
	if versions.LessThan(ping.APIVersion, MinAPI) {
		return nil, &TooOldError{Attribute: "galley", Need: MinAPI, Have: ping.APIVersion}
	}
	docker.NegotiateAPIVersionPing(ping)
	e.API = docker.ClientVersion()
	return e, nil
}

func (o Options) withDefaults() Options {
	if o.AnswerWithin == 0 {
		o.AnswerWithin = defaultAnswerWithin
	}
	if o.FinishWithin == 0 {
		o.FinishWithin = defaultFinishWithin
	}
	if o.ReconnectWithin == 0 {
		o.ReconnectWithin = defaultReconnect
	}
	if o.SteadyFor == 0 {
		o.SteadyFor = defaultSteadyFor
	}
	if o.Memory == nil {
		o.Memory = &processMemory{}
	}
	if o.Parallel <= 0 {
		o.Parallel = defaultParallel
	}
	if o.PullRoom == 0 {
		o.PullRoom = defaultPullRoom
	}
	if o.PullTries <= 0 {
		o.PullTries = defaultPullTries
	}
	if o.PullPause == 0 {
		o.PullPause = defaultPullPause
	}
	if o.StallAfter == 0 {
		o.StallAfter = defaultStallAfter
	}
	return o
}

// newClient configures the client from the docker CLI's environment variables; host, if set, wins over DOCKER_HOST.
func newClient(host string) (*client.Client, error) {
	settings := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if host != "" {
		settings = append(settings, client.WithHost(host))
	}
	return client.NewClientWithOpts(settings...)
}

// unreachable explains a call that got no answer; ctx is the context that bounded it.
func (e *Engine) unreachable(ctx context.Context, err error) error {
	if ctx.Err() == context.DeadlineExceeded {
		err = fmt.Errorf("no answer within %s", e.opts.AnswerWithin)
	}
	return &UnreachableError{Host: e.Host, Err: err}
}

// Close releases the connections.
func (e *Engine) Close() error { return e.api.Close() }
