package engine

import (
	"context"
	"crypto/tls"
	"io"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Options say which Engine to talk to and how.
type Options struct {
	// Host is the Engine's address, as unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host. "" means
	// DOCKER_HOST, then the local socket. DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and DOCKER_API_VERSION count as they do for
	// the docker CLI.
	Host string
	// TLS is what a Host of TCP is spoken to with, instead of what DOCKER_CERT_PATH says; nil is that.
	TLS *tls.Config
	// Version is written into the version label of what is created.
	Version string
	// AnswerWithin is how long the Engine may take to answer a read; 0 means 10 seconds. For lists it is thrice that, as long as
	// it answers otherwise.
	AnswerWithin time.Duration
	// FinishWithin is how long the Engine may take to carry out a change, on top of a container's grace period when it
	// is stopped; 0 means 2 minutes.
	FinishWithin time.Duration
	// ReconnectWithin is how long an Engine that went away in mid-plan is waited for; 0 means 1 minute.
	ReconnectWithin time.Duration
	// SteadyFor is how long a replacement without a healthcheck must run before the old container goes; most of what is
	// broken by an update dies at once. 0 means 1 second.
	SteadyFor time.Duration
	// FilesDir is the absolute directory for the configs and secrets of containers; "" where there are to be none. It must
	// be one that the Engine sees too, and better in memory; FilesOnDisk says that it isn't.
	FilesDir    string
	FilesOnDisk bool
	// Memory keeps what was found out by inspecting containers; nil keeps it as long as the Engine value lives.
	Memory Memory
	// Parallel is how many Engine calls that change something run at once; 0 means 12.
	Parallel int
	// Credentials gives what the Engine is to log into a registry with, by the registry's host ("docker.io",
	// "registry.example:5000"); the zero value is nothing. nil knows none.
	Credentials func(ctx context.Context, host string) (registry.AuthConfig, error)
	// PullRoom is how many bytes must be free for the Engine's data before an image is pulled or loaded, for how many a pull
	// will take is not known before; 0 means 256 MB, a negative number that it isn't looked at.
	PullRoom int64
	// PullTries is how often a pull is tried while the network fails it; 0 means 4. PullPause is the first pause between
	// two tries, which doubles and is jittered; 0 means 1 second.
	PullTries int
	PullPause time.Duration
	// StallAfter is how long a pull may go without any progress before it is given up and tried again; 0 means 2 minutes.
	StallAfter time.Duration
}

// Engine drives one Docker Engine. Its methods may be called from several goroutines, Apply from one at a time.
type Engine struct {
	// Host is the address in use, API the negotiated version, as "1.41".
	Host, API string
	// Notify, if set, is told of every step that Apply walks, always from one goroutine.
	Notify func(Event)

	api  api
	opts Options
}

// api names just the calls that Galley makes of the Engine's client, so that the client can be exchanged.
type api interface {
	Close() error
	ClientVersion() string
	Ping(ctx context.Context) (types.Ping, error)
	Info(ctx context.Context) (system.Info, error)
	Events(ctx context.Context, options events.ListOptions) (<-chan events.Message, <-chan error)

	ContainerList(ctx context.Context, options container.ListOptions) ([]container.Summary, error)
	ContainerInspect(ctx context.Context, id string) (container.InspectResponse, error)
	ContainerCreate(ctx context.Context, config *container.Config, host *container.HostConfig, net *network.NetworkingConfig, platform *ocispec.Platform, name string) (container.CreateResponse, error)
	ContainerStart(ctx context.Context, id string, options container.StartOptions) error
	ContainerStop(ctx context.Context, id string, options container.StopOptions) error
	ContainerTop(ctx context.Context, id string, arguments []string) (container.TopResponse, error)
	ContainerKill(ctx context.Context, id, signal string) error
	ContainerPause(ctx context.Context, id string) error
	ContainerUnpause(ctx context.Context, id string) error
	ContainerRestart(ctx context.Context, id string, options container.StopOptions) error
	ContainerRemove(ctx context.Context, id string, options container.RemoveOptions) error
	ContainerUpdate(ctx context.Context, id string, change container.UpdateConfig) (container.UpdateResponse, error)
	ContainerStats(ctx context.Context, id string, stream bool) (container.StatsResponseReader, error)
	ContainerStatsOneShot(ctx context.Context, id string) (container.StatsResponseReader, error)
	ContainerRename(ctx context.Context, id, name string) error
	ContainerAttach(ctx context.Context, id string, options container.AttachOptions) (types.HijackedResponse, error)
	ContainerResize(ctx context.Context, id string, options container.ResizeOptions) error
	ContainerWait(ctx context.Context, id string, condition container.WaitCondition) (<-chan container.WaitResponse, <-chan error)
	ContainerExecCreate(ctx context.Context, id string, options container.ExecOptions) (container.ExecCreateResponse, error)
	ContainerExecAttach(ctx context.Context, execID string, options container.ExecAttachOptions) (types.HijackedResponse, error)
	ContainerExecStart(ctx context.Context, execID string, options container.ExecStartOptions) error
	ContainerExecResize(ctx context.Context, execID string, options container.ResizeOptions) error
	ContainerExecInspect(ctx context.Context, execID string) (container.ExecInspect, error)
	ContainerStatPath(ctx context.Context, id, path string) (container.PathStat, error)
	CopyToContainer(ctx context.Context, id, dir string, tar io.Reader, options container.CopyToContainerOptions) error
	CopyFromContainer(ctx context.Context, id, path string) (io.ReadCloser, container.PathStat, error)
	ContainerLogs(ctx context.Context, id string, options container.LogsOptions) (io.ReadCloser, error)

	NetworkList(ctx context.Context, options network.ListOptions) ([]network.Summary, error)
	NetworkInspect(ctx context.Context, network string, options network.InspectOptions) (network.Inspect, error)
	NetworkCreate(ctx context.Context, name string, options network.CreateOptions) (network.CreateResponse, error)
	NetworkDisconnect(ctx context.Context, id, containerID string, force bool) error
	NetworkConnect(ctx context.Context, id, containerID string, config *network.EndpointSettings) error
	NetworkRemove(ctx context.Context, id string) error

	VolumeList(ctx context.Context, options volume.ListOptions) (volume.ListResponse, error)
	VolumeCreate(ctx context.Context, options volume.CreateOptions) (volume.Volume, error)
	VolumeRemove(ctx context.Context, id string, force bool) error

	ImageList(ctx context.Context, options image.ListOptions) ([]image.Summary, error)
	ImageInspect(ctx context.Context, ref string, options ...client.ImageInspectOption) (image.InspectResponse, error)
	ImagePull(ctx context.Context, ref string, options image.PullOptions) (io.ReadCloser, error)
	ImageLoad(ctx context.Context, input io.Reader, options ...client.ImageLoadOption) (image.LoadResponse, error)
	ImageSave(ctx context.Context, refs []string, options ...client.ImageSaveOption) (io.ReadCloser, error)
	ImageTag(ctx context.Context, id, ref string) error
	ImageRemove(ctx context.Context, ref string, options image.RemoveOptions) ([]image.DeleteResponse, error)

	RegistryLogin(ctx context.Context, auth registry.AuthConfig) (registry.AuthenticateOKBody, error)
	DistributionInspect(ctx context.Context, ref, encodedAuth string) (registry.DistributionInspect, error)
}
