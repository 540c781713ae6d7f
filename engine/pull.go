package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/client"
)

const (
	defaultPullTries  = 4
	defaultPullRoom   = 256e6
	defaultPullPause  = time.Second
	defaultStallAfter = 2 * time.Minute
	// While layers are unpacked, the Engine waits for the disk and may long have nothing to tell.
	unpackingFactor = 5
)

// pullImage pulls an image for the services that use it.
type pullImage struct {
	ref, platform string
	// service is the first that asks for it.
	service string
	// optional: the image is there, and is to be fresher; that can wait where it can't be had.
	optional bool
	// dated: it is noted that it was pulled now, since a policy goes by its age.
	dated bool
	// early: it is pulled before the plan that asks for it, which tells of its failure.
	early bool
	// failed is set when it was pulled before, in vain.
	failed *ImageError
}

func (a pullImage) Target() Target {
	return Target{Kind: KindImage, Name: a.ref, Service: a.service}
}
func (pullImage) Verb() Verb { return VerbPull }

// do pulls, and tries again while it is the network that fails: between the Engine and a registry, where no plan looks, so
// that no other plan would do better. It is the one action that does.
func (a pullImage) do(ctx context.Context, r *run) error {
	if a.failed != nil {
		return a.failed
	}
	done, err := r.room.take(ctx, 0)
	if ctx.Err() != nil {
		return errLeft
	}
	if err != nil {
		return a.settle(r, &ImageError{Ref: a.ref, Err: err, Hint: "galley prune removes images that nobody wants; --pull-room 0 pulls nevertheless"})
	}
	defer done()
	host := registryOf(a.ref)
	auth, unread := r.credentials(ctx, host)
	if unread != nil {
		r.warn(fmt.Sprintf("pulling without credentials: %v", unread))
	}
	for try := 1; ; try++ {
		err := r.pull(ctx, a, auth)
		switch {
		case err == nil:
			return a.date(ctx, r)
		case ctx.Err() != nil:
			return errLeft
		case client.IsErrConnectionFailed(err):
			return r.explain(ctx, err)
		}
		failure := explainPull(a.ref, host, auth, unread, err)
		if failure.Reason != PullNetwork || try == r.opts.PullTries {
			return a.settle(r, failure)
		}
		pause := jittered(r.opts.PullPause << (try - 1))
		r.warn(fmt.Sprintf("%s; trying again in %s", said(failure), pause.Round(time.Millisecond)))
		select {
		case <-ctx.Done():
			return errLeft
		case <-time.After(pause):
		}
	}
}

// date gives the image its tag once more: graph drivers note when an image was tagged, and of a pull they note nothing.
// Source: moby, daemon/images/image_tag.go.
func (a pullImage) date(ctx context.Context, r *run) error {
	if !a.dated {
		return nil
	}
	return r.call(context.WithoutCancel(ctx), func(ctx context.Context) error { return r.api.ImageTag(ctx, a.ref, a.ref) })
}

// settle makes a warning of a failure that leaves an image there.
func (a pullImage) settle(r *run, failure *ImageError) error {
	if !a.optional {
		return failure
	}
	r.warn(fmt.Sprintf("%s; what is there is used", said(failure)))
	r.keep()
	return nil
}

// said is what failed, without what the docker client puts before the Engine's words.
func said(failure *ImageError) string {
	return strings.ReplaceAll(failure.Err.Error(), "Error response from daemon: ", "")
}

// jittered is between half of d and all of it: machines that failed together shall not come back together.
func jittered(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

// registryOf is the host of the registry that an image comes from.
func registryOf(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	return reference.Domain(named)
}

// credentials are what to log into a registry's host with.
func (e *Engine) credentials(ctx context.Context, host string) (registry.AuthConfig, error) {
	if e.opts.Credentials == nil || host == "" {
		return registry.AuthConfig{}, nil
	}
	return e.opts.Credentials(ctx, host)
}

// encode gives credentials as the Engine takes them; none as "".
func encode(auth registry.AuthConfig) string {
	if auth == (registry.AuthConfig{}) {
		return ""
	}
	text, _ := registry.EncodeAuthConfig(auth) // a struct of texts always marshals
	return text
}

// pull pulls once.
func (r *run) pull(ctx context.Context, a pullImage, auth registry.AuthConfig) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(r.opts.StallAfter, func() {
		cancel(fmt.Errorf("no progress within %s", r.opts.StallAfter))
	})
	defer stall.Stop()
	stream, err := r.api.ImagePull(ctx, a.ref, image.PullOptions{Platform: a.platform, RegistryAuth: encode(auth)})
	if err == nil {
		err = readPull(stream, func(s *pullState) {
			patience := r.opts.StallAfter
			if s.unpacking() {
				patience *= unpackingFactor
			}
			stall.Reset(patience)
			if came := s.bytes(); came.Total > 0 {
				r.amount(s.word(), came)
			}
		})
		err = errors.Join(err, stream.Close())
	}
	if err != nil && context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	return err
}

// pullLine is a line of the stream of POST /images/create.
type pullLine struct {
	ID       string
	Status   string
	Error    string
	Progress struct{ Current, Total int64 } `json:"progressDetail"`
}

// pullState is what the stream has told so far, by layer.
type pullState struct {
	status map[string]string
	sizes  map[string]Amount
}

// take takes a line and tells whether it has any news: some Engines repeat themselves while nothing moves.
func (s *pullState) take(l pullLine) (news bool) {
	size := s.sizes[l.ID]
	news = s.status[l.ID] != l.Status
	switch {
	case l.Status == "Downloading":
		news = news || size.Done != l.Progress.Current
		size = Amount{Done: l.Progress.Current, Total: max(l.Progress.Total, l.Progress.Current)}
	case l.Status == "Extracting":
		news = true
	case l.Status == "Download complete", l.Status == "Pull complete":
		size.Done = size.Total
	}
	s.status[l.ID], s.sizes[l.ID] = l.Status, size
	return news
}

// unpacking tells whether all layers have come, and are being unpacked.
func (s *pullState) unpacking() bool {
	came := false
	for _, status := range s.status {
		switch {
		case status == "Pulling fs layer", status == "Waiting", status == "Downloading", strings.HasPrefix(status, "Retrying"):
			return false
		case status == "Download complete", status == "Extracting", status == "Verifying Checksum":
			came = true
		}
	}
	return came
}

// bytes are what has come of all layers; the total grows while the Engine learns of more of them.
func (s *pullState) bytes() (sum Amount) {
	for _, size := range s.sizes {
		sum.Done += size.Done
		sum.Total += size.Total
	}
	return sum
}

// word is what the pull is doing.
func (s *pullState) word() string {
	if s.unpacking() {
		return "unpacking"
	}
	return "downloading"
}

// readPull follows the stream of POST /images/create. The Engine answers 200 and puts later errors into the stream.
func readPull(stream io.Reader, news func(*pullState)) error {
	state := &pullState{map[string]string{}, map[string]Amount{}}
	for lines := json.NewDecoder(stream); ; {
		var l pullLine
		err := lines.Decode(&l)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading the pull's progress: %w", err)
		case l.Error != "":
			return errors.New(l.Error)
		case state.take(l):
			news(state)
		}
	}
}
