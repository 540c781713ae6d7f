package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"galley/compose"
)

// adjust changes on a kept container what the Engine changes without a stop, and mends its attachments. It returns what
// must be done before a start. What is put back keeps the settings that it had.
func (d *differ) adjust(p *servicePlan, r *replica) []*node {
	c := r.keep
	want := wantedSettings(d.want, p.spec, r.number)
	var nodes []*node
	if c.Settings != nil && d.opts.restore == nil {
		if update := d.update(p, c, want); update != nil {
			nodes = append(nodes, update)
		}
		nodes = append(nodes, d.detach(p, c, want)...)
	}
	return append(nodes, d.reconnect(p, r, want)...)
}

// record has the Engine write down a container of which it lists what was before: each change of a container, also one of
// nothing, has it written down as a whole (moby daemon/update.go).
func (d *differ) record(p *servicePlan, r *replica) []*node {
	if !r.keep.Misrecorded {
		return nil
	}
	why := fmt.Sprintf("it is %s, and the engine lists it as %s", r.keep.Phase, r.keep.Summary.State)
	return []*node{d.add(updateContainer{subject: subject{r.ref, p.spec.Name}}, why)}
}

// update changes restart policy and limits, as far as that is possible.
func (d *differ) update(p *servicePlan, c *Container, want Settings) *node {
	names := differing(c.Settings, want)
	stuck := unchangeable(c.Settings, want)
	names = slices.DeleteFunc(names, func(name string) bool {
		return isAttachment(name) || slices.Contains(stuck, name)
	})
	if len(names) == 0 {
		return nil
	}
	return d.add(updateContainer{
		subject: subject{c.ref(), p.spec.Name},
		change:  updateOf(&p.spec.Host, names),
		want:    want,
		lowers:  slices.Contains(names, "mem_limit") && c.Settings["mem_limit"] != "" && c.Running(),
	}, d.differences(p.spec, names, c.Settings, want), d.pulled()...)
}

// updateOf is the call that gives a container the settings of these names. The Engine leaves alone what is zero; some of
// what is to be unset has a value that says so.
func updateOf(host *container.HostConfig, names []string) container.UpdateConfig {
	var change container.UpdateConfig
	for _, name := range names {
		switch name {
		case "restart":
			change.RestartPolicy = host.RestartPolicy
			if host.RestartPolicy.IsNone() {
				change.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyDisabled}
			}
		case "mem_limit", "memswap_limit": // refused unless they are given together
			change.Memory, change.MemorySwap = host.Memory, swapOf(host.Resources)
		case "mem_reservation":
			change.MemoryReservation = host.MemoryReservation
		case "cpus":
			change.NanoCPUs = host.NanoCPUs
		case "cpu_shares":
			change.CPUShares = or(host.CPUShares, defaultShares)
		case "cpu_period":
			change.CPUPeriod = or(host.CPUPeriod, defaultPeriod)
		case "cpu_quota":
			change.CPUQuota = or(host.CPUQuota, -1)
		case "cpuset":
			change.CpusetCpus = host.CpusetCpus
		case "pids_limit":
			unlimited := int64(-1)
			if change.PidsLimit = host.PidsLimit; change.PidsLimit == nil {
				change.PidsLimit = &unlimited
			}
		}
	}
	return change
}

// or is n, or otherwise where n is not set.
func or(n, otherwise int64) int64 {
	if n <= 0 {
		return otherwise
	}
	return n
}

// unchangeable are the settings that differ and that the Engine can't change on a container: for some it has no value that
// takes a limit back, and it doesn't change between the two ways of limiting CPU time.
// Source: moby container/container_unix.go, UpdateContainer.
func unchangeable(have, want Settings) []string {
	var names []string
	for _, name := range []string{"mem_limit", "mem_reservation", "cpus", "cpuset"} {
		if have[name] != "" && want[name] == "" {
			names = append(names, name)
		}
	}
	cpus := func(s Settings) bool { return s["cpus"] != "" }
	quota := func(s Settings) bool { return s["cpu_quota"] != "" || s["cpu_period"] != "" }
	if cpus(have) && quota(want) || quota(have) && cpus(want) {
		names = append(names, "cpus", "cpu_period", "cpu_quota")
	}
	if slices.Contains(names, "mem_limit") {
		names = append(names, "memswap_limit")
	}
	return names
}

// mustMove tells why a container that is as wanted but for what changes in place must be replaced nevertheless.
func (d *differ) mustMove(s *compose.Service, c *Container) string {
	if why := d.opts.refused[c.ID]; why != "" {
		return why
	}
	// Engines 26.1 and 28.5 start a container only while the network that it was created for exists, attached or not.
	created := c.Summary.HostConfig.NetworkMode
	if len(s.Endpoints) > 0 && created != "" && !slices.ContainsFunc(s.Endpoints, func(e compose.Endpoint) bool { return e.Name == created }) {
		return fmt.Sprintf("no longer on %s, which it was created for", d.attribute(attachment(created)))
	}
	if c.Settings == nil {
		return ""
	}
	want := wantedSettings(d.want, s, c.Number)
	if len(unchangeable(c.Settings, want)) == 0 {
		return ""
	}
	return d.differences(s, differing(c.Settings, want), c.Settings, want)
}

// detach takes a container off networks that its service is no longer on: those of the project, and those that the recipe
// once put it on. What somebody attached by hand to a network of his own stays.
func (d *differ) detach(p *servicePlan, c *Container, want Settings) []*node {
	if len(p.spec.Endpoints) == 0 || c.Summary.NetworkSettings == nil {
		return nil
	}
	var nodes []*node
	for _, name := range slices.Sorted(maps.Keys(c.Summary.NetworkSettings.Networks)) {
		if _, wanted := want[attachment(name)]; wanted || d.remade[name] {
			continue
		}
		if c.Settings[attachment(name)] == "" && !d.ownNetwork(name) {
			continue
		}
		nodes = append(nodes, d.leave(p, c, name, "no longer on this network", want))
	}
	return nodes
}

// ownNetwork tells whether a network is the project's.
func (d *differ) ownNetwork(name string) bool {
	return slices.ContainsFunc(d.have.network(name), func(n network.Summary) bool {
		return n.Labels[compose.LabelProject] == d.want.Name
	})
}

// leave detaches an observed container from a network.
func (d *differ) leave(p *servicePlan, c *Container, name, why string, want Settings) *node {
	n := d.add(disconnectNetwork{subject{c.ref(), p.spec.Name}, name, want}, why, d.pulled()...)
	d.leaves[name] = append(d.leaves[name], n)
	return n
}

// reconnect attaches a kept container to the networks that it is not on, made anew or disconnected by hand, and exchanges
// the endpoints that are not as wanted.
func (d *differ) reconnect(p *servicePlan, r *replica, want Settings) []*node {
	var nodes []*node
	for _, e := range p.spec.Endpoints {
		name := attachment(e.Name)
		switch {
		case d.remade[e.Name]:
			nodes = append(nodes, d.connect(p, r, e, "the network was made anew", want))
		case !d.attached(r.keep, e.Name):
			why := "not attached"
			if r.keep.Settings != nil && r.keep.Settings[name] == "" {
				why = d.differences(p.spec, []string{name}, nil, want)
			}
			nodes = append(nodes, d.connect(p, r, e, why, want, d.pulled()...))
		case r.keep.Settings != nil && r.keep.Settings[name] != want[name] && d.opts.restore == nil:
			why := d.differences(p.spec, []string{name}, r.keep.Settings, want)
			left := d.leave(p, r.keep, e.Name, why, want)
			joined := d.connect(p, r, e, why, want, left)
			joined.urgent = true
			nodes = append(nodes, joined)
		}
	}
	return nodes
}

// orderByAddresses lets an attachment with a fixed address wait for those that leave the network: two may swap.
func (d *differ) orderByAddresses() {
	for _, n := range d.nodes {
		if a, ok := n.action.(connectNetwork); ok && a.settings.IPAMConfig != nil {
			n.need(d.leaves[a.network]...)
		}
	}
}

// differences puts into words what differs between the settings of a container and those wanted.
func (d *differ) differences(s *compose.Service, names []string, have, want Settings) string {
	var words []string
	for _, name := range names {
		if name == "memswap_limit" && s.Host.MemorySwap == 0 && slices.Contains(names, "mem_limit") {
			continue // it follows
		}
		had, wanted := either(have[name], "none"), either(want[name], "none")
		words = append(words, fmt.Sprintf("%s %s → %s", d.attribute(name), had, wanted))
	}
	return strings.Join(words, ", ")
}

// attribute is the recipe's name of a setting.
func (d *differ) attribute(name string) string {
	for _, n := range d.want.Networks {
		if name == attachment(n.Name) {
			return attachment(n.Key)
		}
	}
	for _, n := range d.have.Networks { // one that the recipe no longer has
		if key := n.Labels[compose.LabelNetwork]; name == attachment(n.Name) && key != "" && n.Labels[compose.LabelProject] == d.want.Name {
			return attachment(key)
		}
	}
	return name
}

func isAttachment(name string) bool { return strings.HasPrefix(name, attachment("")) }

// either is a, or b where a is empty.
func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// pulled are the steps that pull images: nothing that runs is touched before every image is there.
func (d *differ) pulled() []*node {
	var pulls []*node
	for _, n := range d.nodes {
		if _, ok := n.action.(pullImage); ok {
			pulls = append(pulls, n)
		}
	}
	return pulls
}
