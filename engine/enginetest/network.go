package enginetest

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
)

// netw is a network.
type netw struct {
	network.Inspect
	serial     int
	predefined bool
	// subnets are its address ranges; configured by the one who created it, or taken from the pool.
	subnets    []subnet
	configured bool
}

type subnet struct {
	prefix, within netip.Prefix
	gateway        netip.Addr
}

// addPredefinedNetworks makes bridge, host and none.
func (e *Engine) addPredefinedNetworks() {
	for _, name := range []string{"bridge", "host", "none"} {
		driver := name
		if name == "none" {
			driver = "null"
		}
		n, err := e.makeNetwork(name, network.CreateOptions{Driver: driver})
		if err != nil {
			panic(err) // the pool can't be empty here
		}
		n.predefined = true
		if name == "bridge" {
			n.Options = map[string]string{
				"com.docker.network.bridge.default_bridge":       "true",
				"com.docker.network.bridge.enable_icc":           "true",
				"com.docker.network.bridge.enable_ip_masquerade": "true",
				"com.docker.network.bridge.host_binding_ipv4":    "0.0.0.0",
				"com.docker.network.bridge.name":                 "docker0",
				"com.docker.network.driver.mtu":                  "1500",
			}
		}
	}
}

// makeNetwork creates a network with its subnets.
func (e *Engine) makeNetwork(name string, opts network.CreateOptions) (*netw, error) {
	e.serial++
	n := &netw{serial: e.serial}
	n.Inspect = network.Inspect{
		Name: name, ID: newID(), Created: time.Now().UTC(), Scope: "local", Driver: cmp.Or(opts.Driver, "bridge"),
		IPAM: network.IPAM{Driver: "default", Config: []network.IPAMConfig{}}, Internal: opts.Internal, Attachable: opts.Attachable,
		Containers: map[string]network.EndpointResource{}, Options: opts.Options, Labels: opts.Labels, ConfigOnly: opts.ConfigOnly,
	}
	n.EnableIPv4 = opts.EnableIPv4 == nil || *opts.EnableIPv4
	n.EnableIPv6 = opts.EnableIPv6 != nil && *opts.EnableIPv6
	if n.Options == nil {
		n.Options = map[string]string{}
	}
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	if opts.ConfigFrom != nil {
		n.ConfigFrom = *opts.ConfigFrom
	}
	switch n.Driver {
	case "bridge", "macvlan", "ipvlan":
	case "host", "null":
		e.networks[n.ID] = n
		return n, nil
	case "overlay":
		return nil, fail(http.StatusForbidden, `This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`)
	default:
		return nil, fail(http.StatusNotFound, "plugin %q not found", n.Driver)
	}
	if err := e.address(n, opts.IPAM); err != nil {
		return nil, err
	}
	e.networks[n.ID] = n
	return n, nil
}

// address gives the network its subnets: those asked for, or the pool's next.
func (e *Engine) address(n *netw, ipam *network.IPAM) error {
	if ipam != nil {
		n.IPAM.Driver, n.IPAM.Options = cmp.Or(ipam.Driver, "default"), ipam.Options
		for _, config := range ipam.Config {
			s, err := e.parseSubnet(config)
			if err != nil {
				return err
			}
			n.subnets = append(n.subnets, s)
			n.IPAM.Config = append(n.IPAM.Config, config)
			n.configured = true
		}
	}
	if slices.ContainsFunc(n.subnets, func(s subnet) bool { return s.prefix.Addr().Is4() }) || !n.EnableIPv4 {
		return nil
	}
	for _, text := range e.pools() {
		prefix := netip.MustParsePrefix(text)
		if e.overlap(prefix) {
			continue
		}
		n.subnets = append(n.subnets, subnet{prefix: prefix, gateway: prefix.Addr().Next()})
		n.IPAM.Config = append(n.IPAM.Config, network.IPAMConfig{Subnet: text, Gateway: prefix.Addr().Next().String()})
		return nil
	}
	return fail(http.StatusBadRequest, "%s", e.words("could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network", "all predefined address pools have been fully subnetted"))
}

// pools are the subnets for networks that name none: dockerd's defaults (libnetwork/ipamutils), or WithPool's.
func (e *Engine) pools() []string {
	if e.pool != nil {
		return e.pool
	}
	var pools []string
	for i := 17; i <= 31; i++ {
		pools = append(pools, fmt.Sprintf("172.%d.0.0/16", i))
	}
	for i := 0; i < 256; i += 16 {
		pools = append(pools, fmt.Sprintf("192.168.%d.0/20", i))
	}
	return pools
}

func (e *Engine) overlap(prefix netip.Prefix) bool {
	for _, n := range e.networks {
		for _, s := range n.subnets {
			if s.prefix.Overlaps(prefix) {
				return true
			}
		}
	}
	return false
}

func (e *Engine) parseSubnet(config network.IPAMConfig) (s subnet, err error) {
	if s.prefix, err = netip.ParsePrefix(config.Subnet); err != nil {
		if e.atLeast("1.44") {
			return s, fail(http.StatusBadRequest, "invalid network config:\ninvalid subnet %s: invalid CIDR block notation", config.Subnet)
		}
		return s, fail(http.StatusInternalServerError, "Invalid subnet %s : invalid CIDR address: %s", config.Subnet, config.Subnet)
	}
	s.prefix = s.prefix.Masked()
	if e.overlap(s.prefix) {
		problem := "Pool overlaps with other one on this address space"
		if e.atLeast("1.48") {
			problem = "invalid pool request: " + problem
		}
		return s, fail(http.StatusForbidden, "%s", problem)
	}
	if config.IPRange != "" {
		if s.within, err = netip.ParsePrefix(config.IPRange); err != nil {
			return s, fail(http.StatusInternalServerError, "Invalid subnet %s : invalid CIDR address: %s", config.IPRange, config.IPRange)
		}
	}
	s.gateway = s.prefix.Addr().Next()
	if config.Gateway != "" {
		if s.gateway, err = netip.ParseAddr(config.Gateway); err != nil || !s.prefix.Contains(s.gateway) {
			return s, fail(http.StatusInternalServerError, "failed to allocate gateway (%s): Requested address is out of range", config.Gateway)
		}
	}
	return s, nil
}

// network finds a network as dockerd does: by id, by name, by the beginning of its id.
func (e *Engine) network(ref string) (*netw, error) {
	if n := e.networks[ref]; n != nil {
		return n, nil
	}
	var named, prefixed []*netw
	for _, n := range e.networksSorted() {
		if n.Name == ref {
			named = append(named, n)
		}
		if strings.HasPrefix(n.ID, ref) {
			prefixed = append(prefixed, n)
		}
	}
	for _, found := range [][]*netw{named, prefixed} {
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1 && e.atLeast("1.44"):
			return nil, fail(http.StatusBadRequest, "network %s is ambiguous (%d matches found on name)", ref, len(found))
		case len(found) > 1:
			return nil, fail(http.StatusBadRequest, "%d matches found based on name: network %s is ambiguous", len(found), ref)
		}
	}
	return nil, fail(http.StatusNotFound, "network %s not found", ref)
}

func (e *Engine) networksSorted() []*netw {
	return slices.SortedFunc(maps.Values(e.networks), func(a, b *netw) int { return cmp.Compare(a.serial, b.serial) })
}

// createNetwork answers POST /networks/create.
func (e *Engine) createNetwork(r *request) error {
	var body network.CreateRequest
	if err := r.read(&body); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if container.NetworkMode(body.Name).IsBridge() || slices.Contains([]string{"host", "none", "default"}, body.Name) {
		return fail(http.StatusForbidden, "operation is not permitted on predefined %s network ", body.Name)
	}
	if strings.TrimSpace(body.Name) == "" {
		return fail(http.StatusInternalServerError, "invalid name: ")
	}
	warning := ""
	for _, n := range e.networksSorted() {
		if n.Name != body.Name {
			continue
		}
		// Below 1.44 the name is checked only where that is asked for; from there on always.
		//lint:ignore SA1019 old Engines go by it
		if e.atLeast("1.44") || body.CheckDuplicate != nil && *body.CheckDuplicate {
			return fail(http.StatusConflict, "network with name %s already exists", body.Name)
		}
		warning = fmt.Sprintf("Network with name %s (id : %s) already exists", n.Name, n.ID)
	}
	n, err := e.makeNetwork(body.Name, body.CreateOptions)
	if err != nil {
		return err
	}
	e.tellNetwork(n, events.ActionCreate)
	return r.reply(http.StatusCreated, network.CreateResponse{ID: n.ID, Warning: warning})
}

func (e *Engine) tellNetwork(n *netw, action events.Action, more ...string) {
	attributes := map[string]string{"name": n.Name, "type": n.Driver}
	for i := 0; i < len(more); i += 2 {
		attributes[more[i]] = more[i+1]
	}
	e.emit(events.NetworkEventType, action, n.ID, attributes)
}

// listNetworks answers GET /networks.
func (e *Engine) listNetworks(r *request) error {
	args, err := r.filters("dangling", "driver", "id", "label", "name", "scope", "type")
	if err != nil {
		return err
	}
	list := []network.Inspect{}
	e.mu.Lock()
	for _, n := range e.networksSorted() {
		if e.networkPasses(n, args) {
			// A list leaves the containers out (since API 1.28).
			list = append(list, n.Inspect)
		}
	}
	e.mu.Unlock()
	return r.reply(http.StatusOK, list)
}

func (e *Engine) networkPasses(n *netw, args filters.Args) bool {
	kind := "custom"
	if n.predefined {
		kind = "builtin"
	}
	if args.Contains("dangling") {
		want := args.ExactMatch("dangling", "true") || args.ExactMatch("dangling", "1")
		if want != (!n.predefined && len(e.attached(n)) == 0) {
			return false
		}
	}
	return args.ExactMatch("driver", n.Driver) && args.ExactMatch("scope", n.Scope) && args.ExactMatch("type", kind) &&
		(!args.Contains("name") || args.Match("name", n.Name)) && (!args.Contains("id") || args.Match("id", n.ID)) && labelsPass(args, n.Labels)
}

// inspectNetwork answers GET /networks/*.
func (e *Engine) inspectNetwork(r *request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, err := e.network(r.name)
	if err != nil {
		return err
	}
	seen := n.Inspect
	seen.Containers = map[string]network.EndpointResource{}
	for _, c := range e.attached(n) {
		s := c.endpointOn(n).settings
		resource := network.EndpointResource{Name: c.name, EndpointID: s.EndpointID, MacAddress: s.MacAddress}
		if s.IPAddress != "" {
			resource.IPv4Address = fmt.Sprintf("%s/%d", s.IPAddress, s.IPPrefixLen)
		}
		seen.Containers[c.id] = resource
	}
	return r.reply(http.StatusOK, seen)
}

// attached are the containers with a live endpoint on the network.
func (e *Engine) attached(n *netw) []*ctr {
	var attached []*ctr
	for _, c := range e.sorted() {
		if ep := c.endpointOn(n); ep != nil && ep.settings.EndpointID != "" {
			attached = append(attached, c)
		}
	}
	return attached
}

// removeNetwork answers DELETE /networks/*.
func (e *Engine) removeNetwork(r *request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, err := e.network(r.name)
	if err != nil {
		return err
	}
	if n.predefined {
		return fail(http.StatusForbidden, "%s is a pre-defined network and cannot be removed", n.Name)
	}
	if attached := e.attached(n); len(attached) > 0 {
		if !e.atLeast("1.48") {
			return fail(http.StatusForbidden, "error while removing network: network %s id %s has active endpoints", n.Name, n.ID)
		}
		var names []string
		for _, c := range attached {
			names = append(names, fmt.Sprintf("name:%q id:%q", c.name, short(c.endpointOn(n).settings.EndpointID)))
		}
		return fail(http.StatusForbidden, "error while removing network: network %s has active endpoints (%s)", n.Name, strings.Join(names, ", "))
	}
	delete(e.networks, n.ID)
	e.tellNetwork(n, events.ActionDestroy)
	return r.done(http.StatusNoContent)
}
