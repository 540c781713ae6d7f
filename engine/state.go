package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

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
	// Outsiders are the containers of other projects that mount a volume, by its name, once [Engine.Complete] was asked.
	Outsiders map[string][]string
	// Guests are the containers of other projects that run on a network which is made anew or is an orphan, by its ID, once
	// [Engine.Complete] was asked.
	Guests map[string][]string
	// Declared are the paths at which images declare volumes, by image ID, once [Engine.Complete] was asked, of those of which
	// it matters.
	Declared map[string][]string
	// Images are all of the Engine.
	Images []image.Summary
	// OnePlatform: a tag is one image for one platform, as on all but containerd's image store; known once [Engine.Complete] was
	// asked, if the recipe wants an image for several.
	OnePlatform bool
	// Boundless: containers have as much room of their own as there is, whatever storage_opt says, as with containerd's image store;
	// known once [Engine.Complete] was asked, if the recipe has a storage_opt.
	Boundless bool
	// Guards are the security modules of the machine that the Engine uses, as "apparmor"; known, and then not nil, once
	// [Engine.Complete] was asked, if the recipe needs one or one of the above.
	Guards []string
	// Files are the project's configs and secrets, on this machine.
	Files *Files
}

// Container is an observed container of a project.
type Container struct {
	ID, Name, Service string
	// Number is the replica's number, from 1; 0 where the label is missing.
	Number int
	// OneOff marks a container of `run`, which is no replica.
	OneOff bool
	// Phase is the Engine's State: created, running, paused, restarting, removing, exited, dead.
	Phase container.ContainerState
	// Health is starting, healthy, unhealthy, or "" without a healthcheck.
	Health container.HealthStatus
	// ExitCode is meaningful in phase exited.
	ExitCode int
	// ImageID is the image that the container was created from, as the Engine lists it.
	ImageID string
	// Hash is what [compose.LabelHash] says; empty for what others created.
	Hash string
	// Settings are what the Engine changes in place, as last known; nil for what others created.
	Settings Settings
	// Needs are the dependencies written into [compose.LabelDependsOn] at its creation.
	Needs []compose.Need
	// Behind are the ids of containers that took another's place after this one had last started, of services that it depends
	// on with `restart: true`: it is yet to be restarted for them.
	Behind []string
	// Stranded are the ids of containers that share with this one, as labels say, and that started after it had: if it is a
	// namespace, that one is gone.
	Stranded []string
	// Started and Finished are when it last started and ended; zero where nobody asked, or where it never did.
	Started, Finished time.Time
	// Misrecorded: the Engine could not write down what became of the container, as on a full disk. Its list is made from what
	// is written down, and goes on telling what was before.
	Misrecorded bool
	// Summary is the Engine's own record.
	Summary container.Summary
}

// State reads what the Engine has of a project: four list calls, at the same time, and then an inspect of each container
// that [Memory] does not know.
func (e *Engine) State(ctx context.Context, project string) (*State, error) {
	return e.state(ctx, project, false)
}

// StateInFull is State with an inspect of every container: it finds what somebody else changed on one in place, as a limit
// or an alias, which no list tells.
func (e *Engine) StateInFull(ctx context.Context, project string) (*State, error) {
	return e.state(ctx, project, true)
}

func (e *Engine) state(ctx context.Context, project string, full bool) (*State, error) {
	s := &State{Project: project, API: e.API}
	ctx, cancel := e.patiently(ctx)
	defer cancel()
	calls, listing := errgroup.WithContext(ctx)
	calls.Go(func() (err error) {
		s.Containers, err = e.containers(listing, project)
		return err
	})
	calls.Go(func() (err error) {
		s.Networks, err = e.api.NetworkList(listing, network.ListOptions{})
		return e.reading(listing, "networks", err)
	})
	calls.Go(func() error {
		list, err := e.api.VolumeList(listing, volume.ListOptions{})
		s.Volumes = list.Volumes
		return e.reading(listing, "volumes", err)
	})
	calls.Go(func() (err error) {
		s.Images, err = e.images(listing)
		return err
	})
	calls.Go(func() (err error) {
		s.Files, err = e.Files(project)
		return err
	})
	if err := calls.Wait(); err != nil {
		return nil, err
	}
	if err := e.recall(ctx, project, s.Containers, full); err != nil {
		return nil, err
	}
	return s, nil
}

// images lists all images. With containerd's store the Engine fails with "not found" when one is removed while it lists them
// (seen on 28.5): then it is asked again.
func (e *Engine) images(ctx context.Context) (images []image.Summary, err error) {
	for range listTries {
		if images, err = e.api.ImageList(ctx, image.ListOptions{}); !errdefs.IsNotFound(err) {
			break
		}
	}
	return images, e.reading(ctx, "images", err)
}

// listTries is how many removals in a row a list of images outlasts.
const listTries = 5

// Containers reads the project's containers in one list call, sorted by service, number and name.
func (e *Engine) Containers(ctx context.Context, project string) ([]*Container, error) {
	ctx, cancel := e.patiently(ctx)
	defer cancel()
	return e.containers(ctx, project)
}

func (e *Engine) containers(ctx context.Context, project string) ([]*Container, error) {
	list, err := e.api.ContainerList(ctx, container.ListOptions{
		All:     true,
		Filters: filters.NewArgs(filters.Arg("label", compose.LabelProject+"="+project)),
	})
	if err != nil {
		return nil, e.reading(ctx, "containers", err)
	}
	containers := make([]*Container, 0, len(list))
	for _, summary := range list {
		containers = append(containers, observe(summary))
	}
	slices.SortFunc(containers, func(a, b *Container) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name))
	})
	return containers, nil
}

func observe(s container.Summary) *Container {
	c := &Container{
		ID:       s.ID,
		Name:     ownName(s.Names),
		Service:  s.Labels[compose.LabelService],
		OneOff:   strings.EqualFold(s.Labels[compose.LabelOneOff], "true"),
		Phase:    s.State,
		Health:   health(s.Status),
		ExitCode: exitCode(s.Status),
		ImageID:  s.ImageID,
		Hash:     s.Labels[compose.LabelHash],
		Needs:    parseNeeds(s.Labels[compose.LabelDependsOn]),
		Summary:  s,
	}
	c.Number, _ = strconv.Atoi(s.Labels[compose.LabelNumber])
	return c
}

// ownName picks the container's own name among those that legacy links give it: the one without a second slash.
func ownName(names []string) string {
	for _, name := range names {
		if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
			return name
		}
	}
	return ""
}

// health reads the health out of a summary's Status ("Up 3 seconds (healthy)"), so that no inspect is needed.
// Source: moby daemon/container/state.go, State.String.
func health(status string) container.HealthStatus {
	switch {
	case strings.HasSuffix(status, "(health: starting)"):
		return container.Starting
	case strings.HasSuffix(status, "(healthy)"):
		return container.Healthy
	case strings.HasSuffix(status, "(unhealthy)"):
		return container.Unhealthy
	}
	return ""
}

// exitCode reads the code out of a summary's Status ("Exited (3) 2 minutes ago"); same source.
func exitCode(status string) int {
	_, rest, ok := strings.Cut(status, " (")
	if !ok || !(strings.HasPrefix(status, "Exited") || strings.HasPrefix(status, "Restarting")) {
		return 0
	}
	number, _, _ := strings.Cut(rest, ")")
	code, _ := strconv.Atoi(number)
	return code
}

// parseNeeds reads [compose.LabelDependsOn]: "db:service_healthy:false,cache:service_started:true". What docker-compose 1
// wrote is the bare service.
func parseNeeds(label string) []compose.Need {
	var needs []compose.Need
	for _, entry := range strings.Split(label, ",") {
		if entry == "" {
			continue
		}
		parts := strings.Split(entry, ":")
		need := compose.Need{Service: parts[0], Condition: compose.Started, Required: true}
		if len(parts) > 1 {
			need.Condition = compose.Condition(parts[1])
		}
		if len(parts) > 2 {
			need.Restart, _ = strconv.ParseBool(parts[2])
		}
		needs = append(needs, need)
	}
	return needs
}

// formatNeeds writes [compose.LabelDependsOn].
func formatNeeds(needs []compose.Need) string {
	var entries []string
	for _, n := range needs {
		entries = append(entries, strings.Join([]string{n.Service, string(n.Condition), strconv.FormatBool(n.Restart)}, ":"))
	}
	return strings.Join(entries, ",")
}

// Running tells whether the container's process is there, paused or not.
func (c *Container) Running() bool {
	return c.Phase == container.StateRunning || c.Phase == container.StatePaused || c.Phase == container.StateRestarting
}

// completed tells whether the container ran to its end with code 0.
func (c *Container) completed() bool {
	return c.Phase == container.StateExited && c.ExitCode == 0
}

// network returns the Engine's networks of exactly that name; old Engines allow several.
func (s *State) network(name string) []network.Summary {
	var found []network.Summary
	for _, n := range s.Networks {
		if n.Name == name {
			found = append(found, n)
		}
	}
	return found
}

// volume returns the volume of that name, or nil.
func (s *State) volume(name string) *volume.Volume {
	for _, v := range s.Volumes {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// reading explains the failure of a list call.
func (e *Engine) reading(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || client.IsErrConnectionFailed(err) {
		return e.unreachable(ctx, err)
	}
	return fmt.Errorf("listing %s: %w", what, err)
}
