package compose

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// networks lowers the service's attachments. Where it shares another's network, there are none.
func (s *serviceLowering) networks() {
	if s.src.NetworkMode != "" {
		s.out.Host.NetworkMode = container.NetworkMode(s.src.NetworkMode)
		if s.src.NetworkMode == network.NetworkHost && s.src.MacAddress != "" {
			s.warn("mac_address", codeIgnored, "remove it", "mac_address means nothing with network_mode: host")
			return
		}
		//lint:ignore SA1019 without an endpoint, the Engine takes the address from the container itself: for the default bridge
		s.out.Config.MacAddress = s.mac("mac_address", s.src.MacAddress)
		return
	}
	keys := s.src.NetworksByPriority()
	if len(keys) == 1 && isPredefined(s.lowering.src.Networks[keys[0]].Name) {
		s.predefined(keys[0], s.lowering.src.Networks[keys[0]].Name)
		return
	}
	for i, key := range keys {
		if named, ok := s.lowering.src.Networks[key]; ok {
			if isPredefined(named.Name) {
				s.refuse("networks."+key, codeConflict, "attach the service to other networks, or to this one alone",
					"the Engine's network %q knows no aliases, which a service has on each of several networks", named.Name)
			}
			e := Endpoint{Network: key, Name: named.Name, Settings: s.endpoint(key, deref(s.src.Networks[key]), i == 0)}
			s.out.Endpoints = append(s.out.Endpoints, e)
			if named.EnableIPv4 != nil && !*named.EnableIPv4 && !bool(named.External) {
				s.requireAt("networks."+key+".enable_ipv4", "1.48")
			}
		}
	}
}

// predefined attaches to a network that every Engine has, as network_mode does: such a network knows neither aliases nor
// fixed addresses (moby daemon/container_operations.go, validateEndpointSettings).
func (s *serviceLowering) predefined(key, name string) {
	n := deref(s.src.Networks[key])
	if len(n.Aliases) > 0 || n.Ipv4Address != "" || n.Ipv6Address != "" {
		s.refuse("networks."+key, codeConflict, "attach the service to a network of its own",
			"the Engine's network %q knows no aliases and no fixed addresses", name)
	}
	s.out.Host.NetworkMode = container.NetworkMode(name)
	//lint:ignore SA1019 there is no endpoint to set it on
	s.out.Config.MacAddress = s.mac("mac_address", orElse(n.MacAddress, s.src.MacAddress))
}

// isPredefined tells the names of the networks that the Engine makes for itself.
func isPredefined(name string) bool {
	return name != "" && contains("bridge host none default", name)
}

// ifnameOption names a container's interface: the Engine has no field for it.
// Source: Docker Engine 28.1 release notes.
const ifnameOption = "com.docker.network.endpoint.ifname"

// sysctlsOption has the kernel's parameters for a container's interface, as "net.ipv4.conf.IFNAME.x=1,…".
// Source: Docker Engine 27.0 release notes.
const sysctlsOption = "com.docker.network.endpoint.sysctls"

// endpointOptions are the driver_opts of an attachment that the Engine itself reads, with the API that came with them: older
// ones ignore them in silence.
func endpointOptions() []struct{ name, api string } {
	return []struct{ name, api string }{{ifnameOption, "1.49"}, {sysctlsOption, "1.46"}}
}

// endpoint lowers one attachment. The engine adds the container's own name to the aliases.
func (s *serviceLowering) endpoint(key string, n types.ServiceNetworkConfig, primary bool) network.EndpointSettings {
	attribute := "networks." + key
	var settings network.EndpointSettings
	if n.ServiceNameAliasEnabled() {
		settings.Aliases = append(settings.Aliases, s.out.Name)
	}
	for _, alias := range n.Aliases {
		if !slices.Contains(settings.Aliases, alias) {
			settings.Aliases = append(settings.Aliases, alias)
		}
	}
	if n.Ipv4Address != "" || n.Ipv6Address != "" || len(n.LinkLocalIPs) > 0 {
		settings.IPAMConfig = &network.EndpointIPAMConfig{
			IPv4Address: n.Ipv4Address, IPv6Address: n.Ipv6Address, LinkLocalIPs: n.LinkLocalIPs,
		}
		s.checkAddresses(key, n)
	}
	settings.MacAddress = s.endpointMAC(attribute, n, primary)
	if len(n.DriverOpts) > 0 || n.InterfaceName != "" {
		settings.DriverOpts = map[string]string{}
		maps.Copy(settings.DriverOpts, n.DriverOpts)
	}
	for _, o := range endpointOptions() {
		if _, set := n.DriverOpts[o.name]; set {
			s.require(attribute+".driver_opts."+o.name, o.api)
		}
	}
	if n.InterfaceName != "" {
		settings.DriverOpts[ifnameOption] = n.InterfaceName
		s.require(attribute+".interface_name", "1.49")
	}
	if settings.GwPriority = n.GatewayPriority; n.GatewayPriority != 0 {
		s.require(attribute+".gw_priority", "1.48")
	}
	return settings
}

// endpointMAC is the hardware address on one network: its own, or on the first one that of the service. Before API 1.44
// a container has one address only, that on its first network.
func (s *serviceLowering) endpointMAC(attribute string, n types.ServiceNetworkConfig, primary bool) string {
	address := s.mac(attribute+".mac_address", n.MacAddress)
	if address != "" && !primary {
		s.require(attribute+".mac_address", "1.44")
	}
	if !primary || s.src.MacAddress == "" {
		return address
	}
	general := s.mac("mac_address", s.src.MacAddress)
	if address != "" && address != general {
		s.refuse("mac_address", codeConflict, "keep one of them", "mac_address and %s.mac_address say different things", attribute)
	}
	return general
}

func (s *serviceLowering) mac(attribute, address string) string {
	if address == "" {
		return ""
	}
	if _, err := net.ParseMAC(address); err != nil {
		s.refuse(attribute, codeInvalid, "", "%q is no hardware address", address)
	}
	if s.src.GetScale() > 1 {
		s.refuse(attribute, codeConflict, "remove the address, or run one replica", "%d replicas can't share one hardware address", s.src.GetScale())
	}
	return address
}

// checkAddresses holds fixed addresses against the network's subnets.
func (s *serviceLowering) checkAddresses(key string, n types.ServiceNetworkConfig) {
	attribute := "networks." + key
	s.checkAddress(key, attribute+".ipv4_address", n.Ipv4Address, netip.Addr.Is4, "IPv4")
	s.checkAddress(key, attribute+".ipv6_address", n.Ipv6Address, netip.Addr.Is6, "IPv6")
	for i, address := range n.LinkLocalIPs {
		if _, err := netip.ParseAddr(address); err != nil {
			s.refuse(item(attribute+".link_local_ips", i), codeInvalid, "", "%q is no IP address", address)
		}
	}
}

func (s *serviceLowering) checkAddress(key, attribute, address string, is func(netip.Addr) bool, family string) {
	if address == "" {
		return
	}
	if s.src.GetScale() > 1 {
		s.refuse(attribute, codeConflict, "remove the address, or run one replica",
			"%d replicas can't share one address on network %q", s.src.GetScale(), key)
	}
	addr, err := netip.ParseAddr(address)
	if err != nil || !is(addr) {
		s.refuse(attribute, codeInvalid, "", "%q is no %s address", address, family)
		return
	}
	on := s.lowering.src.Networks[key]
	if bool(on.External) || slices.ContainsFunc(on.Ipam.Config, func(pool *types.IPAMPool) bool { return pool != nil && !isSubnet(pool.Subnet) }) {
		return // of what is no subnet, checkPool tells
	}
	var subnets []string
	for _, subnet := range subnetsOf(on) {
		if subnet.Contains(addr) {
			return
		}
		if is(subnet.Addr()) {
			subnets = append(subnets, subnet.String())
		}
	}
	if len(subnets) == 0 {
		s.refuse(attribute, codeConflict, "give the network a subnet under ipam: config:",
			"network %q has no %s subnet of its own to take %s from", key, family, address)
		return
	}
	s.refuse(attribute, "address-outside-subnet", "", "%s is outside of network %q, which is %s", address, key, strings.Join(subnets, " and "))
}

func isSubnet(text string) bool {
	_, err := netip.ParsePrefix(text)
	return text == "" || err == nil
}

// names lowers how the container is called and how it finds others.
func (s *serviceLowering) names() {
	c, h := &s.out.Config, &s.out.Host
	s.out.ContainerName = s.src.ContainerName
	if s.src.ContainerName != "" && !isName(s.src.ContainerName) {
		s.refuse("container_name", codeInvalid, nameHint, "%q can't be a container's name", s.src.ContainerName)
	}
	if s.src.ContainerName != "" && s.src.GetScale() > 1 {
		s.refuse("container_name", codeConflict, "remove container_name, or run one replica",
			"%d replicas can't share the container name %q", s.src.GetScale(), s.src.ContainerName)
	}
	c.Hostname, c.Domainname = s.src.Hostname, s.src.DomainName
	h.DNS, h.DNSSearch, h.DNSOptions = s.src.DNS, s.src.DNSSearch, s.src.DNSOpts
	for i, address := range s.src.DNS {
		if _, err := netip.ParseAddr(address); err != nil {
			s.refuse(item("dns", i), codeInvalid, "a name server is given by its address", "%q is no IP address", address)
		}
	}
	for _, host := range sortedKeys(s.src.ExtraHosts) {
		for _, address := range s.src.ExtraHosts[host] {
			if _, err := netip.ParseAddr(address); err != nil && address != "host-gateway" {
				s.refuse("extra_hosts."+host, codeInvalid, "use an address or host-gateway", "%q is no IP address", address)
			}
			h.ExtraHosts = append(h.ExtraHosts, host+":"+address)
		}
	}
}

const nameHint = "use letters, digits, _, . and -, two at least, the first a letter or digit"

// isName tells whether the Engine takes a text as the name of a container or volume (moby daemon/names, RestrictedNameChars).
func isName(text string) bool {
	for i, c := range []byte(text) {
		word := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !word && (i == 0 || !strings.ContainsRune("_.-", rune(c))) {
			return false
		}
	}
	return len(text) >= 2
}

// checkNetworkMode finds what the Engine refuses, or drops, next to a network that is not the container's own.
// Source: moby runconfig/hostconfig.go, validateNetContainerMode, and hostconfig_unix.go, validateNetMode.
func (s *serviceLowering) checkNetworkMode() {
	mode := string(s.out.Host.NetworkMode)
	const hint = "set it on the service whose network is shared"
	if isShared(mode) {
		if _, name, _ := strings.Cut(mode, ":"); name == "" {
			s.refuse("network_mode", codeInvalid, "name a service or container after the colon", "network mode %q names nobody", mode)
		}
		s.conflicts(mode, hint, "hostname", s.src.Hostname != "")
		s.conflicts(mode, hint, "dns", len(s.src.DNS) > 0)
		s.conflicts(mode, hint, "extra_hosts", len(s.src.ExtraHosts) > 0)
		s.conflicts(mode, hint, "ports", len(s.src.Ports) > 0)
		s.conflicts(mode, hint, "expose", len(s.src.Expose) > 0)
		s.conflicts(mode, hint, "mac_address", s.src.MacAddress != "")
	}
	if (mode == network.NetworkHost || mode == network.NetworkNone) && len(s.src.Ports) > 0 {
		s.warn("ports", codeIgnored, "remove ports, or network_mode", "ports are not published with network_mode: %s", mode)
	}
	if s.src.Uts == "host" && s.src.Hostname != "" {
		s.refuse("hostname", codeConflict, "remove one of them", "hostname can't be set with uts: host")
	}
}

func (s *serviceLowering) conflicts(mode, hint, attribute string, set bool) {
	if set {
		s.refuse(attribute, codeConflict, hint, "%s can't be set with network_mode: %s", attribute, mode)
	}
}

// isShared tells whether a network mode is another container's network.
func isShared(mode string) bool {
	return strings.HasPrefix(mode, ServicePrefix) || strings.HasPrefix(mode, types.ContainerPrefix)
}
