package enginetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Snapshot is what an Engine has, by name, for a test to look at.
type Snapshot struct {
	Containers map[string]ContainerSnapshot
	// Networks are those that are not predefined.
	Networks map[string]NetworkSnapshot
	Volumes  map[string]VolumeSnapshot
	// Images are the tags, with the ids.
	Images map[string]string
}

// ContainerSnapshot is a container.
type ContainerSnapshot struct {
	ID, Image, Phase, Health string
	ExitCode, RestartCount   int
	Labels                   map[string]string
	Env, Command             []string
	// Networks are the aliases by network; Mounts the volume's name or the host's path by destination.
	Networks map[string][]string
	Mounts   map[string]string
	// Ports are "host port → container port/protocol" as "0.0.0.0:80->80/tcp", sorted.
	Ports []string
	// Log is what it wrote, line by line.
	Log []string
}

// NetworkSnapshot is a network.
type NetworkSnapshot struct {
	ID, Driver, Subnet string
	Internal           bool
	Labels             map[string]string
	// Containers are the names of those with a live endpoint.
	Containers []string
}

// VolumeSnapshot is a volume.
type VolumeSnapshot struct {
	Driver    string
	Anonymous bool
	Labels    map[string]string
	// Users are the names of the containers that mount it.
	Users []string
}

// Snapshot returns what the Engine has now.
func (e *Engine) Snapshot() Snapshot {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Snapshot{Containers: map[string]ContainerSnapshot{}, Networks: map[string]NetworkSnapshot{}, Volumes: map[string]VolumeSnapshot{}, Images: map[string]string{}}
	for _, c := range e.containers {
		s.Containers[c.name] = c.snapshot()
	}
	for _, n := range e.networks {
		if n.predefined {
			continue
		}
		shown := NetworkSnapshot{ID: n.ID, Driver: n.Driver, Internal: n.Internal, Labels: maps.Clone(n.Labels)}
		if len(n.subnets) > 0 {
			shown.Subnet = n.subnets[0].prefix.String()
		}
		for _, c := range e.attached(n) {
			shown.Containers = append(shown.Containers, c.name)
		}
		slices.Sort(shown.Containers)
		s.Networks[n.Name] = shown
	}
	for name, v := range e.volumes {
		shown := VolumeSnapshot{Driver: v.Driver, Anonymous: v.anonymous, Labels: maps.Clone(v.Labels)}
		for _, id := range e.users(name) {
			shown.Users = append(shown.Users, e.containers[id].name)
		}
		slices.Sort(shown.Users)
		s.Volumes[name] = shown
	}
	for id, m := range e.images {
		for _, tag := range m.tags {
			s.Images[tag] = id
		}
	}
	return s
}

func (c *ctr) snapshot() ContainerSnapshot {
	s := ContainerSnapshot{
		ID: c.id, Image: c.config.Image, Phase: c.phase(), ExitCode: c.exitCode, RestartCount: c.restartCount, Labels: maps.Clone(c.config.Labels),
		Env: slices.Clone(c.config.Env), Command: slices.Concat(c.config.Entrypoint, c.config.Cmd), Networks: map[string][]string{}, Mounts: map[string]string{},
	}
	if c.health != nil {
		s.Health = c.health.Status
	}
	for name, ep := range c.endpoints {
		s.Networks[name] = slices.Clone(ep.settings.Aliases)
	}
	for _, m := range c.mounts {
		s.Mounts[m.Destination] = m.Name
		if m.Name == "" {
			s.Mounts[m.Destination] = m.Source
		}
	}
	for port, bindings := range c.published {
		for _, b := range bindings {
			s.Ports = append(s.Ports, fmt.Sprintf("%s:%s->%s", b.HostIP, b.HostPort, port))
		}
	}
	slices.Sort(s.Ports)
	lines, _ := c.log.since(0)
	for _, l := range lines {
		s.Log = append(s.Log, strings.TrimSuffix(string(l.text), "\n"))
	}
	return s
}
