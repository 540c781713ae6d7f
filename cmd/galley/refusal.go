package main

import "strings"

// refusals are what Engines say where the machine lacks what a recipe asks for, or another thing is in its way, and the way
// out. The first that fits counts.
func refusals() []struct{ says, hint string } {
	return []struct{ says, hint string }{
		{`could not select device driver "cdi"`, "let the engine use CDI: in daemon.json, features: {cdi: true}"},
		{"could not select device driver", "no driver for such devices is there: for GPUs install NVIDIA's container toolkit and restart dockerd, or leave gpus and deploy.resources.reservations.devices out"},
		{"unresolvable CDI devices", "no specification in the engine's CDI folders, /etc/cdi and /var/run/cdi, has that device: the tool of its vendor writes one (`nvidia-ctk cdi generate`)"},
		{"--storage-opt is supported only", "only some file systems can limit a container's room: move the engine's data root to xfs mounted with pquota or to btrfs, or leave storage_opt out"},
		{"no quota support", "only some file systems can limit a volume: move the engine's data root to xfs mounted with pquota, or leave the option size out"},
		{"Unknown runtime specified", runtimeHint}, // before Engine 26
		{"unknown or invalid runtime name", runtimeHint},
		{"ipvlan port: operation not supported", "this machine's kernel has no ipvlan: use macvlan or bridge"},
		{"invalid subinterface vlan name", "driver_opts.parent names an interface of the machine (`ip link` lists them), or INTERFACE.VLAN"},
		{"is not a valid macvlan parent link", "driver_opts.parent names an interface of the machine that leads somewhere, as eth0"},
		{"not a swarm manager", "there is one machine: use the driver bridge"},
		{"Pool overlaps with other one", "another network has these addresses (`docker network inspect` tells them): give this one another subnet"},
		{"non-overlapping IPv6 address pool among the defaults", "give the network an IPv6 subnet under ipam, or the engine some to choose from: in daemon.json, default-address-pools"},
		{"non-overlapping IPv4 address pool among the defaults", "remove networks that nobody uses, or give the engine more to choose from: in daemon.json, default-address-pools"},
		{"error looking up logging plugin", "use a logging driver that the engine has (`docker info` lists them), or install the plugin"},
		{"error looking up volume plugin", "use the driver local, or install the plugin (`docker plugin install`)"},
		{`plugin "`, "use a driver that the engine has, or install the plugin (`docker plugin install`)"},
		{"open /proc/sys/", "this machine's kernel has no such sysctl, or needs a module for it"},
		{"error setting rlimit", "the limit is above the machine's own: for nofile, /proc/sys/fs/nr_open"},
		{"cannot access path", "a subpath must be in the volume before: let a service make it that this one waits for"},
		{"failed to mount local volume", "what the volume's driver_opts name must be there, on the machine or on the network"},
	}
}

const runtimeHint = "tell the engine of that runtime (in daemon.json, runtimes), or leave runtime out"

// refusalHint is the way out of what an Engine refused.
func refusalHint(words string) string {
	for _, r := range refusals() {
		if strings.Contains(words, r.says) {
			return r.hint
		}
	}
	return ""
}
