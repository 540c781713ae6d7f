package compose

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// cycles reports the cycles among the services' needs, each once and as the cycle it is.
func (c *checker) cycles() {
	const walking, done = 1, 2
	state := map[string]int{}
	var trail []string
	var visit func(name string)
	visit = func(name string) {
		state[name] = walking
		trail = append(trail, name)
		s := c.project.Services[name]
		for _, need := range sortedKeys(s.DependsOn) {
			if _, active := c.project.Services[need]; !active {
				continue
			}
			switch state[need] {
			case walking:
				cycle := append(slices.Clone(trail[slices.Index(trail, need):]), need)
				c.add(Error, "dependency-cycle", needPath(s, need), "services wait for each other: "+strings.Join(cycle, " -> "), "")
			case done:
			default:
				visit(need)
			}
		}
		trail = trail[:len(trail)-1]
		state[name] = done
	}
	for _, name := range c.project.ServiceNames() {
		if state[name] == 0 {
			visit(name)
		}
	}
}

// published is what one container takes of the host's ports: a fixed one, or one out of a range.
type published struct {
	service, ip, protocol string
	first, last           int
	path                  string
}

func (p published) fixed() bool { return p.first == p.last }

// maxConflicts is how many conflicts between the same two services are told of: two wide ranges clash in each of their ports.
const maxConflicts = 10

// ports reports host ports that two containers would take. Out of a range the Engine takes any that is free; a conflict
// is then that none is left.
func (c *checker) ports() {
	var ranges []published
	taken := takenPorts{}
	told := map[[2]string]int{}
	for _, p := range c.published() {
		if !p.fixed() {
			ranges = append(ranges, p)
			continue
		}
		other := c.blocking(taken, p, p.first)
		if other != nil {
			told[[2]string{p.service, other.service}]++
		}
		if other != nil && told[[2]string{p.service, other.service}] <= maxConflicts {
			c.add(Error, "port-conflict", p.path,
				fmt.Sprintf("host port %d/%s is already published by service %q", p.first, p.protocol, other.service), "")
		}
		taken[p.first] = append(taken[p.first], p)
	}
	// Those that must choose earliest choose first, and take the lowest port: so nobody is left out without need.
	slices.SortStableFunc(ranges, func(a, b published) int { return a.last - b.last })
	for _, p := range ranges {
		free := p.first
		for free <= p.last && c.blocking(taken, p, free) != nil {
			free++
		}
		if free > p.last {
			c.add(Error, "port-conflict", p.path,
				fmt.Sprintf("none of the host ports %d-%d/%s is left for service %q", p.first, p.last, p.protocol, p.service), "publish a larger range")
			continue
		}
		taken[free] = append(taken[free], p)
	}
}

// published lists what the services publish, each replica for itself. Replicas that fight for one fixed port are told of
// here, once for them all.
func (c *checker) published() []published {
	var all []published
	for _, name := range c.project.ServiceNames() {
		s := c.project.Services[name]
		if s.NetworkMode == "host" || s.NetworkMode == "none" || isShared(s.NetworkMode) || s.GetScale() == 0 {
			continue // these modes publish nothing
		}
		if c.unsure(name, "profiles", "network_mode", "deploy.replicas", "scale") {
			continue
		}
		for i, port := range s.Ports {
			first, last, err := portRange(port.Published)
			if err != nil || first == 0 {
				continue
			}
			p := published{name, port.HostIP, orElse(strings.ToLower(port.Protocol), "tcp"), first, last, item("services."+name+".ports", i)}
			switch replicas := s.GetScale(); {
			case p.fixed() && replicas > 1:
				c.add(Error, "port-and-replicas", p.path,
					fmt.Sprintf("service %q has %d replicas, but only one can publish host port %d", name, replicas, first),
					"publish a range, or leave the host port out")
				all = append(all, p)
			case last-first+1 < replicas:
				// lowering says so
			default:
				all = append(all, slices.Repeat([]published{p}, replicas)...)
			}
		}
	}
	return all
}

// takenPorts are the ports that are taken, by number.
type takenPorts map[int][]published

// blocking returns who has taken a port that another one wants too. A service that has completed before the other one
// starts has given it back.
func (c *checker) blocking(taken takenPorts, p published, port int) *published {
	for i, other := range taken[port] {
		if other.protocol == p.protocol && overlap(p.ip, other.ip) && !c.inTurn(other.service, p.service) {
			return &taken[port][i]
		}
	}
	return nil
}

// addresses reports fixed addresses that two containers would have on one network, or a container and the gateway.
func (c *checker) addresses() {
	owner := map[[2]string][]string{}
	for _, name := range c.project.ServiceNames() {
		s := c.project.Services[name]
		for _, key := range sortedKeys(s.Networks) {
			on := s.Networks[key]
			if on == nil || s.GetScale() != 1 || c.unsure(name, "profiles") {
				continue // of several replicas, lowering says so
			}
			for attribute, address := range map[string]string{"ipv4_address": on.Ipv4Address, "ipv6_address": on.Ipv6Address} {
				addr, err := netip.ParseAddr(address)
				if err != nil {
					continue
				}
				path := "services." + name + ".networks." + key + "." + attribute
				at := [2]string{key, addr.String()}
				other := slices.IndexFunc(owner[at], func(o string) bool { return !c.inTurn(o, name) })
				switch {
				case other >= 0:
					c.add(Error, "duplicate-address", path, fmt.Sprintf("%s on network %q is already the address of service %q", addr, key, owner[at][other]), "")
				case slices.Contains(gateways(c.project.Networks[key]), addr):
					c.add(Error, "duplicate-address", path, fmt.Sprintf("%s is the gateway of network %q", addr, key), "")
				}
				owner[at] = append(owner[at], name)
			}
		}
	}
}

// gateways are the addresses that a network's own end has by its definition.
func gateways(n types.NetworkConfig) []netip.Addr {
	var all []netip.Addr
	for _, pool := range n.Ipam.Config {
		if pool == nil {
			continue
		}
		if addr, err := netip.ParseAddr(pool.Gateway); err == nil {
			all = append(all, addr)
		}
	}
	return all
}

// inTurn tells whether one of two services starts only after the other one has completed, or may do so.
func (c *checker) inTurn(a, b string) bool {
	// An item of its list says no more than that the other one is started.
	unsure := func(service string) bool {
		return c.unsure(service) || slices.ContainsFunc(c.pruned, func(p string) bool {
			rest, within := strings.CutPrefix(p, "services."+service+".depends_on")
			return within && (rest == "" || rest[0] == '.')
		})
	}
	return unsure(a) || unsure(b) || c.completesBefore(a, b) || c.completesBefore(b, a)
}

// completesBefore tells whether a service starts only after another one has completed.
func (c *checker) completesBefore(first, then string) bool {
	seen := map[string]bool{}
	var waits func(name string) bool
	waits = func(name string) bool {
		if seen[name] {
			return false
		}
		seen[name] = true
		for on, need := range c.project.Services[name].DependsOn {
			if on == first && need.Condition == types.ServiceConditionCompletedSuccessfully || waits(on) {
				return true
			}
		}
		return false
	}
	return waits(then)
}

// overlap tells whether two host addresses take the same port from each other.
func overlap(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	switch {
	case a == "" || b == "" || a == b:
		return true
	case errX != nil || errY != nil || x.Is4() != y.Is4():
		return false
	default:
		return x == y || x.IsUnspecified() || y.IsUnspecified()
	}
}

// containerNames reports names that two services give to their containers: fixed ones, and those that are made of the
// service's name.
func (c *checker) containerNames(separator string) {
	owner := map[string]string{}
	for _, name := range c.project.ServiceNames() {
		s := c.project.Services[name]
		if s.ContainerName == "" || c.unsure(name, "profiles") {
			continue
		}
		other, taken := owner[s.ContainerName]
		if !taken {
			other, taken = c.ownerByRule(s.ContainerName, separator)
		}
		if taken {
			c.add(Error, "duplicate-container-name", "services."+name+".container_name",
				fmt.Sprintf("the container name %q is already that of service %q", s.ContainerName, other), "")
			continue
		}
		owner[s.ContainerName] = name
	}
}

// ownerByRule finds the service whose containers are called so if nothing else is said: PROJECT-SERVICE-NUMBER.
func (c *checker) ownerByRule(name, separator string) (service string, ok bool) {
	rest, ok := strings.CutPrefix(name, c.project.Name+separator)
	at := strings.LastIndex(rest, separator)
	if !ok || at < 0 {
		return "", false
	}
	number, err := strconv.Atoi(rest[at+len(separator):])
	s, active := c.project.Services[rest[:at]]
	return s.Name, active && err == nil && s.ContainerName == "" && number >= 1 && number <= s.GetScale()
}

// resourceNames reports networks, and volumes of several definitions, that have one name: the Engine has one of them, which
// each would have as it is defined itself. What no service uses is not made. docker compose refuses such networks, by their
// label, when it makes the second.
func (c *checker) resourceNames() {
	used, networks := usedBy(c.project.Services), map[string]string{}
	for _, key := range sortedKeys(c.project.Networks) {
		n := c.project.Networks[key]
		first, taken := networks[n.Name]
		switch {
		case !used["networks."+key]:
		case !taken:
			networks[n.Name] = key
		case !bool(n.External) || !bool(c.project.Networks[first].External):
			c.sameName("network", "networks.", key, n.Name, first)
		}
	}
	volumes := map[string]string{}
	for _, key := range sortedKeys(c.project.Volumes) {
		v := c.project.Volumes[key]
		first, taken := volumes[v.Name]
		switch {
		case !used["volumes."+key]:
		case !taken:
			volumes[v.Name] = key
		case !reflect.DeepEqual(v, c.project.Volumes[first]):
			c.sameName("volume", "volumes.", key, v.Name, first)
		}
	}
}

func (c *checker) sameName(kind, path, key, name, first string) {
	c.add(Error, "duplicate-name", path+key+".name", fmt.Sprintf("the name %q is already that of the %s %q", name, kind, first),
		fmt.Sprintf("give it another name, or let services use %q", first))
}
