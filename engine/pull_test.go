package engine_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/registry"

	"galley/compose"
	"galley/engine"
	"galley/engine/enginetest"
)

// puller is an Engine in memory with a registry's image, and what was told of its pulls.
type puller struct {
	memory *enginetest.Engine
	engine *engine.Engine
	events []engine.Event
}

const remote = "reg.example:5000/app:1"

func newPuller(t *testing.T, fault *enginetest.PullFault, change ...func(*engine.Options)) *puller {
	t.Helper()
	p := &puller{memory: enginetest.New(t)}
	p.memory.AddRemote(enginetest.Image{Ref: remote}, fault)
	opts := engine.Options{Host: p.memory.Host(), PullPause: time.Millisecond, StallAfter: time.Minute}
	for _, c := range change {
		c(&opts)
	}
	e, err := engine.Connect(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	p.engine = e
	e.Notify = func(event engine.Event) { p.events = append(p.events, event) }
	return p
}

func (p *puller) up(t *testing.T, change ...func(*compose.Service)) error {
	t.Helper()
	s := svc("web", change...)
	s.Config.Image = remote
	s.Hash = "1:web"
	want := &compose.Project{Name: "pulls", Separator: "-", Services: []*compose.Service{s}}
	have, err := p.engine.State(t.Context(), want.Name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.engine.Converge(t.Context(), want, have, engine.DiffOptions{})
	return err
}

func (p *puller) pulls() int { return p.memory.Count()["POST /images/create"] }

// details are the texts of the events of a kind.
func (p *puller) details(kind engine.EventKind) (all []string) {
	for _, e := range p.events {
		if e.Kind == kind {
			all = append(all, e.Detail)
		}
	}
	return all
}

func TestAPullIsTriedAgainWhileTheNetworkFails(t *testing.T) {
	for name, fault := range map[string]enginetest.PullFault{
		"5xx":                  {Status: http.StatusInternalServerError, Message: "received unexpected HTTP status: 503 Service Unavailable"},
		"5xx in the stream":    {InStream: true, Message: "received unexpected HTTP status: 502 Bad Gateway"},
		"EOF in the stream":    {InStream: true, Message: "unexpected EOF"},
		"reset in the stream":  {InStream: true, Message: "read: connection reset by peer"},
		"a timeout":            {Status: http.StatusInternalServerError, Message: "net/http: TLS handshake timeout"},
		"a stream that breaks": {Break: true},
		"a stream that rests":  {Stall: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fault.Times = 2
			p := newPuller(t, &fault, func(o *engine.Options) {
				if fault.Stall {
					o.StallAfter = 100 * time.Millisecond
				}
			})
			if err := p.up(t); err != nil {
				t.Fatal(err)
			}
			if p.pulls() != 3 {
				t.Errorf("got %d pulls, want 3", p.pulls())
			}
			warnings := p.details(engine.Warned)
			if len(warnings) != 2 || !strings.Contains(warnings[0], "; trying again in ") || strings.Contains(warnings[0], "daemon") {
				t.Errorf("got warnings %q, want one before each further try", warnings)
			}
		})
	}
}

func TestAPullIsNotTriedForEver(t *testing.T) {
	p := newPuller(t, &enginetest.PullFault{Status: http.StatusInternalServerError, Message: "unexpected EOF"})
	err := p.up(t)
	var image *engine.ImageError
	if !errors.As(err, &image) || image.Reason != engine.PullNetwork || p.pulls() != 4 {
		t.Errorf("got error %v after %d pulls, want a network's failure after 4", err, p.pulls())
	}
}

func TestAPullThatIsRefusedFailsAtOnce(t *testing.T) {
	for reason, message := range map[engine.PullReason]string{
		engine.PullDenied:    "unauthorized: authentication required",
		engine.PullUnknown:   "manifest unknown: manifest unknown",
		engine.PullLimited:   "toomanyrequests: You have reached your pull rate limit",
		engine.PullUntrusted: "x509: certificate signed by unknown authority",
		engine.PullPlainHTTP: "http: server gave HTTP response to HTTPS client",
		engine.PullPlatform:  "no matching manifest for linux/s390x in the manifest list entries",
	} {
		for _, inStream := range []bool{false, true} {
			p := newPuller(t, &enginetest.PullFault{Status: http.StatusInternalServerError, Message: message, InStream: inStream})
			err := p.up(t)
			var image *engine.ImageError
			if !errors.As(err, &image) || image.Reason != reason || image.Hint == "" || p.pulls() != 1 {
				t.Errorf("%s: got error %v after %d pulls, want that reason and a way out after one", reason, err, p.pulls())
			}
		}
	}
}

func TestAPullEndsWithItsContext(t *testing.T) {
	p := newPuller(t, &enginetest.PullFault{Stall: true})
	ctx, interrupt := context.WithCancel(t.Context())
	p.engine.Notify = func(e engine.Event) {
		if e.Kind == engine.Progress {
			interrupt()
		}
	}
	plan := engine.Pulls(&compose.Project{Name: "pulls", Services: []*compose.Service{{Name: "web", Config: svc("web").Config}}}, &engine.State{}, engine.PullOptions{})
	p.memory.AddRemote(enginetest.Image{Ref: "busybox:latest"}, &enginetest.PullFault{Stall: true})
	err := p.engine.Apply(ctx, plan)
	var interrupted *engine.InterruptedError
	if !errors.As(err, &interrupted) {
		t.Errorf("got error %v, want an InterruptedError", err)
	}
}

func TestCredentialsGoToTheirRegistryAlone(t *testing.T) {
	var asked []string
	p := newPuller(t, nil, func(o *engine.Options) {
		o.Credentials = func(_ context.Context, host string) (registry.AuthConfig, error) {
			asked = append(asked, host)
			return registry.AuthConfig{Username: "robot", Password: "s3cr3t"}, nil
		}
	})
	p.memory.Protect(remote, "robot:s3cr3t")
	if err := p.up(t); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(asked, []string{"reg.example:5000"}) {
		t.Errorf("asked for %q, want the image's registry alone", asked)
	}
}

func TestCredentialsAreNeverTold(t *testing.T) {
	p := newPuller(t, nil, func(o *engine.Options) {
		o.Credentials = func(context.Context, string) (registry.AuthConfig, error) {
			return registry.AuthConfig{Username: "robot", Password: "wr0ng"}, nil
		}
	})
	p.memory.Protect(remote, "robot:s3cr3t")
	err := p.up(t)
	var image *engine.ImageError
	if !errors.As(err, &image) || image.Reason != engine.PullDenied {
		t.Fatalf("got error %v, want that it is denied", err)
	}
	for _, text := range append(p.details(engine.Warned), err.Error(), image.Hint) {
		if strings.Contains(text, "wr0ng") || strings.Contains(text, "robot") {
			t.Errorf("told: %q", text)
		}
	}
}

func TestAPullGoesOnWithoutCredentialsThatCannotBeHad(t *testing.T) {
	p := newPuller(t, nil, func(o *engine.Options) {
		o.Credentials = func(context.Context, string) (registry.AuthConfig, error) {
			return registry.AuthConfig{}, errors.New("the credential helper failed")
		}
	})
	if err := p.up(t); err != nil {
		t.Fatal(err)
	}
	if warnings := p.details(engine.Warned); !slices.Equal(warnings, []string{"pulling without credentials: the credential helper failed"}) {
		t.Errorf("got warnings %q", warnings)
	}
}

func TestAFresherImageCanWaitButAnAskedForOneCannot(t *testing.T) {
	for policy, fails := range map[compose.Pull]bool{
		{Policy: compose.PullRefresh, MaxAge: time.Nanosecond}: false,
		{Policy: compose.PullAlways}:                           true,
	} {
		p := newPuller(t, &enginetest.PullFault{Status: http.StatusInternalServerError, Message: "EOF"})
		p.memory.AddImage(enginetest.Image{Ref: remote})
		err := p.up(t, func(s *compose.Service) { s.Pull = policy })
		if (err != nil) != fails {
			t.Errorf("%s: got error %v, want one: %v", policy.Policy, err, fails)
		}
		kept := slices.ContainsFunc(p.events, func(e engine.Event) bool {
			return e.Kind == engine.Done && e.Step.Action.Verb() == engine.VerbPull && e.Detail == "kept"
		})
		if kept == fails {
			t.Errorf("%s: the image is told to be kept: %v", policy.Policy, kept)
		}
	}
}

func TestOneImageOfSeveralServicesIsPulledOnce(t *testing.T) {
	p := newPuller(t, nil)
	want := &compose.Project{Name: "pulls", Separator: "-"}
	for _, name := range []string{"a", "b", "c"} {
		s := svc(name)
		s.Config.Image = remote
		s.Hash = "1:" + name
		want.Services = append(want.Services, s)
	}
	if _, err := p.engine.Converge(t.Context(), want, &engine.State{API: p.engine.API}, engine.DiffOptions{}); err != nil {
		t.Fatal(err)
	}
	if p.pulls() != 1 {
		t.Errorf("got %d pulls, want 1", p.pulls())
	}
	for _, e := range p.events {
		if e.Kind == engine.Progress && e.Bytes != nil && e.Bytes.Total > 0 && e.Bytes.Done <= e.Bytes.Total {
			return
		}
	}
	t.Error("no progress was told in bytes")
}

func TestMountedImagesArePulledBefore(t *testing.T) {
	p := newPuller(t, nil)
	const assets, tools = "reg.example:5000/assets:1", "reg.example:5000/tools:1"
	p.memory.AddRemote(enginetest.Image{Ref: assets}, nil)
	p.memory.AddRemote(enginetest.Image{Ref: tools}, nil)
	mounts := func(host *container.HostConfig, ref string) {
		host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeImage, Source: ref, Target: "/mounted"})
	}
	withMounts := func(s *compose.Service) {
		mounts(&s.Host, assets)
		init := compose.Init{Config: container.Config{Image: remote, Cmd: []string{"true"}}}
		mounts(&init.Host, tools)
		s.PreStart = []compose.Init{init}
	}
	if err := p.up(t, withMounts, func(s *compose.Service) { s.Pull.Policy = compose.PullNever }); err == nil || !strings.Contains(err.Error(), assets) {
		t.Errorf("got error %v, want one of what is not to be pulled", err)
	}
	for range 2 { // the second finds all there
		if err := p.up(t, withMounts); err != nil {
			t.Fatal(err)
		}
		if p.pulls() != 3 {
			t.Errorf("got %d pulls, want those of the service's image and of the two that are mounted", p.pulls())
		}
	}
	want := &compose.Project{Services: []*compose.Service{{Name: "web", Config: container.Config{Image: remote}, Pull: compose.Pull{Policy: compose.PullAlways}}}}
	withMounts(want.Services[0])
	var pulls []string
	for _, step := range engine.Pulls(want, &engine.State{}, engine.PullOptions{}).Steps {
		pulls = append(pulls, step.Action.Target().Name)
	}
	if got := strings.Join(pulls, " "); got != strings.Join([]string{remote, tools, assets}, " ") {
		t.Errorf("a pull by hand pulls %s", got)
	}
}

func TestPullsFollowThePolicies(t *testing.T) {
	service := func(name, image string, pull compose.Pull, needs ...string) *compose.Service {
		s := &compose.Service{Name: name, Pull: pull}
		s.Config.Image = image
		for _, need := range needs {
			s.Needs = append(s.Needs, compose.Need{Service: need})
		}
		return s
	}
	missing := compose.Pull{Policy: compose.PullMissing}
	want := &compose.Project{Name: "p", Services: []*compose.Service{
		service("a", "one:1", missing, "b"),
		service("b", "two:1", compose.Pull{Policy: compose.PullMissing, Explicit: true}),
		service("c", "three:1", compose.Pull{Policy: compose.PullNever}),
		service("d", "one:1", missing),
		service("e", "five:1", compose.Pull{Policy: compose.PullAlways}),
	}}
	memory := enginetest.New(t)
	for _, ref := range []string{"one:1", "two:1"} {
		memory.AddImage(enginetest.Image{Ref: ref})
	}
	e, err := engine.Connect(t.Context(), engine.Options{Host: memory.Host()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	have, err := e.State(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		opts engine.PullOptions
		want string
	}{
		"all":            {engine.PullOptions{}, "one:1 five:1"},
		"all anew":       {engine.PullOptions{Policy: compose.PullAlways}, "two:1 one:1 three:1 five:1"},
		"what is not":    {engine.PullOptions{Policy: compose.PullMissing}, "three:1 five:1"},
		"one":            {engine.PullOptions{Services: []string{"a"}}, "one:1"},
		"one with needs": {engine.PullOptions{Services: []string{"a"}, Deps: true, Policy: compose.PullAlways}, "two:1 one:1"},
	} {
		var got []string
		for _, step := range engine.Pulls(want, have, tt.opts).Steps {
			got = append(got, step.Action.Target().Name)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func TestAnImageIsPulledForEachPlatform(t *testing.T) {
	want := &compose.Project{Name: "p"}
	for i, platform := range []string{"linux/amd64", "linux/arm64", "linux/amd64"} {
		s := &compose.Service{Name: string(rune('a' + i)), Platform: platform}
		s.Config.Image = "one:1"
		want.Services = append(want.Services, s)
	}
	plan := engine.Pulls(want, &engine.State{}, engine.PullOptions{})
	if got := plan.String(); !strings.HasSuffix(got, "\n0 pull image one:1 (missing)\n1 pull image one:1 (missing) after 0\n") {
		t.Errorf("got plan\n%s", got)
	}
	if len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], "linux/amd64 and linux/arm64") {
		t.Errorf("got warnings %q", plan.Warnings)
	}
}

// TestOneImageForTwoPlatformsIsRefusedBefore: an Engine with a graph driver would pull both, and refuse to create the second
// container.
func TestOneImageForTwoPlatformsIsRefusedBefore(t *testing.T) {
	p := newPuller(t, nil)
	want := &compose.Project{Name: "pulls", Separator: "-"}
	for _, name := range []string{"amd64", "arm64"} {
		s := svc(name)
		s.Config.Image, s.Platform, s.Hash = remote, "linux/"+name, "1:"+name
		want.Services = append(want.Services, s)
	}
	err := p.converge(t, want)
	var failed *engine.ImageError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "linux/amd64 and linux/arm64") || failed.Hint == "" {
		t.Errorf("got error %v", err)
	}
	if p.pulls() != 0 {
		t.Errorf("%d pulls", p.pulls())
	}
	want.Services = want.Services[:1]
	if err := p.converge(t, want); err != nil {
		t.Errorf("one platform alone: %v", err)
	}
}
