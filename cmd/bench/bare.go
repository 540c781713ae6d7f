package main

import (
	"context"
	"fmt"
	"os"
	"regexp"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"
)

// bareConcurrency is what galley and docker-compose do at a time, too.
const bareConcurrency = 12

// bareUp does the least that brings up the services of one of the bench's recipes: it makes the network, and creates and
// starts a container a service. It reads nothing, waits for nothing, compares nothing.
func bareUp(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("bare takes a recipe and a project, not %q", args)
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("reading the recipe: %w", err)
	}
	names := regexp.MustCompile(`(?m)^  (s\d+):$`).FindAllStringSubmatch(string(text), -1)
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return fmt.Errorf("preparing the client: %w", err)
	}
	defer api.Close()
	labels := map[string]string{"com.docker.compose.project": args[1]}
	if _, err := api.NetworkCreate(ctx, args[1]+"_default", network.CreateOptions{Driver: "bridge", Labels: labels}); err != nil {
		return fmt.Errorf("creating the network: %w", err)
	}
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(bareConcurrency)
	for _, name := range names {
		work.Go(func() error { return bareStart(ctx, api, args[1], name[1], labels) })
	}
	return work.Wait()
}

func bareStart(ctx context.Context, api *client.Client, project, service string, labels map[string]string) error {
	yes := true
	config := &container.Config{Image: "busybox:latest", Cmd: []string{"sleep", "infinity"}, Env: []string{"A=1", "B=two"}, Labels: labels}
	host := &container.HostConfig{Init: &yes, NetworkMode: container.NetworkMode(project + "_default")}
	networks := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
		project + "_default": {Aliases: []string{service}},
	}}
	created, err := api.ContainerCreate(ctx, config, host, networks, nil, project+"-"+service+"-1")
	if err != nil {
		return fmt.Errorf("creating %s: %w", service, err)
	}
	if err := api.ContainerStart(ctx, created.ID, container.StartOptions{}); err != nil {
		return fmt.Errorf("starting %s: %w", service, err)
	}
	return nil
}
