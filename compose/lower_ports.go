package compose

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/docker/go-connections/nat"
)

// ports lowers what the container listens on and where the host publishes it.
func (s *serviceLowering) ports() {
	c, h := &s.out.Config, &s.out.Host
	expose := func(port nat.Port) {
		if c.ExposedPorts == nil {
			c.ExposedPorts = nat.PortSet{}
		}
		c.ExposedPorts[port] = struct{}{}
	}
	for i, entry := range s.src.Expose {
		if host, port, mapped := strings.Cut(entry, ":"); mapped {
			s.warn(item("expose", i), codeIgnored, "publish it under ports", "expose publishes nothing: %s, the host's side of %q, is ignored", host, entry)
			entry = port
		}
		ports, err := exposed(entry)
		if err != nil { // Engines take any text, and do nothing with it
			s.warn(item("expose", i), codeIgnored, "write PORT, FIRST-LAST or PORT/udp", "expose entry %q is ignored: %s", entry, err)
		}
		for _, port := range ports {
			expose(port)
		}
	}
	for i, p := range s.src.Ports {
		protocol := orElse(strings.ToLower(p.Protocol), "tcp")
		if !s.checkPort(item("ports", i), p.Target, p.Published, p.HostIP, protocol) {
			continue
		}
		port := nat.Port(fmt.Sprintf("%d/%s", p.Target, protocol))
		expose(port)
		if h.PortBindings == nil {
			h.PortBindings = nat.PortMap{}
		}
		// Without a published port the Engine picks a free one.
		h.PortBindings[port] = append(h.PortBindings[port], nat.PortBinding{HostIP: p.HostIP, HostPort: p.Published})
	}
}

// checkPort tells whether a published port can be sent to the Engine.
func (s *serviceLowering) checkPort(attribute string, target uint32, published, hostIP, protocol string) bool {
	before := len(s.diagnostics)
	if target == 0 || target > 65535 {
		s.refuse(attribute, codeInvalid, "", "%d is no port", target)
	}
	if !isProtocol(protocol) {
		s.refuse(attribute, codeInvalid, nearest(protocol, "tcp udp sctp", "use tcp, udp or sctp"), "%q is no protocol", protocol)
	}
	if _, err := netip.ParseAddr(hostIP); hostIP != "" && err != nil {
		s.refuse(attribute, codeInvalid, "", "%q is no address of the host", hostIP)
	}
	if published != "" {
		first, last, err := portRange(published)
		switch replicas := s.src.GetScale(); {
		case err != nil:
			s.refuse(attribute, codeInvalid, "", "%s", err)
		case first < last && last-first+1 < replicas:
			s.refuse(attribute, codeConflict, "publish a range of as many ports, or leave the host's port out",
				"%d replicas can't share the host ports %s", replicas, published)
		}
	}
	return len(s.diagnostics) == before
}

func isProtocol(protocol string) bool { return contains("tcp udp sctp", protocol) }

// exposed expands an entry of expose: 80, 80/udp or 8000-8010.
func exposed(entry string) ([]nat.Port, error) {
	text, protocol, ok := strings.Cut(entry, "/")
	if !ok {
		protocol = "tcp"
	}
	protocol = strings.ToLower(protocol)
	if !isProtocol(protocol) {
		return nil, fmt.Errorf("%q is no protocol", protocol)
	}
	first, last, err := portRange(text)
	if err != nil {
		return nil, err
	}
	var ports []nat.Port
	for port := first; port <= last; port++ {
		ports = append(ports, nat.Port(strconv.Itoa(port)+"/"+protocol))
	}
	return ports, nil
}

// portRange reads 80 or 8000-8010.
func portRange(text string) (first, last int, err error) {
	low, high, ok := strings.Cut(text, "-")
	if !ok {
		high = low
	}
	if first, err = port(low); err == nil {
		last, err = port(high)
	}
	if err == nil && last < first {
		err = fmt.Errorf("%q ends before it starts", text)
	}
	return first, last, err
}

func port(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no port", text)
	}
	return int(n), nil
}
