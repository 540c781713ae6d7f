package enginetest

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"
)

// endpoint is a container's attachment to a network; it lives while settings.EndpointID is set.
type endpoint struct {
	settings network.EndpointSettings
	net      *netw
	// mac is the address asked for, "" for one made of the IP address.
	mac string
}

// endpointOn is the container's endpoint on a network, or nil.
func (c *ctr) endpointOn(n *netw) *endpoint {
	for _, ep := range c.endpoints {
		if ep.net == n {
			return ep
		}
	}
	return nil
}

// planEndpoints writes down which networks the container will be on (daemon/container_operations.go,
// updateContainerNetworkSettings). Whether they exist is found out when it starts.
func (e *Engine) planEndpoints(c *ctr, config *network.NetworkingConfig) {
	mode := c.host.NetworkMode
	if mode.IsContainer() {
		return
	}
	if config != nil {
		for name, settings := range config.EndpointsConfig {
			if settings == nil {
				settings = &network.EndpointSettings{}
			}
			if name == network.NetworkDefault {
				name = network.NetworkBridge
			}
			c.endpoints[name] = plannedEndpoint(settings)
		}
	}
	if len(c.endpoints) == 0 {
		name := mode.NetworkName()
		if mode.IsDefault() {
			name = network.NetworkBridge
		}
		c.endpoints[name] = &endpoint{}
	}
}

func plannedEndpoint(s *network.EndpointSettings) *endpoint {
	return &endpoint{mac: s.MacAddress, settings: network.EndpointSettings{
		IPAMConfig: s.IPAMConfig, Links: s.Links, Aliases: s.Aliases, DriverOpts: s.DriverOpts, GwPriority: s.GwPriority,
	}}
}

// attach gives a container that starts its endpoints, or none and an error.
func (e *Engine) attach(c *ctr) error {
	if err := e.joinNamespace(c); err != nil {
		return err
	}
	names := slices.SortedFunc(maps.Keys(c.endpoints), func(a, b string) int {
		// The network of the mode comes first.
		if a == c.host.NetworkMode.NetworkName() {
			return -1
		}
		if b == c.host.NetworkMode.NetworkName() {
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		if err := e.join(c, name); err != nil {
			e.detach(c)
			return e.networkingFailed(err)
		}
	}
	if err := e.publish(c); err != nil {
		return e.networkingFailed(err)
	}
	return nil
}

// networkingFailed adds what newer Engines put before such an error.
func (e *Engine) networkingFailed(err error) error {
	f := err.(*failure)
	if e.atLeast("1.48") {
		return fail(f.status, "failed to set up container networking: %s", f.message)
	}
	return err
}

// joinNamespace checks the container whose network this one shares.
func (e *Engine) joinNamespace(c *ctr) error {
	if !c.host.NetworkMode.IsContainer() {
		return nil
	}
	parent, err := e.container(c.host.NetworkMode.ConnectedContainer())
	if err != nil && e.atLeast("1.48") {
		return fail(http.StatusInternalServerError, "joining network namespace of container: %s", err)
	}
	if err != nil {
		return err
	}
	if !parent.running {
		if e.atLeast("1.48") {
			return fail(http.StatusConflict, "cannot join network namespace of a non running container: container %s is %s", parent.name, parent.phase())
		}
		return fail(http.StatusConflict, "cannot join network of a non running container: %s", parent.id)
	}
	return nil
}

// join makes the endpoint on one network live. From here on it is listed by the network's name.
func (e *Engine) join(c *ctr, name string) error {
	ep := c.endpoints[name]
	n, err := e.network(name)
	if err != nil {
		return err
	}
	if c.restarting && ep.settings.EndpointID != "" {
		return nil
	}
	if err := e.checkEndpoint(n, ep); err != nil {
		return err
	}
	addr, bits, err := e.lease(n, ep)
	if err != nil {
		return err
	}
	delete(c.endpoints, name)
	c.endpoints[n.Name] = ep
	ep.net = n
	s := &ep.settings
	s.NetworkID, s.EndpointID = n.ID, newID()
	if addr.IsValid() {
		s.IPAddress, s.IPPrefixLen = addr.String(), bits
		if !n.Internal {
			s.Gateway = n.subnets[0].gateway.String()
		}
		if n.Internal && !e.atLeast("1.44") {
			s.Gateway = n.subnets[0].gateway.String()
		}
		s.MacAddress = ep.mac
		if s.MacAddress == "" {
			b := addr.As4()
			s.MacAddress = fmt.Sprintf("02:42:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
		}
	}
	if e.atLeast("1.44") && container.NetworkMode(n.Name).IsUserDefined() {
		s.DNSNames = dnsNames(c, s)
	}
	e.tellNetwork(n, events.ActionConnect, "container", c.id)
	return nil
}

// dnsNames are the names that the network's resolver knows the container by.
func dnsNames(c *ctr, s *network.EndpointSettings) []string {
	var names []string
	for _, name := range slices.Concat([]string{c.name}, s.Aliases, []string{short(c.id), c.config.Hostname}) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// checkEndpoint refuses what only user-defined networks can do (daemon/container_operations.go).
func (e *Engine) checkEndpoint(n *netw, ep *endpoint) error {
	s := &ep.settings
	asks := s.IPAMConfig != nil && (s.IPAMConfig.IPv4Address != "" || s.IPAMConfig.IPv6Address != "")
	userDefined := container.NetworkMode(n.Name).IsUserDefined()
	var problem string
	switch {
	case !userDefined && asks:
		problem = "user specified IP address is supported on user defined networks only"
	case !userDefined && len(s.Aliases) > 0:
		problem = "network-scoped alias is supported only for containers in user defined networks"
	case asks && !n.configured:
		problem = "user specified IP address is supported only when connecting to networks with user configured subnets"
	default:
		return nil
	}
	if e.atLeast("1.44") {
		problem = "invalid endpoint settings:\n" + problem
	}
	return fail(http.StatusBadRequest, "%s", problem)
}

// lease finds the endpoint's address: the one asked for, or the lowest free one.
func (e *Engine) lease(n *netw, ep *endpoint) (netip.Addr, int, error) {
	if len(n.subnets) == 0 {
		return netip.Addr{}, 0, nil
	}
	taken := map[netip.Addr]bool{}
	for _, c := range e.attached(n) {
		if addr, err := netip.ParseAddr(c.endpointOn(n).settings.IPAddress); err == nil {
			taken[addr] = true
		}
	}
	if config := ep.settings.IPAMConfig; config != nil && config.IPv4Address != "" {
		return e.fixedLease(n, config.IPv4Address, taken)
	}
	s := n.subnets[0]
	from := s.prefix
	if s.within.IsValid() {
		from = s.within
	}
	for addr := from.Addr(); from.Contains(addr); addr = addr.Next() {
		if !taken[addr] && addr != s.gateway && addr != s.prefix.Addr() {
			return addr, s.prefix.Bits(), nil
		}
	}
	return netip.Addr{}, 0, fail(http.StatusForbidden, "no available IPv4 addresses on this network's address pools: %s (%s)", n.Name, n.ID)
}

func (e *Engine) fixedLease(n *netw, text string, taken map[netip.Addr]bool) (netip.Addr, int, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return addr, 0, fail(http.StatusBadRequest, "invalid IPv4 address: %s", text)
	}
	for _, s := range n.subnets {
		if !s.prefix.Contains(addr) {
			continue
		}
		if taken[addr] || addr == s.gateway {
			return addr, 0, fail(http.StatusForbidden, "Address already in use")
		}
		return addr, s.prefix.Bits(), nil
	}
	if e.atLeast("1.44") {
		return addr, 0, fail(http.StatusBadRequest, "invalid endpoint settings:\nno configured subnet contains IP address %s", text)
	}
	return addr, 0, fail(http.StatusBadRequest, "Invalid address %s: It does not belong to any of this network's subnets", text)
}

// detach ends the container's endpoints and frees its ports. What was asked for stays written down.
func (e *Engine) detach(c *ctr) {
	e.ports.release(c)
	for _, name := range slices.Sorted(maps.Keys(c.endpoints)) {
		e.leave(c, c.endpoints[name])
	}
}

func (e *Engine) leave(c *ctr, ep *endpoint) {
	if ep.settings.EndpointID == "" {
		return
	}
	s := &ep.settings
	s.EndpointID, s.IPAddress, s.IPPrefixLen, s.Gateway, s.MacAddress = "", "", 0, "", ""
	e.tellNetwork(ep.net, events.ActionDisconnect, "container", c.id)
}

// connectNetwork answers POST /networks/*/connect.
func (e *Engine) connectNetwork(r *request) error {
	var body network.ConnectOptions
	if err := r.read(&body); err != nil {
		return err
	}
	return e.toldFirst(r, body.Container, func() error { return e.connectTo(r, body) })
}

func (e *Engine) connectTo(r *request, body network.ConnectOptions) error {
	n, c, err := e.both(r.name, body.Container)
	if err != nil {
		return err
	}
	if c.host.NetworkMode.IsHost() || n.Name == "host" {
		if e.atLeast("1.48") {
			return fail(http.StatusBadRequest, "cannot connect container to host network - container must be created in host network mode")
		}
		return fail(http.StatusBadRequest, "container cannot be disconnected from host network or connected to host network")
	}
	if c.host.NetworkMode.IsContainer() {
		return fail(http.StatusBadRequest, "container sharing network namespace with another container or host cannot be connected to any other network")
	}
	if body.EndpointConfig == nil {
		body.EndpointConfig = &network.EndpointSettings{}
	}
	planned := plannedEndpoint(body.EndpointConfig)
	planned.net = n
	if r.older("1.44") {
		planned.mac = ""
	}
	if err := e.checkEndpoint(n, planned); err != nil {
		return err
	}
	if live := c.endpointOn(n); live != nil && live.settings.EndpointID != "" {
		return fail(http.StatusForbidden, "endpoint with name %s already exists in network %s", c.name, n.Name)
	}
	c.endpoints[n.Name] = planned
	if c.running && !c.restarting {
		if err := e.join(c, n.Name); err != nil {
			delete(c.endpoints, n.Name)
			return err
		}
	}
	c.touch()
	return r.done(http.StatusOK)
}

// both finds the network and the container of a call.
func (e *Engine) both(networkRef, containerRef string) (*netw, *ctr, error) {
	c, err := e.container(containerRef)
	if err != nil {
		return nil, nil, err
	}
	n, err := e.network(networkRef)
	return n, c, err
}

// disconnectNetwork answers POST /networks/*/disconnect.
func (e *Engine) disconnectNetwork(r *request) error {
	var body network.DisconnectOptions
	if err := r.read(&body); err != nil {
		return err
	}
	return e.toldFirst(r, body.Container, func() error { return e.disconnectFrom(r, body) })
}

func (e *Engine) disconnectFrom(r *request, body network.DisconnectOptions) error {
	n, c, err := e.both(r.name, body.Container)
	if err != nil {
		return err
	}
	if c.host.NetworkMode.IsHost() {
		return fail(http.StatusBadRequest, "container cannot be disconnected from host network or connected to host network")
	}
	for name, ep := range c.endpoints {
		if ep.net == n || name == n.Name || name == n.ID {
			e.leave(c, ep)
			delete(c.endpoints, name)
			c.touch()
			return r.done(http.StatusOK)
		}
	}
	status := http.StatusInternalServerError
	if !c.running && e.atLeast("1.44") {
		status = http.StatusForbidden
	}
	return fail(status, "container %s is not connected to network %s", c.id, n.Name)
}
