package enginetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"galley/engine/enginetest"
)

// dial starts an Engine with a busybox image and returns a client for it.
func dial(t *testing.T, opts ...enginetest.Option) (*enginetest.Engine, *client.Client) {
	t.Helper()
	e := enginetest.New(t, opts...)
	e.AddImage(enginetest.Image{Ref: "busybox", Cmd: []string{"sh"}})
	return e, connect(t, e)
}

func connect(t *testing.T, e *enginetest.Engine) *client.Client {
	t.Helper()
	docker, err := client.NewClientWithOpts(client.WithHost(e.Host()), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { docker.Close() })
	return docker
}

// deadline bounds all waits of a test.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// run creates and starts a container of busybox.
func run(t *testing.T, docker *client.Client, name string, config container.Config, host container.HostConfig) string {
	t.Helper()
	id := create(t, docker, name, config, host)
	if err := docker.ContainerStart(deadline(t), id, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	return id
}

func create(t *testing.T, docker *client.Client, name string, config container.Config, host container.HostConfig) string {
	t.Helper()
	config.Image = "busybox"
	created, err := docker.ContainerCreate(deadline(t), &config, &host, nil, nil, name)
	if err != nil {
		t.Fatal(err)
	}
	return created.ID
}

// wait waits for a container to end and returns its code.
func wait(t *testing.T, docker *client.Client, name string) int64 {
	t.Helper()
	done, errs := docker.ContainerWait(deadline(t), name, container.WaitConditionNotRunning)
	select {
	case result := <-done:
		return result.StatusCode
	case err := <-errs:
		t.Fatal(err)
	}
	return -1
}

func sh(script string) container.Config {
	return container.Config{Cmd: []string{"sh", "-c", script}}
}

func TestAContainerLives(t *testing.T) {
	for _, api := range []string{"1.41", "1.45", "1.51"} {
		t.Run(api, func(t *testing.T) {
			e, docker := dial(t, enginetest.WithAPI(api))
			ctx := deadline(t)
			run(t, docker, "web", container.Config{Cmd: []string{"sleep", "infinity"}, Labels: map[string]string{"a": "b"}}, container.HostConfig{})
			list, err := docker.ContainerList(ctx, container.ListOptions{})
			if err != nil || len(list) != 1 || list[0].State != "running" || list[0].Names[0] != "/web" {
				t.Fatalf("got %+v, %v, want web running", list, err)
			}
			if docker.ClientVersion() != api {
				t.Errorf("negotiated %s, want %s", docker.ClientVersion(), api)
			}
			none := 0
			if err := docker.ContainerStop(ctx, "web", container.StopOptions{Timeout: &none}); err != nil {
				t.Fatal(err)
			}
			c, err := docker.ContainerInspect(ctx, "web")
			if err != nil || c.State.Status != "exited" || c.State.ExitCode != 137 {
				t.Fatalf("got %+v, %v, want it exited with 137", c.State, err)
			}
			if err := docker.ContainerRemove(ctx, "web", container.RemoveOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := e.Snapshot(); len(got.Containers) != 0 {
				t.Errorf("got %v, want no container", got.Containers)
			}
		})
	}
}
