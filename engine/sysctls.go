package engine

import (
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/versions"

	"galley/compose"
)

// endpointSysctls is the option of an endpoint with the kernel's parameters for its interface, as "net.ipv4.conf.IFNAME.x=1,…".
// Source: Docker Engine 27.0 release notes.
const endpointSysctls = "com.docker.network.endpoint.sysctls"

// withEndpointSysctls moves parameters of interfaces from the container to their endpoints, where Engines with API 1.46 and
// newer want them: an interface may come later than the container's process, and those with API 1.48 refuse them on the
// container. eth0 is taken for the interface of the first network that has none with a name of its own, as the Engine takes it
// for older clients.
// Source: moby, api/server/router/container/container_routes.go, handleSysctlBC.
func withEndpointSysctls(p *compose.Project, api string) *compose.Project {
	if versions.LessThan(api, "1.46") || !slices.ContainsFunc(p.Services, tunesInterface) {
		return p
	}
	moved := *p
	moved.Services = slices.Clone(p.Services)
	for i, s := range moved.Services {
		copied := *s
		copied.Endpoints = moveSysctls(&copied.Host, s.Endpoints)
		copied.PreStart = slices.Clone(s.PreStart)
		for j := range copied.PreStart {
			init := &copied.PreStart[j]
			init.Endpoints = moveSysctls(&init.Host, init.Endpoints)
		}
		moved.Services[i] = &copied
	}
	return &moved
}

// tunesInterface tells whether there is anything to move: each comparison asks, and few recipes have it.
func tunesInterface(s *compose.Service) bool {
	tunes := func(host container.HostConfig) bool {
		for name := range host.Sysctls {
			if _, _, ok := compose.SysctlOfInterface(name); ok {
				return true
			}
		}
		return false
	}
	return tunes(s.Host) || slices.ContainsFunc(s.PreStart, func(init compose.Init) bool { return tunes(init.Host) })
}

// moveSysctls changes host, and returns the endpoints with what was in it.
func moveSysctls(host *container.HostConfig, endpoints []compose.Endpoint) []compose.Endpoint {
	options := make([][]string, len(endpoints))
	left := maps.Clone(host.Sysctls)
	for _, name := range slices.Sorted(maps.Keys(host.Sysctls)) {
		iface, option, ok := compose.SysctlOfInterface(name)
		if at := interfaceAt(endpoints, iface); ok && at >= 0 {
			options[at] = append(options[at], option+"="+host.Sysctls[name])
			delete(left, name)
		}
	}
	if len(left) == len(host.Sysctls) {
		return endpoints
	}
	host.Sysctls = left
	endpoints = slices.Clone(endpoints)
	for i, list := range options {
		if len(list) == 0 {
			continue
		}
		settings := &endpoints[i].Settings
		if own := settings.DriverOpts[endpointSysctls]; own != "" {
			list = append(list, own) // the last one counts
		}
		settings.DriverOpts = maps.Clone(settings.DriverOpts)
		if settings.DriverOpts == nil {
			settings.DriverOpts = map[string]string{}
		}
		settings.DriverOpts[endpointSysctls] = strings.Join(list, ",")
	}
	return endpoints
}

// interfaceAt finds the endpoint with an interface: the one that names it, or for eth0 the first one that names none; -1 if
// there is no such one.
func interfaceAt(endpoints []compose.Endpoint, iface string) int {
	named := slices.IndexFunc(endpoints, func(e compose.Endpoint) bool { return e.InterfaceName() == iface })
	if named >= 0 || iface != "eth0" {
		return named
	}
	return slices.IndexFunc(endpoints, func(e compose.Endpoint) bool { return e.InterfaceName() == "" })
}
