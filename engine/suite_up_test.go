package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"galley/compose"
	"galley/engine"
)

func testChain(t *testing.T, s *suite) {
	p := s.recipe(
		svc("db", checked("true"), joins("default")),
		svc("migrate", runs("true"), joins("default"), waits("db", compose.Healthy)),
		svc("web", joins("default"), waits("migrate", compose.Completed)),
	)
	s.mustUp(t, p, engine.DiffOptions{Wait: true})
	s.expect(t, map[string]string{"db-1": "running", "migrate-1": "exited", "web-1": "running"})
	db, migrate, web := s.inspect(t, "db-1"), s.inspect(t, "migrate-1"), s.inspect(t, "web-1")
	if !(db.State.StartedAt < migrate.State.StartedAt && migrate.State.FinishedAt < web.State.StartedAt) {
		t.Errorf("db started %s, migrate ran %s to %s, web started %s", db.State.StartedAt, migrate.State.StartedAt, migrate.State.FinishedAt, web.State.StartedAt)
	}
}

func testMissingImage(t *testing.T, s *suite) {
	s.mustUp(t, s.recipe(svc("web")), engine.DiffOptions{})
	before := s.inspect(t, "web-1").ID
	missing := svc("extra", func(s *compose.Service) { s.Config.Image = "localhost:1/nowhere:1" })
	err := s.up(t, s.recipe(svc("web", env("NEW=1")), missing), engine.DiffOptions{})
	var image *engine.ImageError
	if !errors.As(err, &image) || image.Ref != "localhost:1/nowhere:1" || image.Hint == "" {
		t.Fatalf("got error %v, want an ImageError with a way out", err)
	}
	s.expect(t, map[string]string{"web-1": "running"})
	if s.inspect(t, "web-1").ID != before {
		t.Error("a running container was touched before every image was there")
	}
}

func testPortInUse(t *testing.T, s *suite) {
	publish := func(s *compose.Service) {
		s.Config.ExposedPorts = nat.PortSet{"80/tcp": {}}
		s.Host.PortBindings = nat.PortMap{"80/tcp": {{HostIP: "127.0.0.1", HostPort: "38217"}}}
	}
	err := s.up(t, s.recipe(svc("a", publish, joins("default")), svc("b", publish, joins("default"), waits("a", compose.Started))), engine.DiffOptions{})
	if err == nil || !strings.Contains(err.Error(), "port is already allocated") {
		t.Fatalf("got error %v, want the engine's words on the port", err)
	}
	if phases := s.phases(t); phases[s.project+"-a-1"] != "running" {
		t.Errorf("got %v, want a to run", phases)
	}
}

// testGuests holds that a network that somebody else is on is left, with a warning, and goes when he has gone.
func testGuests(t *testing.T, s *suite) {
	s.mustUp(t, s.recipe(svc("db", joins("front"))), engine.DiffOptions{})
	guest, err := s.docker.ContainerCreate(t.Context(), &container.Config{Image: "busybox:latest", Cmd: []string{"sleep", "1000"}, StopSignal: "KILL"},
		&container.HostConfig{NetworkMode: container.NetworkMode(s.project + "_front")}, nil, nil, s.project+"-guest")
	must(t, err)
	t.Cleanup(func() {
		_ = s.docker.ContainerRemove(context.WithoutCancel(t.Context()), guest.ID, container.RemoveOptions{Force: true})
	})
	must(t, s.docker.ContainerStart(t.Context(), guest.ID, container.StartOptions{}))
	var warnings []string
	s.engine.Notify = func(e engine.Event) {
		if e.Kind == engine.Warned {
			warnings = append(warnings, e.Detail)
		}
	}
	defer func() { s.engine.Notify = nil }()
	must(t, s.up(t, s.recipe(svc("db", joins("back"))), engine.DiffOptions{RemoveOrphans: true})) // its plan says it
	must(t, s.up(t, &compose.Project{Name: s.project}, engine.DiffOptions{Down: &engine.Down{}}))
	if want := []string{fmt.Sprintf("network %s_front is still in use by container %[1]s-guest and was left", s.project)}; !slices.Equal(warnings, want) {
		t.Errorf("got warnings %q, want %q", warnings, want)
	}
	must(t, s.docker.ContainerRemove(t.Context(), guest.ID, container.RemoveOptions{Force: true}))
	must(t, s.up(t, &compose.Project{Name: s.project}, engine.DiffOptions{Down: &engine.Down{}}))
	if _, err := s.docker.NetworkInspect(t.Context(), s.project+"_front", network.InspectOptions{}); err == nil {
		t.Error("the network is still there although its guest has gone")
	}
}

func testDown(t *testing.T, s *suite) {
	p := s.recipe(svc("db", joins("default"), func(svc *compose.Service) { svc.Host.Binds = []string{s.project + "_data:/data"} }),
		svc("web", joins("default"), waits("db", compose.Started)))
	p.Volumes = []*compose.Volume{{Key: "data", Name: s.project + "_data"}}
	p.Volumes[0].Create.Labels = map[string]string{compose.LabelProject: s.project, compose.LabelVolume: "data"}
	s.mustUp(t, p, engine.DiffOptions{})
	down := func(how engine.Down) {
		t.Helper()
		if err := s.up(t, &compose.Project{Name: s.project}, engine.DiffOptions{Down: &how}); err != nil {
			t.Fatal(err)
		}
	}
	down(engine.Down{StopOnly: true})
	s.expect(t, map[string]string{"db-1": "exited", "web-1": "exited"})
	if db, web := s.inspect(t, "db-1"), s.inspect(t, "web-1"); web.State.FinishedAt > db.State.FinishedAt {
		t.Errorf("db was stopped at %s, before web at %s", db.State.FinishedAt, web.State.FinishedAt)
	}
	down(engine.Down{})
	s.expect(t, map[string]string{})
	if _, err := s.docker.NetworkInspect(t.Context(), s.project+"_default", network.InspectOptions{}); err == nil {
		t.Error("the network is still there")
	}
	if _, err := s.docker.VolumeInspect(t.Context(), s.project+"_data"); err != nil {
		t.Errorf("the volume went with down: %v", err)
	}
	down(engine.Down{Volumes: true})
	if _, err := s.docker.VolumeInspect(t.Context(), s.project+"_data"); err == nil {
		t.Error("the volume is still there after down with volumes")
	}
	down(engine.Down{}) // nothing left to do is fine
}

func testInterrupt(t *testing.T, s *suite) {
	ctx, interrupt := context.WithCancel(t.Context())
	s.engine.Notify = func(e engine.Event) {
		if e.Kind == engine.Done && e.Step.Action.Verb() == engine.VerbStart {
			interrupt()
		}
	}
	p := s.recipe(svc("a"), svc("b", waits("a", compose.Started)))
	_, err := s.engine.Converge(ctx, p, s.state(t), engine.DiffOptions{})
	s.engine.Notify = nil
	var interrupted *engine.InterruptedError
	if !errors.As(err, &interrupted) || len(interrupted.Left) == 0 {
		t.Fatalf("got error %v, want an InterruptedError that names what is left", err)
	}
	if last := interrupted.Left[len(interrupted.Left)-1]; last.Action.Target().Service != "b" || last.Action.Verb() != engine.VerbStart {
		t.Errorf("got %s %s as last of what is left, want the start of b", last.Action.Verb(), last.Action.Target())
	}
	s.mustUp(t, p, engine.DiffOptions{})
	s.expect(t, map[string]string{"a-1": "running", "b-1": "running"})
}

func testUnhealthy(t *testing.T, s *suite) {
	err := s.up(t, s.recipe(svc("db", checked("echo asking; echo no answer; false")), svc("web", waits("db", compose.Healthy))), engine.DiffOptions{})
	var unhealthy *engine.UnhealthyError
	if !errors.As(err, &unhealthy) || unhealthy.Service != "db" || unhealthy.State != "is unhealthy: no answer" {
		t.Fatalf("got error %v, want that db is unhealthy, and why", err)
	}
	s.expect(t, map[string]string{"db-1": "running", "web-1": "created"})
}

func testWaitTimeout(t *testing.T, s *suite) {
	slow := func(s *compose.Service) { s.Config.Healthcheck.StartPeriod = time.Hour }
	err := s.up(t, s.recipe(svc("db", checked("false"), slow)), engine.DiffOptions{Wait: true, WaitTimeout: time.Second})
	var unhealthy *engine.UnhealthyError
	if !errors.As(err, &unhealthy) || unhealthy.State != "is still starting after 1s" {
		t.Fatalf("got error %v, want that db is still starting after 1s", err)
	}
}

func testSeveralNetworks(t *testing.T, s *suite) {
	s.mustUp(t, s.recipe(svc("web", joins("front", "back"))), engine.DiffOptions{})
	networks := s.inspect(t, "web-1").NetworkSettings.Networks
	for _, key := range []string{"front", "back"} {
		endpoint := networks[s.project+"_"+key]
		if endpoint == nil {
			t.Fatalf("web is not on %s", key)
		}
		for _, alias := range []string{"web", s.project + "-web-1"} {
			if !slices.Contains(endpoint.Aliases, alias) {
				t.Errorf("on %s, got aliases %q, want %q among them", key, endpoint.Aliases, alias)
			}
		}
	}
}

func testClearedCommand(t *testing.T, s *suite) {
	img, err := s.docker.ImageInspect(t.Context(), "busybox:latest")
	if err != nil {
		t.Fatal(err)
	}
	cleared := s.recipe(svc("web", func(s *compose.Service) { s.Config.Cmd, s.ClearCommand = nil, true }))
	err = s.up(t, cleared, engine.DiffOptions{NoStart: true})
	if len(img.Config.Cmd) == 0 {
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), "no command specified") {
			t.Errorf("got error %v, want the Engine's: nothing is left to run", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if cmd := s.inspect(t, "web-1").Config.Cmd; !slices.Equal(cmd, img.Config.Cmd) {
		t.Errorf("got the command %q, want the image's, %q: it has no entrypoint", cmd, img.Config.Cmd)
	}
}

func testLogs(t *testing.T, s *suite) {
	job := svc("job", sh("echo one; echo two >&2"))
	p := s.recipe(job, svc("after", waits("job", compose.Completed)))
	s.mustUp(t, p, engine.DiffOptions{Wait: true})
	var out, err []string
	logged := s.engine.Logs(t.Context(), engine.LogOptions{Project: s.project, Containers: s.state(t).Containers, Follow: false}, func(l engine.LogLine) {
		if l.Time.IsZero() || l.Service != "job" {
			t.Errorf("got line %+v, want a time and the service job", l)
		}
		if l.Stderr {
			err = append(err, l.Text)
		} else {
			out = append(out, l.Text)
		}
	})
	if logged != nil {
		t.Fatal(logged)
	}
	if !slices.Equal(out, []string{"one"}) || !slices.Equal(err, []string{"two"}) {
		t.Errorf("got stdout %q and stderr %q, want one and two", out, err)
	}
}

func testEarlyProbes(t *testing.T, s *suite) {
	// The Engine would look for the first time after an hour.
	late := func(s *compose.Service) { s.Config.Healthcheck.Interval = time.Hour }
	p := s.recipe(
		svc("db", sh("sleep 1; echo > /ready; sleep infinity"), checked("test -f /ready"), late),
		svc("web", waits("db", compose.Healthy)),
	)
	s.mustUp(t, p, engine.DiffOptions{})
	s.expect(t, map[string]string{"db-1": "running", "web-1": "running"})
	if health := s.inspect(t, "db-1").State.Health.Status; health != container.Starting {
		t.Errorf("the engine says %s, though it can't have looked yet", health)
	}
}
