package engine_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
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
	// words are pairs of a word in capitals, in a family's recipe, and what it stands for.
	words []string
	// warnings are what the Engine warned of.
	warnings []string
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
