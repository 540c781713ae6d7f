package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/network"

	"galley/compose"
)

// planNetworks creates the networks that are missing and makes anew those whose definition changed.
func (d *differ) planNetworks(services []*compose.Service) {
	for _, n := range d.want.Networks {
		if !slices.ContainsFunc(services, func(s *compose.Service) bool { return attaches(s, n.Name) }) {
			continue
		}
		found := d.have.network(n.Name)
		switch {
		case len(found) > 1:
			d.fail("there are %d networks named %q on this engine: remove all but one", len(found), n.Name)
		case n.External && len(found) == 0:
			d.fail("network %q is external and does not exist: create it with `docker network create %s`", n.Name, n.Name)
		case n.External:
		case len(found) == 0:
			d.networks[n.Name] = d.add(createNetwork{n}, "missing")
		case found[0].Labels[compose.LabelProject] != d.want.Name:
			d.warn("network %s was not made for project %s and is used as it is; `external: true` says so", n.Name, d.want.Name)
		case d.networkChanged(n, found[0]):
			d.remakeNetwork(n, found[0])
		}
	}
}

// attaches tells whether a service, or a container of its pre_start, is on a network of the Engine's name.
func attaches(s *compose.Service, name string) bool {
	on := func(e compose.Endpoint) bool { return e.Name == name }
	return slices.ContainsFunc(s.Endpoints, on) ||
		slices.ContainsFunc(s.PreStart, func(init compose.Init) bool { return slices.ContainsFunc(init.Endpoints, on) })
}

// networkChanged compares by hash; what is put back does well with the network as it is. What docker compose made has none: it is kept as long as nothing speaks against it.
func (d *differ) networkChanged(want *compose.Network, have network.Summary) bool {
	if hash := have.Labels[compose.LabelHash]; hash != "" || d.opts.restore != nil {
		return hash != want.Hash && d.opts.restore == nil
	}
	driver := want.Create.Driver
	return driver != "" && driver != have.Driver || want.Create.Internal != have.Internal
}

// remakeNetwork stops the network's users, detaches them, and makes the network anew. The users are attached again, with
// their whole endpoints, by the steps of their services.
func (d *differ) remakeNetwork(want *compose.Network, have network.Summary) {
	const why = "network definition changed"
	var detached []*node
	for _, c := range d.have.Containers {
		if c.Summary.NetworkSettings == nil || c.Summary.NetworkSettings.Networks[have.Name] == nil {
			continue
		}
		stop := d.stop(c, why)
		detached = append(detached, d.add(disconnectNetwork{subject{c.ref(), c.Service}, have.ID, nil}, why, stop))
	}
	removed := d.add(removeNetwork{have.Name, have.ID}, why, detached...)
	d.networks[want.Name] = d.add(createNetwork{want}, why, removed)
	d.remade[want.Name] = true
}

// bindSource and bindTarget read an entry of HostConfig.Binds: source:target[:options].
func bindSource(bind string) string {
	source, _, _ := strings.Cut(bind, ":")
	return source
}

func bindTarget(bind string) string {
	parts := strings.SplitN(bind, ":", 3)
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// planOrphans removes, or warns about, containers of the project that the recipe does not know.
func (d *differ) planOrphans() {
	var orphans []*Container
	for _, c := range d.have.Containers {
		if !c.OneOff && !d.want.Knows(c.Service) {
			orphans = append(orphans, c)
		}
	}
	if !d.opts.RemoveOrphans {
		for _, c := range orphans {
			d.warn("container %s is an orphan: the recipe has no service %q; --remove-orphans removes it", c.Name, c.Service)
		}
		return
	}
	d.takeDown(orphans, "orphan", true)
}

// planOrphanNetworks removes the project's networks that the recipe does not know, after the containers that were on them.
func (d *differ) planOrphanNetworks() {
	if d.opts.RemoveOrphans {
		d.removeNetworks("orphan", func(n network.Summary) bool {
			return !slices.ContainsFunc(d.want.Networks, func(w *compose.Network) bool { return w.Name == n.Name })
		})
	}
}

// removeNetworks removes the project's networks that which chooses, after the containers that go.
func (d *differ) removeNetworks(why string, which func(network.Summary) bool) {
	for _, n := range d.have.Networks {
		if n.Labels[compose.LabelProject] != d.want.Name || !which(n) {
			continue
		}
		removal := d.add(removeNetwork{n.Name, n.ID}, why, d.leaves[n.Name]...)
		for _, c := range d.have.Containers {
			if c.Summary.NetworkSettings != nil && c.Summary.NetworkSettings.Networks[n.Name] != nil {
				removal.need(d.removals[c.ID])
			}
		}
	}
}

// down takes the project away, dependents first.
func (d *differ) down() {
	containers := d.have.Containers
	if len(d.opts.Services) > 0 {
		containers = slices.DeleteFunc(slices.Clone(containers), func(c *Container) bool {
			return !slices.Contains(d.opts.Services, c.Service)
		})
	}
	const why = "not wanted"
	d.takeDown(containers, why, !d.opts.Down.StopOnly)
	if !d.opts.Down.StopOnly {
		d.dropFiles()
	}
	if d.opts.Down.StopOnly || len(d.opts.Services) > 0 {
		return
	}
	d.removeNetworks(why, func(network.Summary) bool { return true })
	d.removeVolumes()
	d.removeImages()
}

// takeDown stops containers, each after those that depend on it, and removes them.
func (d *differ) takeDown(containers []*Container, why string, remove bool) {
	order := teardownOrder(containers)
	for at, c := range order {
		stop := d.stop(c, why)
		for _, dependent := range order[:at] {
			if stop != nil && dependsOn(dependent, c.Service) {
				stop.need(d.stops[dependent.ID])
			}
		}
		if remove {
			d.remove(c, stop, why)
		}
	}
}

func dependsOn(c *Container, service string) bool {
	return slices.ContainsFunc(c.Needs, func(n compose.Need) bool { return n.Service == service })
}

// teardownOrder puts dependents before what they depend on, by their labels. Labels of different ages may even contradict
// each other: a cycle is cut where it is met.
func teardownOrder(containers []*Container) []*Container {
	var order []*Container
	state := map[*Container]bool{}
	var visit func(c *Container)
	visit = func(c *Container) {
		if state[c] {
			return
		}
		state[c] = true
		for _, other := range containers {
			if other.Service != c.Service && dependsOn(other, c.Service) {
				visit(other)
			}
		}
		order = append(order, c)
	}
	for _, c := range containers {
		visit(c)
	}
	return order
}

// removeVolumes removes the project's named volumes and the anonymous ones of its containers, as `down -v` asks.
func (d *differ) removeVolumes() {
	if !d.opts.Down.Volumes {
		return
	}
	names := map[string]bool{}
	for _, v := range d.have.Volumes {
		if v.Labels[compose.LabelProject] == d.want.Name {
			names[v.Name] = true
		}
	}
	for _, c := range d.have.Containers {
		for _, m := range anonymousMounts(c) {
			names[m.Name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d.afterContainers(d.add(removeVolume{name}, "--volumes"))
	}
}

// removeImages removes the images that the project's containers use ("all"), or those made for it ("local").
func (d *differ) removeImages() {
	refs := map[string]bool{}
	switch d.opts.Down.Images {
	case "all":
		for _, c := range d.have.Containers {
			refs[c.Summary.Image] = true
		}
	case "local":
		for _, img := range d.have.Images {
			if img.Labels[compose.LabelProject] == d.want.Name && len(img.RepoTags) > 0 {
				refs[img.RepoTags[0]] = true
			}
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(refs)) {
		d.afterContainers(d.add(removeImage{ref}, fmt.Sprintf("--rmi %s", d.opts.Down.Images)))
	}
}

// afterContainers lets a removal wait for those of the containers.
func (d *differ) afterContainers(n *node) {
	for _, c := range d.have.Containers {
		n.need(d.removals[c.ID])
	}
}
