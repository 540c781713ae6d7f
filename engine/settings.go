package engine

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"galley/compose"
)

// Settings are what the Engine changes on a container without a stop: by recipe attribute, in the words that a plan's
// reasons use, as "mem_limit": "64m". What is not set is absent. Attachments are "networks.NAME", by the Engine's name;
// those that the recipe did not make are absent too.
type Settings map[string]string

// settingsOf reads settings off a payload, a wanted or an observed one, so that equal ones have equal words.
func settingsOf(r container.Resources, restart container.RestartPolicy) Settings {
	s := Settings{}
	put := func(name, word string) {
		if word != "" {
			s[name] = word
		}
	}
	put("restart", restartWord(restart))
	put("mem_limit", bytesWord(r.Memory))
	put("memswap_limit", bytesWord(swapOf(r)))
	put("mem_reservation", bytesWord(r.MemoryReservation))
	put("cpus", strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%09d", r.NanoCPUs/1e9, r.NanoCPUs%1e9), "0"), "."))
	put("cpu_shares", numberWord(r.CPUShares, defaultShares))
	put("cpu_period", numberWord(r.CPUPeriod, defaultPeriod))
	put("cpu_quota", numberWord(r.CPUQuota, 0))
	put("cpuset", r.CpusetCpus)
	if r.PidsLimit != nil {
		put("pids_limit", numberWord(*r.PidsLimit, 0))
	}
	if s["cpus"] == "0" {
		delete(s, "cpus")
	}
	return s
}

// The kernel's own values, which stand for "not set".
const (
	defaultShares = 1024
	defaultPeriod = 100000
)

// swapOf is the limit of memory and swap together: unless it is set, the Engine makes it twice the memory.
// Source: moby daemon/daemon_unix.go, adaptContainerSettings.
func swapOf(r container.Resources) int64 {
	if r.Memory > 0 && r.MemorySwap == 0 {
		return 2 * r.Memory
	}
	return r.MemorySwap
}

func restartWord(p container.RestartPolicy) string {
	switch {
	case p.IsNone():
		return ""
	case p.MaximumRetryCount > 0:
		return fmt.Sprintf("%s:%d", p.Name, p.MaximumRetryCount)
	}
	return string(p.Name)
}

func numberWord(n, unset int64) string {
	if n <= 0 || n == unset {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// bytesWord writes a size as recipes do, exactly; -1 is no limit.
func bytesWord(n int64) string {
	switch {
	case n < 0:
		return "unlimited"
	case n == 0:
		return ""
	case n%(1<<30) == 0:
		return fmt.Sprintf("%dg", n>>30)
	case n%(1<<20) == 0:
		return fmt.Sprintf("%dm", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%dk", n>>10)
	}
	return fmt.Sprintf("%db", n)
}

// attachment is the key of an attachment in [Settings].
func attachment(networkName string) string { return "networks." + networkName }

// endpointWord puts an endpoint into words. id is the container's, whose beginning old Engines report as an alias too.
func endpointWord(e *network.EndpointSettings, id string) string {
	aliases := ownAliases(e, id)
	slices.Sort(aliases)
	words := []string{"aliases " + strings.Join(slices.Compact(aliases), ", ")}
	put := func(name, value string) {
		if value != "" {
			words = append(words, name+" "+value)
		}
	}
	if ipam := e.IPAMConfig; ipam != nil {
		put("ipv4_address", ipam.IPv4Address)
		put("ipv6_address", ipam.IPv6Address)
		put("link_local_ips", strings.Join(ipam.LinkLocalIPs, ", "))
	}
	put("links", strings.Join(e.Links, ", "))
	for _, k := range slices.Sorted(maps.Keys(e.DriverOpts)) {
		put("driver_opts."+k, e.DriverOpts[k])
	}
	if e.GwPriority != 0 {
		put("gw_priority", strconv.Itoa(e.GwPriority))
	}
	return strings.Join(words, "; ")
}

func ownAliases(e *network.EndpointSettings, id string) []string {
	return slices.DeleteFunc(slices.Clone(e.Aliases), func(a string) bool { return len(a) == 12 && strings.HasPrefix(id, a) })
}

// byRecipe tells whether an endpoint was made from a recipe: then the container's name is among its aliases, which it is
// not when somebody attaches a container by hand. While it takes another one's place, its name is longer.
func byRecipe(e *network.EndpointSettings, name string) bool {
	return slices.ContainsFunc(e.Aliases, func(a string) bool { return a == name || strings.HasPrefix(name, a+".") })
}

// wantedSettings are those that a replica of a service shall have.
func wantedSettings(p *compose.Project, s *compose.Service, number int) Settings {
	want := settingsOf(s.Host.Resources, s.Host.RestartPolicy)
	for _, e := range s.Endpoints {
		settings := endpointSettings(e, p.ContainerName(s, number))
		want[attachment(e.Name)] = endpointWord(&settings, "")
	}
	return want
}

// observedSettings are those that a container has.
func observedSettings(c container.InspectResponse) Settings {
	have := settingsOf(c.HostConfig.Resources, c.HostConfig.RestartPolicy)
	if c.NetworkSettings == nil {
		return have
	}
	for name, e := range c.NetworkSettings.Networks {
		if e != nil && byRecipe(e, strings.TrimPrefix(c.Name, "/")) {
			have[attachment(name)] = endpointWord(e, c.ID)
		}
	}
	return have
}
