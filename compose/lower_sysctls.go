package compose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// checkSysctl finds parameters that are the host's and not a namespace's: the runtime refuses to start with them.
// Source: opencontainers/runc, libcontainer/configs/validate/validator.go, sysctl.
func (s *serviceLowering) checkSysctl(name string) {
	if s.src.Runtime != "" && s.src.Runtime != "runc" {
		return // another runtime may have a kernel of its own
	}
	const ipc = "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni kernel.shm_rmid_forced"
	dotted := strings.ReplaceAll(name, "/", ".")
	attribute := "sysctls." + name
	isIPC := contains(ipc, dotted) || strings.HasPrefix(dotted, "fs.mqueue.")
	isNet := strings.HasPrefix(dotted, "net.")
	switch {
	case isIPC && s.src.Ipc == "host":
		s.refuse(attribute, codeConflict, "set it on the host", "sysctl %q is the host's with ipc: host", name)
		s.atKey()
	case isNet && s.src.NetworkMode == "host":
		s.refuse(attribute, codeConflict, "set it on the host", "sysctl %q is the host's with network_mode: host", name)
		s.atKey()
	case isIPC || isNet || dotted == "kernel.domainname":
	case dotted == "kernel.hostname":
		s.refuse(attribute, codeInvalid, "use hostname", "sysctl %q can't be set", name)
		s.atKey()
	default:
		const net = " net.core.somaxconn net.ipv4.ip_forward net.ipv4.ip_local_port_range net.ipv4.ip_unprivileged_port_start " +
			"net.ipv4.tcp_syncookies net.ipv6.conf.all.disable_ipv6 net.ipv6.conf.all.forwarding"
		near := nearest(name, ipc+net, "set it on the host; a container may set net.*, fs.mqueue.* and "+strings.Join(strings.Fields(ipc), ", "))
		s.refuse(attribute, codeInvalid, near, "sysctl %q is not a container's own", name)
		s.atKey()
	}
}

// SysctlOfInterface reads the name of a parameter that one interface has, as net.ipv4.conf.eth0.log_martians: the interface,
// and the parameter as an endpoint has it, with IFNAME in the interface's place. It is not ok for all others.
func SysctlOfInterface(name string) (iface, option string, ok bool) {
	words := strings.Split(name, ".")
	if len(words) != 5 || words[0] != "net" || !contains("conf neigh", words[2]) || contains("all default lo", words[3]) {
		return "", "", false
	}
	iface, words[3] = words[3], "IFNAME"
	return iface, strings.Join(words, "."), true
}

// InterfaceName is the name that the recipe gives to an endpoint's interface; "" leaves it to the Engine.
func (e Endpoint) InterfaceName() string { return e.Settings.DriverOpts[ifnameOption] }

// checkInterfaces finds parameters of interfaces that the container doesn't have when its process starts, so that it can't
// start, and those that newer Engines refuse: of several interfaces that the Engine itself names, they don't promise which is
// which. Those of interfaces with a name of their own, and of eth0, come to their endpoints: see the engine's withEndpointSysctls.
// Source: moby, daemon/create.go and api/server/router/container/container_routes.go, handleSysctlBC.
func (s *serviceLowering) checkInterfaces() {
	if s.src.NetworkMode == "host" || isShared(s.src.NetworkMode) || s.src.Runtime != "" && s.src.Runtime != "runc" {
		return
	}
	unnamed, attached := 0, len(s.out.Endpoints)
	var named []string
	for _, e := range s.out.Endpoints {
		if name := e.InterfaceName(); name != "" {
			named = append(named, name)
		} else {
			unnamed++
		}
	}
	if attached == 0 && s.out.Host.NetworkMode != "none" { // one that every Engine has
		unnamed, attached = 1, 1
	}
	for _, name := range sortedKeys(s.src.Sysctls) {
		iface, option, ok := SysctlOfInterface(name)
		if !ok || slices.Contains(named, iface) {
			continue
		}
		attribute := "sysctls." + name
		digits, isEth := strings.CutPrefix(iface, "eth")
		number, err := strconv.Atoi(digits)
		switch isEth = isEth && err == nil; {
		case isEth && number < unnamed:
			s.refuseAnyOf(attribute, option, s.src.Sysctls[name], number)
		case s.namesInterfaces():
		case attached == 0:
			s.refuse(attribute, codeConflict, "attach the service to a network", "the container has no interface %q: it has no network", iface)
			s.atKey()
		default:
			s.refuse(attribute, codeConflict, fmt.Sprintf("name it: networks: {NETWORK: {interface_name: %s}}", iface),
				"the container has no interface %q when it starts", iface)
			s.atKey()
		}
	}
}

// refuseAnyOf notes what newer Engines refuse of a parameter of an interface that the Engine names.
func (s *serviceLowering) refuseAnyOf(attribute, option, value string, number int) {
	api := "1.46"
	switch {
	case number == 0 && len(s.out.Endpoints) > 0:
		return
	case number == 0:
		api = "1.48" // without an endpoint to set it on
	}
	s.out.Refusals = append(s.out.Refusals, Refusal{
		Attribute: s.path(attribute), API: api,
		Why:  fmt.Sprintf("%s is set on a network, not on the container", attribute[len("sysctls."):]),
		Hint: fmt.Sprintf("set it on the network that is meant: networks: {NETWORK: {driver_opts: {%s: %s=%s}}}", sysctlsOption, option, value),
	})
}

// namesInterfaces tells whether interfaces may have names that the recipe doesn't tell: a network's driver, or its settings,
// may give them another prefix than eth.
func (s *serviceLowering) namesInterfaces() bool {
	return slices.ContainsFunc(s.out.Endpoints, func(e Endpoint) bool {
		n := s.lowering.src.Networks[e.Network]
		_, prefixed := n.DriverOpts["com.docker.network.container_iface_prefix"]
		return bool(n.External) || prefixed || n.Driver != "" && !contains("bridge macvlan ipvlan overlay", n.Driver)
	})
}
