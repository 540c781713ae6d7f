package engine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"

	"galley/compose"
	"galley/engine"
)

// What of the suite changes what is there already.

func testReplace(t *testing.T, s *suite) {
	s.mustUp(t, s.recipe(svc("web"), svc("other")), engine.DiffOptions{})
	other := s.inspect(t, "other-1").ID
	web := s.inspect(t, "web-1").ID
	s.mustUp(t, s.recipe(svc("web", env("LEVEL=debug")), svc("other")), engine.DiffOptions{})
	s.expect(t, map[string]string{"web-1": "running", "other-1": "running"})
	if s.inspect(t, "other-1").ID != other {
		t.Error("a service that did not change was replaced")
	}
	now := s.inspect(t, "web-1")
	if now.ID == web || !slices.Contains(now.Config.Env, "LEVEL=debug") {
		t.Errorf("web was not replaced: environment %q", now.Config.Env)
	}
}

func testRollback(t *testing.T, s *suite) {
	s.mustUp(t, s.recipe(svc("db"), svc("web", waits("db", compose.Started))), engine.DiffOptions{})
	before := s.inspect(t, "web-1").ID
	err := s.up(t, s.recipe(svc("db"), svc("web", waits("db", compose.Started), sh("echo no license; exit 3"), watched)), engine.DiffOptions{})
	var back *engine.RolledBackError
	if !errors.As(err, &back) || back.Restore != nil || !slices.Equal(back.Services, []string{"web"}) {
		t.Fatalf("got error %v, want a RolledBackError of web", err)
	}
	var step *engine.StepError
	if !errors.As(err, &step) || !slices.Equal(step.Logs, []string{"no license"}) {
		t.Errorf("got error %#v, want the last log lines in it", step)
	}
	var unhealthy *engine.UnhealthyError
	if !errors.As(err, &unhealthy) || unhealthy.State != "exited with code 3" {
		t.Errorf("got error %v, want that web exited with code 3", err)
	}
	s.expect(t, map[string]string{"db-1": "running", "web-1": "running"})
	if s.inspect(t, "web-1").ID != before {
		t.Error("what runs is not what ran before")
	}
}

// watched lets an update that ends at once fail for certain, however slow the machine is.
func watched(s *compose.Service) { s.Update.Monitor = time.Minute }

func testNoRollback(t *testing.T, s *suite) {
	s.mustUp(t, s.recipe(svc("web")), engine.DiffOptions{})
	if err := s.up(t, s.recipe(svc("web", sh("exit 3"), watched)), engine.DiffOptions{NoRollback: true}); err == nil {
		t.Fatal("the update did not fail")
	}
	phases := slices.Sorted(maps.Values(s.phases(t)))
	if !slices.Equal(phases, []string{"exited", "exited"}) {
		t.Errorf("got containers %v, want the old and the failed one, both exited", s.phases(t))
	}
	s.mustUp(t, s.recipe(svc("web", env("FIXED=1"))), engine.DiffOptions{})
	s.expect(t, map[string]string{"web-1": "running"})
}

func testFailure(t *testing.T, s *suite) {
	// An init would start, and only then miss the program.
	withoutInit := func(s *compose.Service) { s.Host.Init = nil }
	broken := s.recipe(svc("alone"), svc("db", runs("nosuchprogram"), withoutInit), svc("web", waits("db", compose.Started)))
	err := s.up(t, broken, engine.DiffOptions{})
	var step *engine.StepError
	if !errors.As(err, &step) || step.Step.Action.Target().Service != "db" || !strings.Contains(err.Error(), "nosuchprogram") {
		t.Fatalf("got error %v, want the start of db to fail in the engine's words", err)
	}
	if n := strings.Count(err.Error(), "\n"); n != 0 {
		t.Errorf("got more than the root cause:\n%v", err)
	}
	s.expect(t, map[string]string{"alone-1": "running", "db-1": "created", "web-1": "created"})
	s.mustUp(t, s.recipe(svc("alone"), svc("db"), svc("web", waits("db", compose.Started))), engine.DiffOptions{})
	s.expect(t, map[string]string{"alone-1": "running", "db-1": "running", "web-1": "running"})
}

func testAnonymousVolumes(t *testing.T, s *suite) {
	anonymous := func(s *compose.Service) { s.Config.Volumes = map[string]struct{}{"/data": {}} }
	s.mustUp(t, s.recipe(svc("db", anonymous)), engine.DiffOptions{})
	before := s.inspect(t, "db-1").Mounts
	if len(before) != 1 {
		t.Fatalf("got mounts %v, want one", before)
	}
	t.Cleanup(func() { s.docker.VolumeRemove(context.Background(), before[0].Name, true) })
	s.mustUp(t, s.recipe(svc("db", anonymous, env("A=1"))), engine.DiffOptions{})
	after := s.inspect(t, "db-1").Mounts
	if len(after) != 1 || after[0].Name != before[0].Name || after[0].Destination != "/data" {
		t.Fatalf("got mounts %v, want the volume %s", after, before[0].Name)
	}
	s.mustUp(t, s.recipe(svc("db", func(s *compose.Service) { s.Host.Tmpfs = map[string]string{"/data": ""} }, env("A=2"))), engine.DiffOptions{})
	if _, err := s.docker.VolumeInspect(t.Context(), before[0].Name); err == nil {
		t.Error("the anonymous volume leaked when nobody used it any more")
	}
}

// testAnonymousVolumesRenewed holds that what is replaced gets a volume of its own when that is asked for, and that the old one
// goes; and that nothing is replaced for its sake.
func testAnonymousVolumesRenewed(t *testing.T, s *suite) {
	p := s.recipe(svc("db", sh("ls /data; touch /data/kept; exec sleep infinity"), func(s *compose.Service) {
		s.Config.Volumes = map[string]struct{}{"/data": {}}
	}))
	s.mustUp(t, p, engine.DiffOptions{})
	before := s.inspect(t, "db-1").Mounts[0].Name
	renew := engine.DiffOptions{RenewAnonymous: true}
	s.mustUp(t, p, renew)
	if got := s.inspect(t, "db-1").Mounts[0].Name; got != before {
		t.Errorf("the volume of a container that stays became %s, want %s", got, before)
	}
	forced := renew
	forced.ForceRecreate = true
	if err := s.up(t, p, forced); err != nil {
		t.Fatal(err)
	}
	after := s.inspect(t, "db-1").Mounts
	if len(after) != 1 || after[0].Name == before || after[0].Destination != "/data" {
		t.Errorf("got mounts %v, want another volume than %s", after, before)
	}
	if _, err := s.docker.VolumeInspect(t.Context(), before); err == nil {
		t.Error("the volume from before leaked")
	}
	s.mustUp(t, p, renew)
	if err := s.docker.ContainerRemove(t.Context(), s.project+"-db-1", container.RemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
		t.Error(err)
	}
}

// testAnonymousVolumesOfImages holds that an anonymous volume is kept as long as the image declares it, and that a plan says
// so before it goes with its data.
func testAnonymousVolumesOfImages(t *testing.T, s *suite) {
	ref := func(tag string) string { return "volumes.example/" + s.project + ":" + tag }
	for _, tag := range []string{"1", "2", "3"} {
		if tag != "3" {
			s.importImage(t, ref(tag), `VOLUME ["/data"]`, "ENV TAG="+tag)
		} else {
			s.importImage(t, ref(tag), "ENV TAG="+tag)
		}
		t.Cleanup(func() { _, _ = s.docker.ImageRemove(context.Background(), ref(tag), image.RemoveOptions{}) })
	}
	to := func(tag string) *compose.Project {
		return s.recipe(svc("db", env("TAG="+tag), func(s *compose.Service) { s.Config.Image = ref(tag) }))
	}
	unstarted := engine.DiffOptions{NoStart: true} // there is nothing in it to run
	s.mustUp(t, to("1"), unstarted)
	data := s.inspect(t, "db-1").Mounts[0].Name
	s.mustUp(t, to("2"), unstarted)
	if mounts := s.inspect(t, "db-1").Mounts; len(mounts) != 1 || mounts[0].Name != data {
		t.Errorf("got mounts %v, want the volume %s", mounts, data)
	}
	have := s.state(t)
	must(t, s.engine.Complete(t.Context(), to("3"), have, unstarted))
	plan, err := engine.Diff(to("3"), have, unstarted)
	must(t, err)
	if want := "remove volume " + data + " (anonymous, neither recipe nor image declares a volume at /data any more: ITS DATA IS LOST)"; !strings.Contains(plan.String(), want) {
		t.Errorf("the plan does not say %q:\n%s", want, plan)
	}
	s.mustUp(t, to("3"), unstarted)
	if mounts := s.inspect(t, "db-1").Mounts; len(mounts) != 0 {
		t.Errorf("got mounts %v, want none", mounts)
	}
	if _, err := s.docker.VolumeInspect(t.Context(), data); err == nil {
		t.Error("the anonymous volume that nothing declares any more leaked")
	}
}

func testNetworkRedefined(t *testing.T, s *suite) {
	build := func(subnet string) *compose.Project {
		p := s.recipe(svc("web", joins("front"), func(s *compose.Service) { s.Endpoints[0].Settings.Aliases = []string{"shopfront"} }))
		p.Networks[0] = s.network("front", subnet)
		return p
	}
	s.mustUp(t, build(""), engine.DiffOptions{})
	before := s.inspect(t, "web-1")
	s.mustUp(t, build(s.subnet), engine.DiffOptions{})
	after := s.inspect(t, "web-1")
	endpoint := after.NetworkSettings.Networks[s.project+"_front"]
	if endpoint == nil || !slices.Contains(endpoint.Aliases, "shopfront") || !slices.Contains(endpoint.Aliases, "web") {
		t.Fatalf("got endpoint %+v, want the aliases web and shopfront", endpoint)
	}
	if prefix := s.subnet[:strings.LastIndex(s.subnet, ".")+1]; !strings.HasPrefix(endpoint.IPAddress, prefix) {
		t.Errorf("got address %s, want one of %s", endpoint.IPAddress, s.subnet)
	}
	if after.ID != before.ID {
		t.Error("the container was replaced, though only its network changed")
	}
}

func testNamespaceChild(t *testing.T, s *suite) {
	build := func(level string) *compose.Project {
		return s.recipe(svc("app", env("LEVEL="+level), joins("default")),
			svc("side", waits("app", compose.Started), func(s *compose.Service) { s.Host.NetworkMode = "service:app" }))
	}
	shares := func(after string) {
		t.Helper()
		app, side := s.inspect(t, "app-1"), s.inspect(t, "side-1")
		if got := string(side.HostConfig.NetworkMode); got != "container:"+app.ID {
			t.Errorf("after %s, side shares with %s, app is %s", after, got, app.ID)
		}
		if instant(t, side.State.StartedAt).Before(instant(t, app.State.StartedAt)) {
			t.Errorf("after %s, side runs in the namespace of before", after)
		}
	}
	s.mustUp(t, build("1"), engine.DiffOptions{})
	s.mustUp(t, build("2"), engine.DiffOptions{})
	shares("a replacement")
	must(t, s.up(t, &compose.Project{Name: s.project}, engine.DiffOptions{Services: []string{"app"}, Down: &engine.Down{StopOnly: true}}))
	s.mustUp(t, build("2"), engine.DiffOptions{})
	shares("a start")
	must(t, s.docker.ContainerRestart(t.Context(), s.project+"-app-1", container.StopOptions{}))
	s.mustUp(t, build("2"), engine.DiffOptions{})
	shares("a restart by hand")
	redefined := build("2")
	*redefined.Networks[0] = *s.network("default", s.subnet)
	s.mustUp(t, redefined, engine.DiffOptions{})
	shares("a new network")
}

// testNetworkBystanders holds that what a plan leaves out is none the worse for a network that it makes anew.
func testNetworkBystanders(t *testing.T, s *suite) {
	build := func(subnet string) *compose.Project {
		alias := func(s *compose.Service) { s.Endpoints[0].Settings.Aliases = []string{"store"} }
		p := s.recipe(svc("db", joins("default"), alias), svc("web", joins("default")))
		*p.Networks[0] = *s.network("default", subnet)
		return p
	}
	s.mustUp(t, build(""), engine.DiffOptions{})
	must(t, s.up(t, build(s.subnet), engine.DiffOptions{Services: []string{"web"}, NoDeps: true}))
	s.expect(t, map[string]string{"db-1": "running", "web-1": "running"})
	if e := s.inspect(t, "db-1").NetworkSettings.Networks[s.project+"_default"]; e == nil || !slices.Contains(e.Aliases, "store") {
		t.Errorf("got endpoint %+v of db, want the alias store", e)
	}
	s.mustUp(t, build(s.subnet), engine.DiffOptions{})

	guest, err := s.docker.ContainerCreate(t.Context(), &container.Config{Image: "busybox:latest", Cmd: []string{"sleep", "infinity"}},
		&container.HostConfig{NetworkMode: container.NetworkMode(s.project + "_default")}, nil, nil, s.project+"guest")
	must(t, err)
	defer func() {
		must(t, s.docker.ContainerRemove(context.Background(), guest.ID, container.RemoveOptions{Force: true}))
	}()
	must(t, s.docker.ContainerStart(t.Context(), guest.ID, container.StartOptions{}))
	before := s.inspect(t, "web-1").State.StartedAt
	err = s.up(t, build(""), engine.DiffOptions{})
	if err == nil || !strings.Contains(err.Error(), "container "+s.project+"guest of another project is on it") {
		t.Errorf("got error %v, want one that names the container of another project", err)
	}
	if s.inspect(t, "web-1").State.StartedAt != before {
		t.Error("web was stopped for a network that can't be made anew")
	}
}

// testNetworkPutBack holds that a network whose new definition the Engine refuses comes back as it was, with its users.
func testNetworkPutBack(t *testing.T, s *suite) {
	build := func(subnet string) *compose.Project {
		p := s.recipe(svc("db", joins("default", "other")), svc("web", joins("default"), waits("db", compose.Started)))
		*p.Networks[0], *p.Networks[1] = *s.network("default", subnet), *s.network("other", s.subnet)
		return p
	}
	s.mustUp(t, build(""), engine.DiffOptions{})
	db := s.inspect(t, "db-1").ID
	err := s.up(t, build(s.subnet), engine.DiffOptions{}) // taken by the other one
	var back *engine.RolledBackError
	if !errors.As(err, &back) || back.Restore != nil || !slices.Equal(back.Services, []string{"db", "web"}) {
		t.Fatalf("got error %v, want a RolledBackError of db and web", err)
	}
	s.expect(t, map[string]string{"db-1": "running", "web-1": "running"})
	s.mustUp(t, build(""), engine.DiffOptions{})
	if s.inspect(t, "db-1").ID != db {
		t.Error("the container was replaced, though its network is as it was")
	}
}

func testScale(t *testing.T, s *suite) {
	replicas := func(n int) func(*compose.Service) { return func(s *compose.Service) { s.Replicas = n } }
	s.mustUp(t, s.recipe(svc("web", replicas(3))), engine.DiffOptions{})
	s.expect(t, map[string]string{"web-1": "running", "web-2": "running", "web-3": "running"})
	s.mustUp(t, s.recipe(svc("web", replicas(1))), engine.DiffOptions{})
	s.expect(t, map[string]string{"web-1": "running"})
	s.mustUp(t, s.recipe(svc("web", replicas(2))), engine.DiffOptions{})
	s.expect(t, map[string]string{"web-1": "running", "web-2": "running"})
	s.mustUp(t, s.recipe(svc("web", replicas(0))), engine.DiffOptions{})
	s.expect(t, map[string]string{})
}

func testAdoption(t *testing.T, s *suite) {
	ctx := t.Context()
	if _, err := s.docker.NetworkCreate(ctx, s.project+"_default", network.CreateOptions{Labels: map[string]string{
		compose.LabelProject: s.project, compose.LabelNetwork: "default",
	}}); err != nil {
		t.Fatal(err)
	}
	created, err := s.docker.ContainerCreate(ctx, &container.Config{Image: "busybox:latest", Cmd: []string{"sleep", "infinity"}, Labels: map[string]string{
		compose.LabelProject: s.project, compose.LabelService: "web", compose.LabelNumber: "1", compose.LabelOneOff: "False", compose.LabelConfigHash: "abc",
	}}, &container.HostConfig{NetworkMode: container.NetworkMode(s.project + "_default"), Init: svc("x").Host.Init}, nil, nil, s.project+"_web_1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.docker.ContainerStart(ctx, created.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	before, err := s.docker.NetworkInspect(ctx, s.project+"_default", network.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.mustUp(t, s.recipe(svc("web", joins("default"))), engine.DiffOptions{})
	s.expect(t, map[string]string{"web-1": "running"})
	after, err := s.docker.NetworkInspect(ctx, s.project+"_default", network.InspectOptions{})
	if err != nil || after.ID != before.ID {
		t.Errorf("the network was not kept: %v", err)
	}
}

// testCrashLeftover makes what a crash leaves at the worst moment: the old container stopped, the new one not started.
func testCrashLeftover(t *testing.T, s *suite) {
	s.mustUp(t, s.recipe(svc("web")), engine.DiffOptions{})
	changed := s.recipe(svc("web", env("NEW=1")))
	plan, err := engine.Diff(changed, s.state(t), engine.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	plan.Steps = plan.Steps[:2] // create and stop
	if err := s.engine.Apply(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	s.mustUp(t, changed, engine.DiffOptions{})
	s.expect(t, map[string]string{"web-1": "running"})
}

func testParallelism(t *testing.T, s *suite) {
	build := func(level string) *compose.Project {
		return s.recipe(svc("web", env("LEVEL="+level), func(svc *compose.Service) { svc.Replicas, svc.Update.Parallelism = 3, 1 }))
	}
	s.mustUp(t, build("1"), engine.DiffOptions{})
	least := 3
	s.engine.Notify = func(e engine.Event) {
		if e.Kind != engine.Done {
			return
		}
		running := 0
		for _, c := range s.state(t).Containers {
			if c.Phase == container.StateRunning {
				running++
			}
		}
		least = min(least, running)
	}
	s.mustUp(t, build("2"), engine.DiffOptions{})
	s.engine.Notify = nil
	// An Engine may list one that has stopped as running for a moment (seen on 26.1): then it looks like three.
	if least < 2 {
		t.Errorf("at worst %d of 3 replicas were running, want 2", least)
	}
}

// testPins goes back to an image whose tag has moved on.
func testPins(t *testing.T, s *suite) {
	ctx := t.Context()
	ref := "pins.example/" + s.project + ":1"
	tag := func(source string) {
		t.Helper()
		if err := s.docker.ImageTag(ctx, source, ref); err != nil {
			t.Fatal(err)
		}
	}
	tag("busybox:latest")
	t.Cleanup(func() { _, _ = s.docker.ImageRemove(context.Background(), ref, image.RemoveOptions{}) })
	p := s.recipe(svc("web", func(s *compose.Service) { s.Config.Image = ref }))
	s.mustUp(t, p, engine.DiffOptions{})
	have := s.state(t)
	pins := have.Pins(p)
	first := s.inspect(t, "web-1").Image
	if pins[ref].ID != first {
		t.Fatalf("got pins %v, want %s", pins, first)
	}
	s.importImage(t, ref)
	s.mustUp(t, p, engine.DiffOptions{NoStart: true}) // there is nothing in it to run
	if now := s.inspect(t, "web-1").Image; now == first {
		t.Fatalf("after the tag moved web runs %s still", now)
	}
	s.mustUp(t, p, engine.DiffOptions{Pins: pins})
	if now := s.inspect(t, "web-1").Image; now != first {
		t.Errorf("pinned, web runs %s, want %s", now, first)
	}
	_, err := engine.Diff(p, s.state(t), engine.DiffOptions{Pins: map[string]engine.Pin{ref: {ID: "sha256:gone"}}})
	var missing *engine.ImageError
	if !errors.As(err, &missing) || missing.Ref != ref {
		t.Errorf("an image that is gone: got error %v, want an ImageError", err)
	}
	plan, err := engine.Diff(p, s.state(t), engine.DiffOptions{Pins: map[string]engine.Pin{ref: {ID: "sha256:gone", Digest: "pins.example/x@sha256:" + strings.Repeat("ab", 32)}}})
	if err != nil || !strings.Contains(plan.String(), "pull image pins.example/x@sha256:abab") {
		t.Errorf("an image that is gone and has a digest: got %v and plan\n%s", err, plan)
	}
}

// importImage gives a reference to an image of one file.
func (s *suite) importImage(t *testing.T, ref string, changes ...string) {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	err := errors.Join(w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644}), w.Close())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := s.docker.ImageImport(t.Context(), image.ImportSource{Source: &archive, SourceName: "-"}, ref, image.ImportOptions{Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if _, err := io.Copy(io.Discard, stream); err != nil {
		t.Fatal(err)
	}
}
