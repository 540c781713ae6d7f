package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docker/go-connections/nat"
)

// portUse says which host ports a step takes or frees.
type portUse struct {
	service string
	node    *node
	ports   []hostPort
}

// hostPort is one port of the host; ip is "" for every address.
type hostPort struct {
	ip, port, proto string
}

func (p hostPort) clashes(q hostPort) bool {
	return p.port == q.port && p.proto == q.proto && (p.ip == q.ip || p.ip == "" || q.ip == "")
}

// boundPorts are the fixed host ports of a service.
func boundPorts(bindings nat.PortMap) []hostPort {
	var ports []hostPort
	for target, binds := range bindings {
		for _, b := range binds {
			if b.HostPort != "" && b.HostPort != "0" && !strings.Contains(b.HostPort, "-") {
				ports = append(ports, hostPort{anyAddress(b.HostIP), b.HostPort, target.Proto()})
			}
		}
	}
	return ports
}

// publishedPorts are the host ports that a running container holds.
func publishedPorts(c *Container) []hostPort {
	var ports []hostPort
	for _, p := range c.Summary.Ports {
		if p.PublicPort != 0 {
			ports = append(ports, hostPort{anyAddress(p.IP), fmt.Sprint(p.PublicPort), p.Type})
		}
	}
	return ports
}

func anyAddress(ip string) string {
	if ip == "0.0.0.0" || ip == "::" {
		return ""
	}
	return ip
}

// usesPortRange tells whether the Engine is to pick a host port out of a range.
func usesPortRange(bindings nat.PortMap) bool {
	for _, binds := range bindings {
		if slices.ContainsFunc(binds, func(b nat.PortBinding) bool { return strings.Contains(b.HostPort, "-") }) {
			return true
		}
	}
	return false
}

// orderByPorts lets a start wait for the stop that frees its host port, where another service held it. Such a stop gives
// up waiting for its own service's gates: two services that swap ports would wait for each other.
func (d *differ) orderByPorts() {
	for _, taker := range d.starts {
		for _, holder := range d.frees {
			if taker.service != holder.service && overlap(taker.ports, holder.ports) {
				holder.node.needs = slices.DeleteFunc(holder.node.needs, waitsForOthers)
				taker.node.need(holder.node)
			}
		}
	}
}

func waitsForOthers(n *node) bool {
	switch n.action.Verb() {
	case VerbAwait, VerbStart, VerbRestart:
		return true
	}
	return false
}

func overlap(a, b []hostPort) bool {
	return slices.ContainsFunc(a, func(p hostPort) bool { return slices.ContainsFunc(b, p.clashes) })
}
