package enginetest_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"galley/engine/enginetest"
)

func policy(name string) container.HostConfig {
	return container.HostConfig{RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyMode(name)}}
}

func TestARestartOfTheDaemonAppliesTheRestartPolicies(t *testing.T) {
	e, docker := dial(t)
	ctx := deadline(t)
	sleeps := container.Config{Cmd: []string{"sleep", "infinity"}}
	for _, name := range []string{"no", "always", "unless-stopped", "on-failure"} {
		run(t, docker, name, sleeps, policy(name))
	}
	run(t, docker, "stopped", sleeps, policy("unless-stopped"))
	none := 0
	if err := docker.ContainerStop(ctx, "stopped", container.StopOptions{Timeout: &none}); err != nil {
		t.Fatal(err)
	}
	create(t, docker, "never-started", sleeps, policy("always"))
	_, errs := docker.Events(ctx, events.ListOptions{})
	if err := e.Restart(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-errs:
	case <-ctx.Done():
		t.Error("the event stream did not break")
	}
	want := map[string]string{"no": "exited", "always": "running", "unless-stopped": "running", "on-failure": "running", "stopped": "exited", "never-started": "created"}
	for name, phase := range want {
		if got := e.Snapshot().Containers[name].Phase; got != phase {
			t.Errorf("%s is %s, want %s", name, got, phase)
		}
	}
	if _, err := docker.Ping(ctx); err != nil {
		t.Errorf("the daemon does not answer again: %v", err)
	}
}

func TestAStoppedDaemonCantBeReached(t *testing.T) {
	e, docker := dial(t)
	e.Stop()
	if _, err := docker.Ping(deadline(t)); !client.IsErrConnectionFailed(err) {
		t.Errorf("got %v, want a failed connection", err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := docker.Ping(deadline(t)); err != nil {
		t.Error(err)
	}
}

func TestNothingIsLeftOfAnEngine(t *testing.T) {
	e, err := enginetest.Start()
	if err != nil {
		t.Fatal(err)
	}
	e.AddImage(enginetest.Image{Ref: "busybox", Cmd: []string{"sh"}})
	docker := connect(t, e)
	run(t, docker, "sleeps", container.Config{Cmd: []string{"sleep", "5"}}, container.HostConfig{})
	run(t, docker, "loops", sh("while true; do sleep 1; done"), policy("always"))
	run(t, docker, "fails", sh("exit 1"), policy("always"))
	checked := sh("sleep 9 & wait")
	checked.Healthcheck = &container.HealthConfig{Test: []string{"CMD", "true"}, Interval: 10 * time.Millisecond}
	run(t, docker, "checked", checked, container.HostConfig{})
	logs, err := docker.ContainerLogs(t.Context(), "loops", container.LogsOptions{ShowStdout: true, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	docker.Events(t.Context(), events.ListOptions{})
	e.Close()
	logs.Close()
	docker.Close()
	socket := strings.TrimPrefix(e.Host(), "unix://")
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	stacks := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(stack, "galley/engine/enginetest.") {
			t.Errorf("this still runs:\n%s", stack)
		}
	}
}

func TestASocketsPathIsShort(t *testing.T) {
	t.Run("in a test of a name so long that a socket in its own directory would have a path that is beyond the limit", func(t *testing.T) {
		e := enginetest.New(t)
		if n := len(strings.TrimPrefix(e.Host(), "unix://")); n >= 108 {
			t.Errorf("the path has %d bytes", n)
		}
	})
}

func TestResetTakesEverythingAway(t *testing.T) {
	e, docker := dial(t)
	run(t, docker, "old", container.Config{Cmd: []string{"sleep", "infinity"}}, container.HostConfig{Binds: []string{"data:/data"}})
	e.Reset()
	got := e.Snapshot()
	if len(got.Containers)+len(got.Volumes)+len(got.Networks)+len(got.Images) != 0 {
		t.Errorf("got %+v, want nothing", got)
	}
	e.AddImage(enginetest.Image{Ref: "busybox", Cmd: []string{"sh"}})
	run(t, docker, "old", container.Config{Cmd: []string{"true"}}, container.HostConfig{})
}

func TestTimeCanRunFaster(t *testing.T) {
	e, docker := dial(t, enginetest.WithSpeed(1000))
	began := time.Now()
	run(t, docker, "slow", sh("trap '' TERM; sleep 30; echo done; sleep infinity"), container.HostConfig{})
	if err := docker.ContainerStop(deadline(t), "slow", container.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a stop with a grace period of ten seconds took %s", took)
	}
	if got := e.Snapshot().Containers["slow"].ExitCode; got != 137 {
		t.Errorf("it exited with %d, want 137", got)
	}
}

func TestAPausedContainerStandsStill(t *testing.T) {
	e, docker := dial(t)
	ctx := deadline(t)
	run(t, docker, "naps", container.Config{Cmd: []string{"sleep", "0.05"}}, container.HostConfig{})
	if err := docker.ContainerPause(ctx, "naps"); err != nil {
		t.Fatal(err)
	}
	messages, errs := docker.Events(ctx, events.ListOptions{})
	// Another nap of the same length, begun later, ends; the paused one must not have.
	run(t, docker, "other", container.Config{Cmd: []string{"sleep", "0.1"}}, container.HostConfig{})
	for ended := false; !ended; {
		select {
		case m := <-messages:
			ended = m.Action == events.ActionDie && m.Actor.Attributes["name"] == "other"
		case err := <-errs:
			t.Fatal(err)
		}
	}
	if got := e.Snapshot().Containers["naps"].Phase; got != "paused" {
		t.Fatalf("it is %s, want paused", got)
	}
	if err := docker.ContainerUnpause(ctx, "naps"); err != nil {
		t.Fatal(err)
	}
	if code := wait(t, docker, "naps"); code != 0 {
		t.Errorf("it exited with %d", code)
	}
}

func TestEventsCarryOnWhereAStreamBroke(t *testing.T) {
	_, docker := dial(t)
	ctx := deadline(t)
	named := filters.NewArgs(filters.Arg("type", "container"), filters.Arg("event", "create"), filters.Arg("event", "health_status"), filters.Arg("label", "mine"))
	labelled := container.Config{Cmd: []string{"sleep", "infinity"}, Labels: map[string]string{"mine": "yes"}}
	first, stop := context.WithCancel(ctx)
	messages, _ := docker.Events(first, events.ListOptions{Filters: named})
	create(t, docker, "not-mine", container.Config{}, container.HostConfig{})
	create(t, docker, "one", labelled, container.HostConfig{})
	got := <-messages
	if got.Actor.Attributes["name"] != "one" {
		t.Fatalf("got %+v, want the creation of one", got)
	}
	stop()
	create(t, docker, "two", labelled, container.HostConfig{})
	messages, _ = docker.Events(ctx, events.ListOptions{Filters: named, Since: fmt.Sprintf("%d.%09d", got.Time, got.TimeNano%1e9+1)})
	if got := <-messages; got.Actor.Attributes["name"] != "two" {
		t.Errorf("got %+v, want the creation of two", got)
	}
}

func TestHealthCanBeSet(t *testing.T) {
	e, docker := dial(t)
	ctx := deadline(t)
	config := container.Config{Cmd: []string{"sleep", "infinity"}, Healthcheck: &container.HealthConfig{Test: []string{"CMD", "true"}, Interval: time.Hour}}
	run(t, docker, "db", config, container.HostConfig{})
	messages, _ := docker.Events(ctx, events.ListOptions{Filters: filters.NewArgs(filters.Arg("event", "health_status"))})
	if err := e.SetHealth("db", container.Unhealthy); err != nil {
		t.Fatal(err)
	}
	if got := <-messages; got.Action != "health_status: unhealthy" {
		t.Errorf("got %s", got.Action)
	}
	if got := e.Snapshot().Containers["db"].Health; got != container.Unhealthy {
		t.Errorf("got %s", got)
	}
}

func TestManyCallersAtOnce(t *testing.T) {
	e, docker := dial(t)
	ctx := deadline(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Add(1)
		go func() {
			defer all.Done()
			name := fmt.Sprintf("c%d-x", i)
			config := sh("echo hello; sleep infinity")
			config.Image = "busybox"
			config.Healthcheck = &container.HealthConfig{Test: []string{"CMD-SHELL", "touch /tmp/x"}, Interval: time.Millisecond}
			created, err := docker.ContainerCreate(ctx, &config, &container.HostConfig{Binds: []string{"shared:/tmp"}}, nil, nil, name)
			if err != nil {
				t.Error(err)
				return
			}
			none := 0
			for _, err := range []error{
				docker.ContainerStart(ctx, created.ID, container.StartOptions{}),
				docker.ContainerRestart(ctx, name, container.StopOptions{Timeout: &none}),
				docker.ContainerStop(ctx, name, container.StopOptions{Timeout: &none}),
				docker.ContainerRemove(ctx, name, container.RemoveOptions{}),
			} {
				if err != nil {
					t.Error(err)
				}
			}
		}()
	}
	all.Wait()
	if got := e.Snapshot().Containers; len(got) != 0 {
		t.Errorf("got %d containers, want none", len(got))
	}
}

func BenchmarkStartAndClose(b *testing.B) {
	for b.Loop() {
		e, err := enginetest.Start()
		if err != nil {
			b.Fatal(err)
		}
		e.Close()
	}
}

func BenchmarkLifeOfAContainer(b *testing.B) {
	e, err := enginetest.Start()
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	e.AddImage(enginetest.Image{Ref: "busybox", Cmd: []string{"sleep", "infinity"}})
	docker, err := client.NewClientWithOpts(client.WithHost(e.Host()), client.WithAPIVersionNegotiation())
	if err != nil {
		b.Fatal(err)
	}
	defer docker.Close()
	for b.Loop() {
		created, err := docker.ContainerCreate(b.Context(), &container.Config{Image: "busybox"}, nil, nil, nil, "")
		if err != nil {
			b.Fatal(err)
		}
		if err := docker.ContainerStart(b.Context(), created.ID, container.StartOptions{}); err != nil {
			b.Fatal(err)
		}
		if err := docker.ContainerRemove(b.Context(), created.ID, container.RemoveOptions{Force: true}); err != nil {
			b.Fatal(err)
		}
	}
}
