package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
)

// readyAlone is how long the services of a chain need by themselves, one after the other: each from the call that starts
// it, with nothing else to do, until it says that it is ready. They are on a network of their own, as a recipe's are: to start
// there takes the Engine longer than on its default bridge.
func readyAlone(ctx context.Context, api client.APIClient) (sum time.Duration, err error) {
	created, err := api.NetworkCreate(ctx, "alone", network.CreateOptions{})
	if err != nil {
		return 0, fmt.Errorf("creating a network: %w", err)
	}
	// What is left after a failure goes with the bench's Engine.
	defer func() { _ = api.NetworkRemove(ctx, created.ID) }()
	for range chainLength {
		took, err := startAlone(ctx, api, created.ID)
		if err != nil {
			return 0, fmt.Errorf("measuring a service alone: %w", err)
		}
		sum += took
	}
	return sum, nil
}

func startAlone(ctx context.Context, api client.APIClient, on string) (time.Duration, error) {
	yes := true
	config := &container.Config{Image: "busybox:latest", Cmd: []string{"sh", "-c", chainCommand}, AttachStdout: true}
	created, err := api.ContainerCreate(ctx, config, &container.HostConfig{Init: &yes, NetworkMode: container.NetworkMode(on)}, nil, nil, "")
	if err != nil {
		return 0, fmt.Errorf("creating it: %w", err)
	}
	defer func() { _ = api.ContainerRemove(ctx, created.ID, container.RemoveOptions{Force: true}) }()
	output, err := api.ContainerAttach(ctx, created.ID, container.AttachOptions{Stream: true, Stdout: true})
	if err != nil {
		return 0, fmt.Errorf("attaching to it: %w", err)
	}
	defer output.Close()
	began := time.Now()
	if err := api.ContainerStart(ctx, created.ID, container.StartOptions{}); err != nil {
		return 0, fmt.Errorf("starting it: %w", err)
	}
	said, saying := io.Pipe()
	defer said.Close()
	go func() {
		_, err := stdcopy.StdCopy(saying, io.Discard, output.Reader)
		saying.CloseWithError(err)
	}()
	if line, err := bufio.NewReader(said).ReadString('\n'); strings.TrimSpace(line) != "ready" {
		return 0, fmt.Errorf("waiting for it: it said %q: %w", line, err)
	}
	return time.Since(began), nil
}
