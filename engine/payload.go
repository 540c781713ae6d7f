package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"galley/compose"
)

// labelParents records whose namespaces a container shares: "db=<id>,…". A parent with another id was replaced.
const labelParents = "io.galley.parents"

// labelReplaces is the id of the container whose place this one takes: those that depend on its service with `restart: true`
// are to be restarted after it.
const labelReplaces = "io.galley.replaces"

// body is what POST /containers/create takes.
type body struct {
	config   *container.Config
	host     *container.HostConfig
	network  *network.NetworkingConfig
	platform *ocispec.Platform
}

// payload completes the service's payload with what differs from replica to replica and from Engine to Engine.
func (a createContainer) payload(ctx context.Context, r *run) (*body, error) {
	config, host := a.spec.Config, a.spec.Host
	config.Image = a.image
	parents := a.parentIDs(r)
	config.Labels = withLabels(config.Labels, a.labels(r, parents))
	a.joinParents(&host, parents)
	if a.init != nil {
		host.VolumesFrom = append(slices.Clone(host.VolumesFrom), r.id(a.init.replica))
	}
	a.inheritVolumes(&host)
	host.Mounts = append(host.Mounts, a.files...) // a list of our own by now
	for i := range host.Mounts {
		m := &host.Mounts[i]
		if m.Source == compose.APISocket {
			m.Source = r.socket()
		}
		if m.Type == mount.TypeImage {
			m.Source = cmp.Or(a.mounted[m.Source], m.Source)
		}
	}
	if a.spec.ClearCommand {
		if err := r.clearCommand(ctx, &config); err != nil {
			return nil, err
		}
	}
	b := &body{config: &config, host: &host, network: a.endpoints()}
	if len(a.spec.Endpoints) > 0 {
		host.NetworkMode = container.NetworkMode(a.spec.Endpoints[0].Name)
		if !a.connectAll {
			config.MacAddress = a.spec.Endpoints[0].Settings.MacAddress
		}
	}
	if a.spec.Platform != "" {
		b.platform = parsePlatform(a.spec.Platform)
	}
	return b, nil
}

// inheritVolumes has the anonymous volumes carried over mounted in place of new ones.
func (a createContainer) inheritVolumes(host *container.HostConfig) {
	host.Mounts = slices.DeleteFunc(slices.Clone(host.Mounts), func(m mount.Mount) bool {
		return a.inherit[m.Target] != ""
	})
	host.Binds = slices.Clone(host.Binds)
	for _, destination := range slices.Sorted(maps.Keys(a.inherit)) {
		host.Binds = append(host.Binds, a.inherit[destination]+":"+destination)
	}
}

// socket is the Engine's own on its machine; where it is reached from elsewhere, the usual one.
func (r *run) socket() string {
	if path, ok := strings.CutPrefix(r.Host, "unix://"); ok {
		return path
	}
	return "/var/run/docker.sock"
}

// labels are the identity of a replica.
func (a createContainer) labels(r *run, parents map[string]string) map[string]string {
	fields, _ := json.Marshal(a.spec.Fields) // a map of strings always marshals
	labels := map[string]string{
		compose.LabelProject:     a.project.Name,
		compose.LabelService:     a.spec.Name,
		compose.LabelNumber:      strconv.Itoa(a.number),
		compose.LabelOneOff:      "False",
		compose.LabelConfigHash:  a.spec.Hash,
		compose.LabelDependsOn:   formatNeeds(a.spec.Needs),
		compose.LabelWorkingDir:  a.project.WorkingDir,
		compose.LabelConfigFiles: strings.Join(a.project.Files, ","),
		compose.LabelVersion:     r.opts.Version,
		compose.LabelHash:        a.spec.Hash,
		compose.LabelFields:      string(fields),
	}
	if a.imageID != "" {
		labels[compose.LabelImage] = a.imageID
	}
	if a.replaces != "" {
		labels[labelReplaces] = a.replaces
	}
	if a.oneOff {
		labels[compose.LabelOneOff] = "True"
	}
	if a.init != nil {
		labels[compose.LabelOneOff], labels[labelInit] = "True", strconv.Itoa(a.init.place)
	}
	if len(a.forsaken) > 0 {
		labels[labelForsaken] = strings.Join(a.forsaken, ",")
	}
	for label, hooks := range map[string][]compose.Hook{compose.LabelPostStart: a.spec.PostStart, compose.LabelPreStop: a.spec.PreStop} {
		if len(hooks) > 0 {
			text, _ := json.Marshal(hooks) // plain data always marshals
			labels[label] = string(text)
		}
	}
	if len(parents) > 0 {
		labels[labelParents] = formatParents(parents)
	}
	return labels
}

// parentIDs resolves the containers behind service: references.
func (a createContainer) parentIDs(r *run) map[string]string {
	ids := map[string]string{}
	for service, parent := range a.parents {
		ids[service] = r.id(parent)
	}
	return ids
}

func formatParents(ids map[string]string) string {
	var entries []string
	for _, service := range slices.Sorted(maps.Keys(ids)) {
		entries = append(entries, service+"="+ids[service])
	}
	return strings.Join(entries, ",")
}

// joinParents writes the parents' ids in place of the references.
func (a createContainer) joinParents(host *container.HostConfig, ids map[string]string) {
	join := func(mode string) string {
		if service, ok := strings.CutPrefix(mode, compose.ServicePrefix); ok {
			return "container:" + ids[service]
		}
		return mode
	}
	host.NetworkMode = container.NetworkMode(join(string(host.NetworkMode)))
	host.IpcMode = container.IpcMode(join(string(host.IpcMode)))
	host.PidMode = container.PidMode(join(string(host.PidMode)))
	host.UTSMode = container.UTSMode(join(string(host.UTSMode)))
	host.Cgroup = container.CgroupSpec(join(string(host.Cgroup)))
	host.VolumesFrom, host.Links = joinList(host.VolumesFrom, ids), joinList(host.Links, ids)
}

// joinList puts the ids of services' containers into references that may go on after a colon: service:NAME:ro.
func joinList(references []string, ids map[string]string) []string {
	joined := slices.Clone(references)
	for i, reference := range joined {
		if rest, ok := strings.CutPrefix(reference, compose.ServicePrefix); ok {
			service, more, hasMore := strings.Cut(rest, ":")
			joined[i] = ids[service]
			if hasMore {
				joined[i] += ":" + more
			}
		}
	}
	return joined
}

// endpoints are the networks to attach at once.
func (a createContainer) endpoints() *network.NetworkingConfig {
	attach := a.spec.Endpoints
	if !a.connectAll && len(attach) > 1 {
		attach = attach[:1]
	}
	config := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{}}
	for _, endpoint := range attach {
		settings := endpoint.Settings
		if a.init == nil && !a.oneOff {
			settings = endpointSettings(endpoint, a.project.ContainerName(a.spec, a.number))
		}
		if !a.connectAll {
			settings.MacAddress = "" // stands in the container's own configuration
		}
		config.EndpointsConfig[endpoint.Name] = &settings
	}
	return config
}

// endpointSettings adds the container's own, lasting name to the aliases: a replacement is created under another one.
func endpointSettings(e compose.Endpoint, containerName string) network.EndpointSettings {
	settings := e.Settings
	settings.Aliases = append([]string{containerName}, settings.Aliases...)
	return settings
}

// clearCommand makes the Engine drop the image's CMD, which it does when an entrypoint is set: the image's own, here.
// Source: moby daemon/commit.go, merge.
func (r *run) clearCommand(ctx context.Context, config *container.Config) error {
	img, err := r.api.ImageInspect(ctx, config.Image)
	if err != nil {
		return r.explain(ctx, err)
	}
	if img.Config != nil { // without an entrypoint nothing would be left to run: the image's command is, as with docker compose
		config.Entrypoint = img.Config.Entrypoint
	}
	return nil
}

func parsePlatform(text string) *ocispec.Platform {
	parts := strings.SplitN(text, "/", 3)
	parts = append(parts, "", "")
	return &ocispec.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
}
