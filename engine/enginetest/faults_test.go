package enginetest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/client"

	"galley/engine/enginetest"
)

func TestFaultStrikesTheNthCall(t *testing.T) {
	e, docker := dial(t)
	ctx := deadline(t)
	e.Intercept(enginetest.At("POST /containers/*/start", 2, enginetest.Fault{Status: http.StatusServiceUnavailable, Message: "tired"}))
	create(t, docker, "one", container.Config{Cmd: []string{"sleep", "infinity"}}, container.HostConfig{})
	create(t, docker, "two", container.Config{Cmd: []string{"sleep", "infinity"}}, container.HostConfig{})
	if err := docker.ContainerStart(ctx, "one", container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := docker.ContainerStart(ctx, "two", container.StartOptions{}); !errdefs.IsUnavailable(err) {
		t.Fatalf("got %v, want unavailable", err)
	}
	if got := e.Snapshot().Containers["two"].Phase; got != "created" {
		t.Errorf("two is %s, want created: the fault came first", got)
	}
	if err := docker.ContainerStart(ctx, "two", container.StartOptions{}); err != nil {
		t.Errorf("the third call failed: %v", err)
	}
	if got := e.Count()["POST /containers/*/start"]; got != 3 {
		t.Errorf("counted %d starts, want 3", got)
	}
}

func TestFaultAfterTheWorkWasDone(t *testing.T) {
	for name, fault := range map[string]enginetest.Fault{
		"status": {Status: http.StatusInternalServerError, Message: "lost", After: true},
		"drop":   {Drop: true, After: true},
	} {
		t.Run(name, func(t *testing.T) {
			e, docker := dial(t)
			e.Intercept(enginetest.At("POST /containers/create", 1, fault))
			_, err := docker.ContainerCreate(deadline(t), &container.Config{Image: "busybox"}, nil, nil, nil, "made")
			if err == nil {
				t.Fatal("the call did not fail")
			}
			if _, made := e.Snapshot().Containers["made"]; !made {
				t.Error("the container was not made")
			}
		})
	}
}

func TestHangLastsUntilTheCallerGoes(t *testing.T) {
	e, docker := dial(t)
	e.Intercept(enginetest.At("GET /containers/json", 1, enginetest.Fault{Hang: true}))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := docker.ContainerList(ctx, container.ListOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the caller's own deadline", err)
	}
	if _, err := docker.ContainerList(deadline(t), container.ListOptions{}); err != nil {
		t.Errorf("the next call failed: %v", err)
	}
}

func TestHangEndsWithTheEngine(t *testing.T) {
	e, docker := dial(t)
	begun := make(chan struct{})
	e.Intercept(func(c enginetest.Call) *enginetest.Fault {
		if c.Op == "GET /containers/json" {
			close(begun)
			return &enginetest.Fault{Hang: true}
		}
		return nil
	})
	failed := make(chan error, 1)
	go func() {
		_, err := docker.ContainerList(t.Context(), container.ListOptions{})
		failed <- err
	}()
	<-begun
	e.Close()
	if err := <-failed; err == nil {
		t.Error("the call got an answer")
	}
}

func TestDropClosesTheConnection(t *testing.T) {
	e, docker := dial(t)
	e.Intercept(func(c enginetest.Call) *enginetest.Fault {
		if c.Op == "GET /version" { // each time: net/http tries a GET once more on a new connection
			return &enginetest.Fault{Drop: true}
		}
		return nil
	})
	if _, err := docker.ServerVersion(deadline(t)); err == nil {
		t.Error("the call got an answer")
	}
}

func TestCallsAreRecorded(t *testing.T) {
	e, docker := dial(t)
	ctx := deadline(t)
	if _, err := docker.ContainerInspect(ctx, "nobody"); !errdefs.IsNotFound(err) {
		t.Fatalf("got %v, want not found", err)
	}
	var found enginetest.Call
	for _, c := range e.Calls() {
		if c.Op == "GET /containers/*/json" {
			found = c
		}
	}
	if found.Method != "GET" || found.Path != "/containers/nobody/json" || found.Status != 404 || found.Nth != 1 {
		t.Errorf("got %+v, want the inspect with its path and status", found)
	}
	e.ResetCalls()
	if got := e.Ops(); len(got) != 0 {
		t.Errorf("got %v after a reset, want none", got)
	}
}

func TestAnInterceptMayUseTheEngine(t *testing.T) {
	e, docker := dial(t)
	id := run(t, docker, "victim", container.Config{Cmd: []string{"sleep", "infinity"}}, container.HostConfig{})
	e.Intercept(func(c enginetest.Call) *enginetest.Fault {
		if c.Op == "GET /containers/*/json" {
			_ = e.Kill("victim") // it is dead already at the second call
		}
		return nil
	})
	c, err := docker.ContainerInspect(deadline(t), id)
	if err != nil || c.State.ExitCode != 137 {
		t.Errorf("got %+v, %v, want it killed before it was looked at", c.State, err)
	}
}

func TestTooOldAndTooNewCallersAreRefused(t *testing.T) {
	e := enginetest.New(t, enginetest.WithAPI("1.45"), enginetest.WithMinAPI("1.40"))
	for version, ok := range map[string]bool{"1.39": false, "1.40": true, "1.45": true, "1.46": false} {
		docker, err := client.NewClientWithOpts(client.WithHost(e.Host()), client.WithVersion(version))
		if err != nil {
			t.Fatal(err)
		}
		defer docker.Close()
		if _, err := docker.ContainerList(deadline(t), container.ListOptions{}); (err == nil) != ok {
			t.Errorf("API %s: got %v", version, err)
		}
	}
}

func TestALateAnswerIsOfWhatWas(t *testing.T) {
	e, docker := dial(t)
	listed, answer := make(chan struct{}), make(chan struct{})
	e.Intercept(enginetest.At("GET /containers/json", 1, enginetest.Fault{Late: func() {
		close(listed)
		<-answer
	}}))
	got := make(chan int, 1)
	go func() {
		defer close(got)
		if list, err := docker.ContainerList(t.Context(), container.ListOptions{All: true}); err == nil {
			got <- len(list)
		}
	}()
	<-listed
	create(t, docker, "later", container.Config{}, container.HostConfig{})
	close(answer)
	if n, answered := <-got; !answered || n != 0 {
		t.Errorf("%d containers are listed (answered %t), want none: there was none", n, answered)
	}
}

func TestHeldRecordsAreTheListsAlone(t *testing.T) {
	e, docker := dial(t)
	ctx := deadline(t)
	create(t, docker, "web", container.Config{Cmd: []string{"sleep", "infinity"}}, container.HostConfig{})
	if err := docker.ContainerStart(ctx, "web", container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	until := make(chan struct{})
	e.HoldRecords(until)
	messages, _ := docker.Events(ctx, events.ListOptions{})
	paused := make(chan error, 1)
	go func() { paused <- docker.ContainerPause(ctx, "web") }()
	for m := range messages {
		if m.Action == events.ActionPause {
			break
		}
	}
	list, err := docker.ContainerList(ctx, container.ListOptions{})
	if err != nil || len(list) != 1 || list[0].State != container.StateRunning {
		t.Errorf("listed are %+v (%v), want it running", list, err)
	}
	brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := docker.ContainerInspect(brief, "web"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an inspect did not wait: %v", err)
	}
	close(until)
	if err := <-paused; err != nil {
		t.Fatal(err)
	}
	if c, err := docker.ContainerInspect(ctx, "web"); err != nil || !c.State.Paused {
		t.Errorf("the container is not paused (%v)", err)
	}
}
