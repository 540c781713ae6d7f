package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/docker/cli/cli/connhelper"
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
	docker, host, err := newClient(opts)
	if err != nil {
		return nil, &UnreachableError{Host: host, Err: err}
	}
	e := &Engine{Host: host, api: docker, opts: opts}
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

// newClient configures the client from the docker CLI's environment variables, and returns the address that it is for. The
// options' Host wins over DOCKER_HOST. At one of ssh the Engine is reached as the docker CLI does it: by the ssh command, and
// docker on the other side.
func newClient(opts Options) (docker *client.Client, host string, err error) {
	host = cmp.Or(opts.Host, os.Getenv(client.EnvOverrideHost))
	through, err := connhelper.GetConnectionHelper(host)
	if err != nil {
		return nil, host, err
	}
	settings := []client.Opt{client.FromEnv}
	switch {
	case through != nil:
		// Each connection is a command of its own, so they are kept.
		transport := &http.Transport{DialContext: through.Dialer, MaxIdleConnsPerHost: opts.Parallel, IdleConnTimeout: 30 * time.Second}
		settings = []client.Opt{
			client.WithHTTPClient(&http.Client{Transport: transport}), client.WithVersionFromEnv(),
			client.WithHost(through.Host), client.WithDialContext(through.Dialer),
		}
	case opts.TLS != nil:
		secured := &http.Client{Transport: &http.Transport{TLSClientConfig: opts.TLS}, CheckRedirect: client.CheckRedirect}
		settings = []client.Opt{client.WithHTTPClient(secured), client.WithVersionFromEnv(), client.WithHost(host)}
	case host != "":
		settings = append(settings, client.WithHost(host))
	}
	docker, err = client.NewClientWithOpts(append(settings, client.WithAPIVersionNegotiation())...)
	if through == nil && err == nil {
		host = docker.DaemonHost()
	}
	return docker, host, err
}

// slowest is how many times [Options.AnswerWithin] an Engine may take for its lists as long as it answers pings.
const slowest = 3

// patiently bounds a read of lists, which take an Engine long that is busy or has much to list: one that still answers pings is
// slow, and not away.
func (e *Engine) patiently(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	go func() {
		again := time.NewTicker(e.opts.AnswerWithin)
		defer again.Stop()
		for n := 1; ; n++ {
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
			if n == slowest || !e.answers(ctx) {
				end(silenceError(time.Duration(n) * e.opts.AnswerWithin))
				return
			}
		}
	}()
	return ctx, func() { end(context.Canceled) }
}

// answers tells whether the Engine answers at once to what costs it nothing.
func (e *Engine) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin/4)
	defer cancel()
	_, err := e.api.Ping(ctx)
	return err == nil
}

// silenceError is how long the Engine did not answer.
type silenceError time.Duration

func (e silenceError) Error() string { return "no answer within " + time.Duration(e).String() }

// unreachable explains a call that got no answer; ctx is the context that bounded it.
func (e *Engine) unreachable(ctx context.Context, err error) error {
	var silence silenceError
	switch {
	case errors.As(context.Cause(ctx), &silence):
		err = silence
	case ctx.Err() == context.DeadlineExceeded:
		err = silenceError(e.opts.AnswerWithin)
	}
	return &UnreachableError{Host: e.Host, Err: err}
}

// Close releases the connections.
func (e *Engine) Close() error { return e.api.Close() }
