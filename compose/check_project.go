package compose

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
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

// published is one fixed port of the host.
type published struct {
	service, ip, protocol string
	port                  int
}

// ports reports host ports that two containers would take. A range of host ports for one container port is the
// Engine's to choose from, and conflicts with nothing that can be known here.
func (c *checker) ports() {
	var taken []published
	for _, name := range c.project.ServiceNames() {
		s := c.project.Services[name]
		if s.NetworkMode == "host" || s.GetScale() == 0 {
			continue // host mode publishes nothing
		}
		for i, port := range s.Ports {
			number, err := strconv.Atoi(port.Published)
			if err != nil || number == 0 {
				continue
			}
			path := fmt.Sprintf("services.%s.ports[%d]", name, i)
			p := published{service: name, ip: port.HostIP, protocol: port.Protocol, port: number}
			c.port(p, taken, path)
			if s.GetScale() > 1 {
				c.add(Error, "port-and-replicas", path,
					fmt.Sprintf("service %q has %d replicas, but only one can publish host port %d", name, s.GetScale(), number),
					"publish a range, or leave the host port out")
			}
			taken = append(taken, p)
		}
	}
}

func (c *checker) port(p published, taken []published, path string) {
	for _, other := range taken {
		if other.port == p.port && other.protocol == p.protocol && overlap(p.ip, other.ip) {
			c.add(Error, "port-conflict", path,
				fmt.Sprintf("host port %d/%s is already published by service %q", p.port, p.protocol, other.service), "")
			return
		}
	}
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

// containerNames reports names that two services give to their containers.
func (c *checker) containerNames() {
	owner := map[string]string{}
	for _, name := range c.project.ServiceNames() {
		s := c.project.Services[name]
		if s.ContainerName == "" {
			continue
		}
		if other, taken := owner[s.ContainerName]; taken {
			c.add(Error, "duplicate-container-name", "services."+name+".container_name",
				fmt.Sprintf("the container name %q is already that of service %q", s.ContainerName, other), "")
			continue
		}
		owner[s.ContainerName] = name
	}
}
