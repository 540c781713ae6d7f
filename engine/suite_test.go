package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/nat"
	"github.com/google/go-cmp/cmp"

	"galley/compose"
	"galley/engine"
)

// suite runs the same tests against an Engine, in memory or real. The image busybox:latest is there.
type suite struct {
	host string
	// project is a name of the test's own: tests share an Engine.
	project string
	docker  *client.Client
	engine  *engine.Engine
	// subnet is a /24 that nobody else uses.
	subnet string
	// dir is where recipes lie, files where their configs and secrets are kept.
	dir, files string
}

// tests are the suite: what must hold on every Engine.
func tests() map[string]func(*testing.T, *suite) {
	return map[string]func(*testing.T, *suite){
		"a chain comes up in order and a second plan is empty":          testChain,
		"what is changed is replaced under its name":                    testReplace,
		"a failed update is put back":                                   testRollback,
		"a failed update is left for a look when asked":                 testNoRollback,
		"a failed service leaves the others alone, and up carries on":   testFailure,
		"an image that is nowhere fails before anything is touched":     testMissingImage,
		"a host port in use is told in the engine's words":              testPortInUse,
		"down leaves nothing but volumes":                               testDown,
		"a network that others are on is left":                          testGuests,
		"anonymous volumes follow a replaced container and do not leak": testAnonymousVolumes,
		"anonymous volumes that an image declares are kept with it":     testAnonymousVolumesOfImages,
		"anonymous volumes are made anew when asked":                    testAnonymousVolumesRenewed,
		"a redefined network keeps its users' aliases":                  testNetworkRedefined,
		"a child of a namespace follows its parent":                     testNamespaceChild,
		"a redefined network harms nobody that is left out":             testNetworkBystanders,
		"a network that can't be made anew comes back":                  testNetworkPutBack,
		"scaling keeps numbers":                                         testScale,
		"an interrupted up finishes what runs and names what is left":   testInterrupt,
		"what docker compose left is adopted":                           testAdoption,
		"a service that never gets healthy fails the wait":              testUnhealthy,
		"a bounded wait says what is not up":                            testWaitTimeout,
		"what a crash left between stop and start is finished":          testCrashLeftover,
		"several networks are attached with aliases":                    testSeveralNetworks,
		"a command that is cleared leaves the entrypoint":               testClearedCommand,
		"hooks run around a container's life":                           testHooks,
		"a hook that fails is named with its output":                    testFailedHook,
		"a container that ends in its last hook is replaced":            testPartingHook,
		"replicas are replaced group by group":                          testParallelism,
		"a failed replica ends an update or not, as the recipe says":    testFailureActions,
		"groups of replicas keep their pace":                            testPace,
		"a late healthcheck is probed early":                            testEarlyProbes,
		"limits and restart policy change in place":                     testLimitsInPlace,
		"networks and aliases change in place":                          testNetworksInPlace,
		"what somebody changed in place is found in full, and mended":   testDriftInPlace,
		"what can't change in place is replaced":                        testNotInPlace,
		"restarts are left to the caller when asked":                    testOwnRestarts,
		"pinned images stay, wherever their tags point":                 testPins,
		"logs come in lines with their stream":                          testLogs,
		"what containers use is followed as they come and go":           testUsages,
		"logs are kept in files without a gap and without doubling":     testLogFiles,
		"run repairs what is done by hand":                              testRunRepairs,
		"run leaves what ended by itself":                               testRunLeavesWhatEnded,
		"run starts services at their times":                            testRunAtTimes,
		"run lets no service overlap with itself":                       testRunAtTimesWithoutOverlap,
		"run restarts by the recipe's policies itself":                  testRunOwnRestarts,
		"run only reports when asked":                                   testRunOnlyReports,
		"run goes back to what was good":                                testRunRollsBack,
		"run restarts what ended when asked":                            testRunRestartsWhatExitedWhenAsked,
		"run applies a recipe that is loaded again":                     testRunReload,
		"run restarts a child of a namespace":                           testRunRestartsAChildOfANamespace,
		"run restarts what is unhealthy":                                testRunRestartsTheUnhealthy,
		"run lets others have their turn":                               testRunTurns,
		"configs and secrets are files in memory":                       testFiles,
		"a changed secret replaces, and the old one is left to the old": testFilesChanged,
		"a changed secret is told where the recipe says so":             testFilesSignalled,
		"configs and secrets that are lost are written before a start":  testFilesLost,
		"run prepares a recipe before it holds it":                      testRunPrepares,
		"tarballs are loaded once and recognised":                       testLoad,
		"layers that are there are left out":                            testLoadOnTop,
		"nothing is left of a broken tarball":                           testLoadBroken,
		"images locked by digest come from any tool's tarball":          testLoadShapes,
		"what is saved can be loaded again":                             testSave,
	}
}

func newSuite(t *testing.T, host, project, subnet string) *suite {
	t.Helper()
	docker, err := client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	files := filepath.Join(t.TempDir(), "files")
	e, err := engine.Connect(t.Context(), engine.Options{Host: host, Version: "test", PullPause: time.Millisecond, FilesDir: files})
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{host: host, project: project, docker: docker, engine: e, subnet: subnet, dir: t.TempDir(), files: files}
	t.Cleanup(func() {
		s.cleanUp(t)
		e.Close()
		docker.Close()
	})
	return s
}

// cleanUp removes whatever the test left.
func (s *suite) cleanUp(t *testing.T) {
	ctx := context.Background()
	mine := filters.NewArgs(filters.Arg("label", compose.LabelProject+"="+s.project))
	containers, err := s.docker.ContainerList(ctx, container.ListOptions{All: true, Filters: mine})
	if err != nil {
		t.Error(err)
	}
	for _, c := range containers {
		if err := s.docker.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
			t.Error(err)
		}
	}
	networks, _ := s.docker.NetworkList(ctx, network.ListOptions{Filters: mine})
	for _, n := range networks {
		if err := s.docker.NetworkRemove(ctx, n.ID); err != nil {
			t.Error(err)
		}
	}
	volumes, _ := s.docker.VolumeList(ctx, volume.ListOptions{Filters: mine})
	for _, v := range volumes.Volumes {
		if err := s.docker.VolumeRemove(ctx, v.Name, true); err != nil {
			t.Error(err)
		}
	}
}

// svc is a service that sleeps until it is stopped.
func svc(name string, change ...func(*compose.Service)) *compose.Service {
	s := &compose.Service{Name: name, Replicas: 1, Config: container.Config{
		Image:       "busybox:latest",
		Cmd:         []string{"sleep", "infinity"},
		StopTimeout: new(int),
	}}
	*s.Config.StopTimeout = 1
	s.Host.Init = new(bool)
	*s.Host.Init = true // so that sleep heeds SIGTERM
	for _, c := range change {
		c(s)
	}
	return s
}

func runs(command ...string) func(*compose.Service) {
	return func(s *compose.Service) { s.Config.Cmd = command }
}

func sh(script string) func(*compose.Service) { return runs("sh", "-c", script) }

func env(vars ...string) func(*compose.Service) {
	return func(s *compose.Service) { s.Config.Env = vars }
}

func checked(test string) func(*compose.Service) {
	return func(s *compose.Service) {
		s.Config.Healthcheck = &container.HealthConfig{Test: []string{"CMD-SHELL", test}, Interval: 200 * time.Millisecond, Retries: 2, Timeout: 5 * time.Second}
	}
}

func waits(service string, condition compose.Condition) func(*compose.Service) {
	return func(s *compose.Service) {
		s.Needs = append(s.Needs, compose.Need{Service: service, Condition: condition, Required: true})
	}
}

func joins(networks ...string) func(*compose.Service) {
	return func(s *compose.Service) {
		for _, key := range networks {
			s.Endpoints = append(s.Endpoints, compose.Endpoint{Network: key})
		}
	}
}

// recipe completes what the tests write down: names, labels, digests.
func (s *suite) recipe(services ...*compose.Service) *compose.Project {
	slices.SortFunc(services, func(a, b *compose.Service) int { return strings.Compare(a.Name, b.Name) })
	p := &compose.Project{Name: s.project, Separator: "-", Services: services}
	keys := map[string]bool{}
	for _, svc := range services {
		for i := range svc.Endpoints {
			e := &svc.Endpoints[i]
			e.Name = s.project + "_" + e.Network
			e.Settings.Aliases = append([]string{svc.Name}, e.Settings.Aliases...)
			keys[e.Network] = true
		}
		svc.Fields = map[string]string{
			"command":     fmt.Sprintf("%x", svc.Config.Cmd),
			"environment": fmt.Sprintf("%x", svc.Config.Env),
			"healthcheck": fmt.Sprintf("%x", svc.Config.Healthcheck),
			"network":     string(svc.Host.NetworkMode),
			"volumes":     fmt.Sprint(svc.Host.Binds, svc.Config.Volumes, svc.Host.Tmpfs, svc.Host.VolumesFrom),
			"hooks":       fmt.Sprint(svc.PreStart, svc.PostStart, svc.PreStop),
		}
		svc.Hash = fmt.Sprintf("2:%08x", strings.Join(slices.Sorted(maps.Values(svc.Fields)), ","))
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		p.Networks = append(p.Networks, s.network(key, ""))
	}
	return p
}

func (s *suite) network(key, subnet string) *compose.Network {
	n := &compose.Network{Key: key, Name: s.project + "_" + key, Hash: "1:" + subnet}
	n.Create.Driver = "bridge"
	n.Create.Labels = map[string]string{compose.LabelProject: s.project, compose.LabelNetwork: key, compose.LabelHash: n.Hash}
	if subnet != "" {
		n.Create.IPAM = &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet}}}
	}
	return n
}

func (s *suite) state(t *testing.T) *engine.State {
	t.Helper()
	have, err := s.engine.State(t.Context(), s.project)
	if err != nil {
		t.Fatal(err)
	}
	return have
}

// up converges and returns the error.
func (s *suite) up(t *testing.T, p *compose.Project, opts engine.DiffOptions) error {
	t.Helper()
	_, err := s.engine.Converge(t.Context(), p, s.state(t), opts)
	return err
}

// mustUp converges, and holds that a second plan is empty.
func (s *suite) mustUp(t *testing.T, p *compose.Project, opts engine.DiffOptions) {
	t.Helper()
	if err := s.up(t, p, opts); err != nil {
		t.Fatal(err)
	}
	opts.ForceRecreate = false
	plan, err := engine.Diff(p, s.state(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Empty() {
		t.Errorf("the second plan is not empty:\n%s", plan)
	}
}

// phases are the containers' states by name.
func (s *suite) phases(t *testing.T) map[string]string {
	t.Helper()
	phases := map[string]string{}
	for _, c := range s.state(t).Containers {
		phases[c.Name] = string(c.Phase)
	}
	return phases
}

func (s *suite) expect(t *testing.T, want map[string]string) {
	t.Helper()
	named := map[string]string{}
	for name, phase := range want {
		named[s.project+"-"+name] = phase
	}
	if diff := cmp.Diff(named, s.phases(t)); diff != "" {
		t.Errorf("containers differ (-want +got):\n%s", diff)
	}
}

func (s *suite) inspect(t *testing.T, name string) container.InspectResponse {
	t.Helper()
	c, err := s.docker.ContainerInspect(t.Context(), s.project+"-"+name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

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
