package engine

import (
	"context"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"galley/compose"
)

// State is what an Engine has of one project, read in four list calls.
type State struct {
	// Project is the project's name.
	Project string
	// API is the negotiated Engine API version, as "1.41".
	API string
	// Containers are the project's own, one-offs included, sorted by service, number and name.
	Containers []*Container
	// Networks and Volumes are all of the Engine: external ones must be found too.
	Networks []network.Summary
	Volumes  []*volume.Volume
	// Images are all of the Engine.
	Images []image.Summary
}

// Container is an observed container of a project.
type Container struct {
	ID, Name, Service string
	// Number is the replica's number, from 1; 0 where the label is missing.
	Number int
	// OneOff marks a container of `run`, which is no replica.
	OneOff bool
	// Phase is the Engine's State: created, running, paused, restarting, removing, exited, dead.
	Phase string
	// Health is starting, healthy, unhealthy, or "" without a healthcheck.
	Health string
	// ExitCode is meaningful in phase exited.
	ExitCode int
	// ImageID is the image that the container was created from, as the Engine lists it.
	ImageID string
	// Hash and Fields are what [compose.LabelHash] and [compose.LabelFields] say; empty for what others created.
	Hash   string
	Fields map[string]string
	// Needs are the dependencies written into [compose.LabelDependsOn] at its creation.
	Needs []compose.Need
	// Summary is the Engine's own record.
	Summary container.Summary
}

// State reads what the Engine has of a project.
func (e *Engine) State(ctx context.Context, project string) (*State, error) { panic("being written") }
