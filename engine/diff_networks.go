package engine

import (
	"context"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"

	"galley/compose"
)

// planNetworks creates the networks that are missing and makes anew those whose definition changed. An external one may have
// several keys in the recipe.
func (d *differ) planNetworks(services []*compose.Service) {
	seen := map[string]bool{}
	for _, n := range d.want.Networks {
		if seen[n.Name] {
			continue
		}
		seen[n.Name] = true
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

// networkChanged compares by hash; what is put back, or was, does well with the network as it is. What docker compose made
// has none: it is kept as long as nothing speaks against it.
func (d *differ) networkChanged(want *compose.Network, have network.Summary) bool {
	if d.opts.restore != nil || slices.ContainsFunc(d.onNetwork(have.Name), func(c *Container) bool { return d.opts.keep[c.Service][c.ID] }) {
		return false
	}
	if hash := have.Labels[compose.LabelHash]; hash != "" {
		return hash != want.Hash
	}
	driver := want.Create.Driver
	return driver != "" && driver != have.Driver || want.Create.Internal != have.Internal
}

// onNetwork are the project's containers that are attached to a network of the Engine's name, running or not.
func (d *differ) onNetwork(name string) []*Container {
	return slices.DeleteFunc(slices.Clone(d.have.Containers), func(c *Container) bool { return !isOn(c, name) })
}

func isOn(c *Container, network string) bool {
	return c.Summary.NetworkSettings != nil && c.Summary.NetworkSettings.Networks[network] != nil
}

// remakeNetwork stops the network's users, detaches them, and makes the network anew. The users are attached again, with
// their whole endpoints, by the steps of their services, or by [differ.planBystanders].
func (d *differ) remakeNetwork(want *compose.Network, have network.Summary) {
	why := networkReason(want.Create, have)
	for _, guest := range d.have.Guests[have.ID] {
		d.fail("network %q is made anew, but container %s of another project is on it: take it off first, with `docker network disconnect %s %s`",
			want.Name, guest, want.Name, guest)
	}
	var detached []*node
	for _, c := range d.onNetwork(have.Name) {
		if c.Running() && d.removals[c.ID] == nil && !d.comesBack(c, want.Name) {
			d.fail("network %q is made anew, but container %s is on it, which this plan would not start again: remove that one first", want.Name, c.Name)
		}
		stop := d.stop(c, why)
		detached = append(detached, d.add(disconnectNetwork{subject{c.ref(), c.Service}, have.ID, nil}, why, stop))
	}
	removed := d.add(removeNetwork{name: have.Name, id: have.ID}, why, detached...)
	d.networks[want.Name] = d.add(createNetwork{want}, why, removed)
	d.remade[want.Name] = true
	d.before = append(d.before, have)
}

// comesBack tells whether a container that is stopped for a network of the Engine's name is started again.
func (d *differ) comesBack(c *Container, network string) bool {
	s := d.want.Service(c.Service)
	return !c.OneOff && s != nil && !d.opts.NoStart && (d.services[c.Service] != nil || attaches(s, network))
}

// planBystanders attaches containers again that lost a network although this plan leaves out their services, and starts
// those that ran.
func (d *differ) planBystanders() {
	for _, c := range d.have.Containers {
		s := d.want.Service(c.Service)
		if s == nil || c.OneOff || d.services[c.Service] != nil || d.removals[c.ID] != nil {
			continue
		}
		p, r := &servicePlan{spec: s}, &replica{number: c.Number, keep: c, ref: c.ref()}
		var joined []*node
		for _, e := range s.Endpoints {
			if d.remade[e.Name] && isOn(c, e.Name) {
				joined = append(joined, d.connect(p, r, e, "the network was made anew", nil))
			}
		}
		if stop := d.stops[c.ID]; stop != nil && len(joined) > 0 {
			d.rememberOld(p, r)
			d.start(p, r, d.whyStart(c), gates{}, []*node{stop}, joined...)
		}
	}
}

// findGuests fills in [State.Guests], of the networks that are made anew or removed as orphans.
func (e *Engine) findGuests(ctx context.Context, want *compose.Project, have *State, opts DiffOptions) error {
	if opts.Down != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	d := newDiffer(want, have, opts)
	guests := map[string][]string{}
	for _, n := range have.Networks {
		if n.Labels[compose.LabelProject] != want.Name || !d.goes(n) {
			continue
		}
		inspected, err := e.api.NetworkInspect(ctx, n.ID, network.InspectOptions{})
		if errdefs.IsNotFound(err) {
			continue // it went between the list and this
		}
		if err != nil {
			return e.reading(ctx, "network "+n.Name, err)
		}
		for id, endpoint := range inspected.Containers {
			if !slices.ContainsFunc(have.Containers, func(c *Container) bool { return c.ID == id }) {
				guests[n.ID] = append(guests[n.ID], endpoint.Name)
			}
		}
		slices.Sort(guests[n.ID])
	}
	have.Guests = guests
	return nil
}

// goes tells whether a network of the project is made anew, or removed as an orphan.
func (d *differ) goes(have network.Summary) bool {
	want := d.want.NetworkNamed(have.Name)
	if want == nil {
		return d.opts.RemoveOrphans
	}
	return !want.External && d.networkChanged(want, have)
}

// asBefore is a project whose networks have the definitions that those have which a plan makes anew.
func asBefore(p *compose.Project, before []network.Summary, api string) *compose.Project {
	other := *p
	other.Networks = slices.Clone(p.Networks)
	for i, n := range other.Networks {
		for _, had := range before {
			if had.Name == n.Name {
				earlier := *n
				earlier.Create = definitionOf(had, api)
				other.Networks[i] = &earlier
			}
		}
	}
	return &other
}

// definitionOf is what a network like an observed one is created from. Its labels say which recipe's it is.
func definitionOf(n network.Summary, api string) network.CreateOptions {
	options := network.CreateOptions{
		Driver: n.Driver, EnableIPv6: &n.EnableIPv6, IPAM: &n.IPAM, Internal: n.Internal, Attachable: n.Attachable,
		Ingress: n.Ingress, ConfigOnly: n.ConfigOnly, Options: n.Options, Labels: n.Labels,
	}
	if !versions.LessThan(api, "1.48") { // older Engines don't tell
		options.EnableIPv4 = &n.EnableIPv4
	}
	if n.ConfigFrom.Network != "" { // the ranges are that one's
		options.ConfigFrom, options.IPAM = &n.ConfigFrom, nil
	}
	return options
}
