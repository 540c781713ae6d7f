package enginetest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"
)

// portTable is which host port belongs to whom, by protocol, address and port; nil is another program.
type portTable map[hostPort]*ctr

type hostPort struct {
	proto, ip string
	port      int
}

func (t portTable) release(c *ctr) {
	maps.DeleteFunc(t, func(_ hostPort, owner *ctr) bool { return owner == c })
	c.published = nil
}

// taken says who stands in the way of a port: the same one, or one whose address covers it.
func (t portTable) taken(p hostPort) (same, covered bool) {
	for other, owner := range t {
		if other.proto != p.proto || other.port != p.port {
			continue
		}
		if other.ip == p.ip && owner != nil {
			return true, true
		}
		if family(other.ip) == family(p.ip) && (isAny(other.ip) || isAny(p.ip)) {
			covered = true
		}
	}
	return false, covered
}

func isAny(ip string) bool { return ip == "0.0.0.0" || ip == "::" }

func family(ip string) int {
	if strings.Contains(ip, ":") {
		return 6
	}
	return 4
}

// ephemeral is where dockerd begins to look for a host port that nobody named.
const ephemeral = 32768

// publish binds the host ports of a container that starts. As in dockerd only exposed ports are published.
func (e *Engine) publish(c *ctr) error {
	c.published = nat.PortMap{}
	bridged := !c.host.NetworkMode.IsHost() && !c.host.NetworkMode.IsContainer() && !c.host.NetworkMode.IsNone()
	if !bridged || !slices.ContainsFunc(slices.Collect(maps.Values(c.endpoints)), func(ep *endpoint) bool { return ep.net != nil && !ep.net.Internal }) {
		return nil
	}
	exposed := slices.SortedFunc(maps.Keys(c.config.ExposedPorts), func(a, b nat.Port) int { return a.Int() - b.Int() })
	for _, port := range exposed {
		c.published[port] = nil
		bindings := c.host.PortBindings[port]
		if len(bindings) == 0 && c.host.PublishAllPorts {
			bindings = []nat.PortBinding{{}}
		}
		for _, b := range bindings {
			bound, err := e.bind(c, port, b)
			if err != nil {
				e.detach(c)
				return err
			}
			c.published[port] = append(c.published[port], bound...)
		}
	}
	return nil
}

// bind takes one binding's host port: on the address named, or on all addresses of both families.
func (e *Engine) bind(c *ctr, port nat.Port, b nat.PortBinding) ([]nat.PortBinding, error) {
	ips := []string{b.HostIP}
	if b.HostIP == "" {
		ips = []string{"0.0.0.0", "::"}
	}
	first, last, err := nat.ParsePortRange(b.HostPort)
	if b.HostPort == "" || b.HostPort == "0" {
		first, last, err = ephemeral, 60999, nil
	}
	if err != nil {
		return nil, fail(http.StatusInternalServerError, "Error parsing HostPort value(%s):%v", b.HostPort, err)
	}
	var covered bool
	for n := int(first); n <= int(last); n++ {
		free := true
		for _, ip := range ips {
			var same bool
			same, covered = e.ports.taken(hostPort{port.Proto(), ip, n})
			if same || covered {
				covered = covered && !same
				free = false
				break
			}
		}
		if !free {
			continue
		}
		var bound []nat.PortBinding
		for _, ip := range ips {
			e.ports[hostPort{port.Proto(), ip, n}] = c
			bound = append(bound, nat.PortBinding{HostIP: ip, HostPort: strconv.Itoa(n)})
		}
		return bound, nil
	}
	return nil, e.portRefused(c, port, ips[0], int(first), covered)
}

func (e *Engine) portRefused(c *ctr, port nat.Port, ip string, number int, covered bool) error {
	endpointID := newID()
	for _, ep := range c.endpoints {
		if ep.settings.EndpointID != "" {
			endpointID = ep.settings.EndpointID
		}
	}
	why := fmt.Sprintf("Bind for %s:%d failed: port is already allocated", ip, number)
	if covered {
		listen := fmt.Sprintf("listen %s4 %s:%d: bind: address already in use", port.Proto(), ip, number)
		why = e.words("Error starting userland proxy: ", "failed to bind host port for "+fmt.Sprintf("%s:%d", ip, number)+": ") + listen
	}
	return fail(http.StatusInternalServerError, "driver failed programming external connectivity on endpoint %s (%s): %s", c.name, endpointID, why)
}

// OccupyPort lets another program of the machine hold a TCP port on all addresses.
func (e *Engine) OccupyPort(port int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ip := range []string{"0.0.0.0", "::"} {
		e.ports[hostPort{"tcp", ip, port}] = nil
	}
}

// portList is what a list tells of a container's ports.
func (c *ctr) portList() []container.Port {
	ports := []container.Port{}
	for port, bindings := range c.published {
		private := container.Port{PrivatePort: uint16(port.Int()), Type: port.Proto()}
		if len(bindings) == 0 {
			ports = append(ports, private)
		}
		for _, b := range bindings {
			public := private
			n, _ := strconv.Atoi(b.HostPort) // it was written by bind
			public.IP, public.PublicPort = b.HostIP, uint16(n)
			ports = append(ports, public)
		}
	}
	slices.SortFunc(ports, func(a, b container.Port) int {
		if a.PrivatePort != b.PrivatePort {
			return int(a.PrivatePort) - int(b.PrivatePort)
		}
		return strings.Compare(a.Type+a.IP, b.Type+b.IP)
	})
	return ports
}
