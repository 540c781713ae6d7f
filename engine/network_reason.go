package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/network"
)

// networkReason says what differs between a network and its definition, as far as the Engine tells: it leaves out what it chose
// itself, and adds options of its own.
func networkReason(want network.CreateOptions, have network.Summary) string {
	var changes []string
	change := func(differs bool, format string, args ...any) {
		if differs {
			changes = append(changes, fmt.Sprintf(format, args...))
		}
	}
	driver := want.Driver
	if driver == "" {
		driver = network.NetworkBridge // what Engines use unless told otherwise
	}
	change(driver != have.Driver, "driver %s → %s", have.Driver, driver)
	change(want.Internal != have.Internal, "internal changed")
	change(want.Attachable != have.Attachable, "attachable changed")
	change(want.EnableIPv6 != nil && *want.EnableIPv6 != have.EnableIPv6, "enable_ipv6 changed")
	if want.IPAM != nil && len(want.IPAM.Config) > 0 {
		for _, part := range []struct {
			name string
			of   func(network.IPAMConfig) string
		}{
			{"subnet", func(c network.IPAMConfig) string { return c.Subnet }},
			{"gateway", func(c network.IPAMConfig) string { return c.Gateway }},
			{"ip_range", func(c network.IPAMConfig) string { return c.IPRange }},
		} {
			now, then := ranges(want.IPAM.Config, part.of), ranges(have.IPAM.Config, part.of)
			change(now != "" && now != then, "%s %s → %s", part.name, then, now)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want.Options)) {
		change(want.Options[key] != have.Options[key], "driver_opts.%s changed", key)
	}
	for _, key := range slices.Sorted(maps.Keys(want.Labels)) {
		change(want.Labels[key] != have.Labels[key] && !ownLabel(key), "labels.%s changed", key)
	}
	if len(changes) == 0 {
		return "network definition changed"
	}
	return "network definition changed: " + strings.Join(changes, ", ")
}

// ownLabel tells whether it is docker compose or Galley that writes a label, and no recipe.
func ownLabel(key string) bool {
	return strings.HasPrefix(key, "com.docker.compose.") || strings.HasPrefix(key, "io.galley.")
}

// ranges are a part of a network's address ranges, in one text.
func ranges(configs []network.IPAMConfig, part func(network.IPAMConfig) string) string {
	var all []string
	for _, c := range configs {
		if text := part(c); text != "" {
			all = append(all, text)
		}
	}
	return strings.Join(all, " ")
}
