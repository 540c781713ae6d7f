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

// withEndpointSysctls moves parameters of the interface eth0 from the container to its endpoint, where Engines with API 1.46
// and newer want them: an interface may come later than the container's process, and those with API 1.48 refuse them on the
// container. eth0 is taken for the first network's interface, as the Engine takes it for older clients. What names another
// interface is left to the Engine's refusal, which tells the way out.
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
			if interfaceSysctl(name) != "" {
				return true
			}
		}
		return false
	}
	return tunes(s.Host) || slices.ContainsFunc(s.PreStart, func(init compose.Init) bool { return tunes(init.Host) })
}

// moveSysctls changes host, and returns the endpoints with what was in it.
func moveSysctls(host *container.HostConfig, endpoints []compose.Endpoint) []compose.Endpoint {
	var options []string
	for _, name := range slices.Sorted(maps.Keys(host.Sysctls)) {
		if option := interfaceSysctl(name); option != "" {
			options = append(options, option+"="+host.Sysctls[name])
		}
	}
	if len(options) == 0 || len(endpoints) == 0 {
		return endpoints
	}
	host.Sysctls = maps.Clone(host.Sysctls)
	maps.DeleteFunc(host.Sysctls, func(name, _ string) bool { return interfaceSysctl(name) != "" })
	endpoints = slices.Clone(endpoints)
	settings := &endpoints[0].Settings
	if own := settings.DriverOpts[endpointSysctls]; own != "" {
		options = append(options, own) // the last one counts
	}
	settings.DriverOpts = maps.Clone(settings.DriverOpts)
	if settings.DriverOpts == nil {
		settings.DriverOpts = map[string]string{}
	}
	settings.DriverOpts[endpointSysctls] = strings.Join(options, ",")
	return endpoints
}

// interfaceSysctl is how an endpoint has a parameter of eth0; "" is for all others. They are net.FAMILY.conf.INTERFACE.NAME
// and the like, and the Engine's own rule looks for the fourth word.
func interfaceSysctl(name string) string {
	words := strings.Split(name, ".")
	if len(words) != 5 || words[0] != "net" || words[3] != "eth0" {
		return ""
	}
	words[3] = "IFNAME"
	return strings.Join(words, ".")
}
