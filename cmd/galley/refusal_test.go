package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"galley/engine/enginetest/dockerd"
)

// TestRefusalsOfARealEngineAreToldWithAWayOut holds what is read where the machine or the Engine can't do what a recipe says:
// what it was for, the Engine's words, and the way out. The words are those of all versions.
func TestRefusalsOfARealEngineAreToldWithAWayOut(t *testing.T) {
	daemon := dockerd.ForTest(t)
	host := daemon.Host()
	info, err := daemon.Client().Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const service, network, volume = `service "web": (creating|starting) container NAME-web-1: `, `creating network NAME_lan: `, `creating volume NAME_data: `
	for i, test := range []struct{ name, recipe, says, hint string }{
		{"gpus", "gpus: all", service + `could not select device driver "" with capabilities: \[\[gpu\]\]`, "container toolkit"},
		{"devices of a driver", "deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]}}}",
			service + `could not select device driver "nvidia" with`, "container toolkit"},
		{"cdi", "devices: [galley.example/net=a]", service + `.*(galley.example/net=a|driver "cdi")|needs engine API 1.44`, "cdi|bring the engine up to date"},
		{"storage", "storage_opt: {size: 20m}", service + "--storage-opt is supported only", "leave storage_opt out"},
		{"runtime", "runtime: nowhere", service + "(Unknown runtime specified|unknown or invalid runtime name:) nowhere", "leave runtime out"},
		{"sysctl", "sysctls: {net.ipv4.nowhere: \"1\"}", service + "error during container init: open /proc/sys/net/ipv4/nowhere: no such file or directory", "no such sysctl"},
		{"ulimit", "ulimits: {nofile: 2000000000}", service + "error during container init: error setting rlimits? .*: operation not permitted", "nr_open"},
		{"subpath", "volumes: [{type: volume, source: data, target: /data, volume: {subpath: nowhere}}]\nvolumes: {data: {}}",
			service + "cannot access path .*nowhere|needs engine API 1.45", "subpath must be|bring the engine up to date"},
		{"volume's device", "volumes: [\"data:/data\"]\nvolumes: {data: {driver_opts: {type: none, o: bind, device: /nowhere}}}",
			service + ".*failed to mount local volume: mount /nowhere", "driver_opts name must be there"},
		{"volume's size", "volumes: [\"data:/data\"]\nvolumes: {data: {driver_opts: {size: 10m}}}", volume + ".*no quota support", "leave the option size out"},
		{"overlay", "networks: [lan]\nnetworks: {lan: {driver: overlay}}", network + ".*not a swarm manager", "use the driver bridge"},
		{"macvlan", "networks: [lan]\nnetworks: {lan: {driver: macvlan, driver_opts: {parent: nowhere}}}", network + "invalid subinterface vlan name nowhere", "ip link"},
		{"macvlan on loopback", "networks: [lan]\nnetworks: {lan: {driver: macvlan, driver_opts: {parent: lo}}}", network + ".*not a valid macvlan parent", "as eth0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "storage" && (info.Driver != "overlay2" || slices.Contains(info.DriverStatus, [2]string{"Backing Filesystem", "xfs"})) {
				t.Skipf("the storage driver %s may limit a container's room here, or ignores it", info.Driver)
			}
			t.Parallel()
			name := fmt.Sprintf("refusal%d", i)
			recipe := "name: " + name + "\nservices:\n  web:\n    image: busybox\n    command: sleep infinity\n    init: true\n    " + test.recipe + "\n"
			t.Cleanup(func() { sweep(t, host, name) })
			p := beginAt(t, host, recipe, "up", "-d")
			if err := p.Run(); code(err) != exitFailed && code(err) != exitUnreachable {
				t.Errorf("exit code %d", code(err))
			}
			text := p.stderr.String()
			for start, want := range map[string]string{"error: ": strings.ReplaceAll(test.says, "NAME", name), "hint: ": test.hint} {
				if !regexp.MustCompile(`(?m)^` + start + `.*(` + want + `)`).MatchString(text) {
					t.Errorf("there is no line %q with %q in:\n%s", start, want, text)
				}
			}
		})
	}
}

// TestWordsOfEnginesHaveAWayOut is of what takes an Engine half a minute to say, or what not every machine lacks.
func TestWordsOfEnginesHaveAWayOut(t *testing.T) {
	for words, hint := range map[string]string{
		`plugin "weave" not found`: "install the plugin",
		`error looking up logging plugin nothere: plugin "nothere" not found`:                         "logging driver that the engine has",
		`create shop_data: error looking up volume plugin nothere: plugin "nothere" not found`:        "use the driver local",
		"invalid pool request: Pool overlaps with other one on this address space":                    "another subnet",
		"failed to create the ipvlan port: operation not supported":                                   "no ipvlan",
		`could not select device driver "cdi" with capabilities: []`:                                  "features: {cdi: true}",
		"could not find an available, non-overlapping IPv6 address pool among the defaults to assign": "an IPv6 subnet",
		"could not find an available, non-overlapping IPv4 address pool among the defaults to assign": "nobody uses",
		"port is already allocated": "",
	} {
		if got := refusalHint(words); !strings.Contains(got, hint) || hint == "" && got != "" {
			t.Errorf("%s: the hint is %q, want %q in it", words, got, hint)
		}
	}
}
