package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/network"

	"galley/compose"
)

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
	switch {
	case d.opts.RemoveOrphans:
		d.takeDown(orphans, "orphan", true)
	case !d.opts.IgnoreOrphans:
		for _, c := range orphans {
			d.warn("container %s is an orphan: the recipe has no service %q; --remove-orphans removes it", c.Name, c.Service)
		}
	}
}

// planOrphanNetworks removes the project's networks that the recipe does not know, after the containers that were on them.
// One on which a container stays that this plan leaves alone, as that of a service that a profile switches off, stays too.
func (d *differ) planOrphanNetworks() {
	if !d.opts.RemoveOrphans {
		return
	}
	stays := func(c *Container) bool { return d.removals[c.ID] == nil && (c.OneOff || d.services[c.Service] == nil) }
	d.removeNetworks("orphan", func(n network.Summary) bool {
		if d.want.NetworkNamed(n.Name) != nil || slices.ContainsFunc(d.onNetwork(n.Name), stays) {
			return false
		}
		for _, guest := range d.have.Guests[n.ID] {
			d.warn("network %s is an orphan, but container %s of another project is on it: it is left", n.Name, guest)
		}
		return len(d.have.Guests[n.ID]) == 0
	})
}

// removeNetworks removes the project's networks that which chooses, after the containers that go.
func (d *differ) removeNetworks(why string, which func(network.Summary) bool) {
	for _, n := range d.have.Networks {
		if n.Labels[compose.LabelProject] != d.want.Name || !which(n) {
			continue
		}
		removal := d.add(removeNetwork{name: n.Name, id: n.ID, spare: true}, why, d.leaves[n.Name]...)
		for _, c := range d.have.Containers {
			if isOn(c, n.Name) {
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
