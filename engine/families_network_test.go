package engine_test

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"galley/engine"
)

// networkFamilies are about how containers find each other and the world.
func networkFamilies() map[string]family {
	return map[string]family{
		"networks": {
			recipe: `
x-base: &base {image: busybox, command: sleep infinity, init: true}
services:
  web:
    <<: *base
    mac_address: 02:42:ac:11:00:99
    networks:
      front: {aliases: [www], ipv4_address: SUBNET.10, ipv6_address: "SUBNET6:10", priority: 100, link_local_ips: [169.254.8.8], driver_opts: {a.b: c}}
      back: {aliases: [hidden]}
  client: {<<: *base, networks: [front]}
  linked: {<<: *base, networks: [back], links: ["web:frontend"], external_links: ["PROJECT-web-1:outside"]}
  world:
    <<: *base
    dns: [192.0.2.53]
    dns_search: [corp.example]
    dns_opt: ["ndots:3"]
    extra_hosts: {db.example: 192.0.2.7, gateway.example: host-gateway}
    ports: ["127.0.0.1::80", "[::1]::81/udp"]
    expose: ["9000"]
networks:
  front:
    enable_ipv6: true
    ipam: {config: [{subnet: SUBNET.0/24, gateway: SUBNET.1}, {subnet: "SUBNET6:/64"}]}
    labels: {a: b}
  back: {internal: true, attachable: true, driver_opts: {com.docker.network.bridge.enable_icc: "true"}}
`,
			inside: map[string]map[string]string{
				"web-1": {
					"ip -4 addr show | grep -c SUBNET.10/24":        "1",
					"ip -6 addr show | grep -c SUBNET6:10/64":       "1",
					"ip addr | grep -ci 02:42:ac:11:00:99":          "1",
					"ip addr | grep -c 169.254.8.8":                 "1",
					"ls /sys/class/net | grep -c eth":               "2",
					"ip route | grep -c 'default via SUBNET.1 dev'": "1",
				},
				"client-1": {
					"for n in web www PROJECT-web-1; do nslookup -type=a $n 127.0.0.11 | grep -c SUBNET.10; done": "1\n1\n1",
				},
				"linked-1": {
					"for n in frontend outside hidden; do nslookup $n 127.0.0.11 >/dev/null && echo found; done": "found\nfound\nfound",
				},
				"world-1": {
					"grep -c 'ndots:3' /etc/resolv.conf; grep -c corp.example /etc/resolv.conf": "1\n1",
					"grep db.example /etc/hosts | tr -s '\\t ' ' '":                             "192.0.2.7 db.example",
					"grep -c gateway.example /etc/hosts":                                        "1",
				},
			},
			outside: func(t *testing.T, s *suite) {
				front := s.inspect(t, "web-1").NetworkSettings.Networks[s.project+"_front"]
				equal(t, "the link-local address", strings.Join(front.IPAMConfig.LinkLocalIPs, " "), "169.254.8.8")
				equal(t, "the driver's option", front.DriverOpts["a.b"], "c")
				equal(t, "the hardware address", front.MacAddress, "02:42:ac:11:00:99")
				n, err := s.docker.NetworkInspect(t.Context(), s.project+"_back", network.InspectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "internal and attachable", n.Internal && n.Attachable, true)
				equal(t, "the network's option", n.Options["com.docker.network.bridge.enable_icc"], "true")
				h, c := s.hostConfig(t, "world-1"), s.config(t, "world-1")
				equal(t, "the name server", h.DNS[0], "192.0.2.53")
				equal(t, "the IPv4 address", h.PortBindings["80/tcp"][0].HostIP, "127.0.0.1")
				equal(t, "the IPv6 address", h.PortBindings["81/udp"][0].HostIP, "::1")
				_, exposed := c.ExposedPorts["9000/tcp"]
				equal(t, "the exposed port", exposed, true)
			},
		},
		"services without their names": {
			alone: "it doesn't know use_service_name_alias",
			recipe: `
services:
  web: {image: busybox, command: sleep infinity, init: true, networks: {default: {use_service_name_alias: false, aliases: [www]}}}
`,
			inside: map[string]map[string]string{"web-1": {
				"nslookup web 127.0.0.11 >/dev/null 2>&1 || echo none": "none",
				"nslookup www 127.0.0.11 >/dev/null && echo found":     "found",
			}},
		},
		"links on the default bridge": {
			recipe: bridgeLinks,
			inside: map[string]map[string]string{"web-1": {"grep -c -w database /etc/hosts": "1", "echo $DATABASE_ENV_ROLE": "first"}},
			outside: func(t *testing.T, s *suite) {
				p := s.load(t, strings.Replace(bridgeLinks, "first", "second", 1))
				s.mustUp(t, p, engine.DiffOptions{})
				equal(t, "what the link to the replaced container tells", s.exec(t, "web-1", "sh", "-c", "echo $DATABASE_ENV_ROLE"), "second")
				equal(t, "the plan afterwards", s.plan(t, p), "")
			},
		},
		"what is external": {
			recipe: `
services:
  web: {image: busybox, command: sleep infinity, init: true, networks: [lan], volumes: ["data:/data"]}
networks: {lan: {external: true, name: outside-PROJECT}}
volumes: {data: {external: true, name: outside-PROJECT}}
`,
			before: makeExternal,
			inside: map[string]map[string]string{"web-1": {"touch /data/x && ls /sys/class/net | grep -c eth": "1"}},
			outside: func(t *testing.T, s *suite) {
				info := s.inspect(t, "web-1")
				equal(t, "the volume", info.Mounts[0].Name, "outside-"+s.project)
				if info.NetworkSettings.Networks["outside-"+s.project] == nil {
					t.Errorf("the container is on %v", info.NetworkSettings.Networks)
				}
			},
		},
		"macvlan": {
			machine: "operation not supported",
			before:  makeParent,
			recipe:  besideTheHost("macvlan"),
			inside:  besideTheHostInside(),
			outside: func(t *testing.T, s *suite) {
				n, err := s.docker.NetworkInspect(t.Context(), s.project+"_lan", network.InspectOptions{})
				must(t, err)
				equal(t, "the driver", n.Driver, "macvlan")
				equal(t, "the parent", n.Options["parent"], s.words[1])
			},
		},
		"ipvlan": {
			machine: "operation not supported",
			before:  makeParent,
			recipe:  besideTheHost("ipvlan"),
			inside:  besideTheHostInside(),
		},
		"a range of a subnet": {
			recipe: `
services:
  web: {image: busybox, command: sleep infinity, init: true, networks: [lan]}
networks:
  lan:
    driver: bridge
    ipam:
      driver: default
      config: [{subnet: SUBNET.0/24, ip_range: SUBNET.128/25, gateway: SUBNET.2, aux_addresses: {router: SUBNET.128, printer: SUBNET.129}}]
`,
			inside: map[string]map[string]string{"web-1": {
				"ip -4 addr show | grep -c SUBNET.130/24":    "1",
				"ip route | grep -c 'default via SUBNET.2 '": "1",
			}},
			outside: func(t *testing.T, s *suite) {
				n, err := s.docker.NetworkInspect(t.Context(), s.project+"_lan", network.InspectOptions{})
				must(t, err)
				c := n.IPAM.Config[0]
				equal(t, "the range", c.IPRange, s.subnet+".128/25")
				equal(t, "the gateway", c.Gateway, s.subnet+".2")
				equal(t, "the address set aside", c.AuxAddress["printer"], s.subnet+".129")
			},
		},
		"a range of host ports": {
			recipe: `
services:
  web: {image: busybox, command: sleep infinity, init: true, scale: 3, ports: ["127.0.0.1:38300-38309:80"]}
`,
			outside: func(t *testing.T, s *suite) {
				ports := map[string]bool{}
				for _, name := range []string{"web-1", "web-2", "web-3"} {
					ports[s.inspect(t, name).NetworkSettings.Ports["80/tcp"][0].HostPort] = true
				}
				equal(t, "the number of ports", len(ports), 3)
			},
		},
		"hardware addresses on several networks": {
			api: "1.44",
			recipe: `
services:
  web:
    image: busybox
    command: sleep infinity
    init: true
    networks: {a: {priority: 2, mac_address: 02:42:ac:11:00:0a}, b: {mac_address: 02:42:ac:11:00:0b}}
networks: {a: {}, b: {}}
`,
			inside: map[string]map[string]string{"web-1": {"ip link | grep -c '02:42:ac:11:00:0[ab]'": "2"}},
		},
		"gateway priority and interface names": {
			api: "1.49",
			recipe: `
services:
  web:
    image: busybox
    command: sleep infinity
    init: true
    networks: {a: {interface_name: lan0}, b: {gw_priority: 5, interface_name: wan0}}
networks: {a: {}, b: {}}
`,
			inside: map[string]map[string]string{"web-1": {
				"ls /sys/class/net | grep -v lo$":      "lan0\nwan0",
				"ip route | grep -c 'default .* wan0'": "1",
			}},
			outside: func(t *testing.T, s *suite) {
				networks := s.inspect(t, "web-1").NetworkSettings.Networks
				equal(t, "the priority", networks[s.project+"_b"].GwPriority, 5)
				equal(t, "the interface's name", networks[s.project+"_b"].DriverOpts["com.docker.network.endpoint.ifname"], "wan0")
			},
		},
		"networks without IPv4": {
			api: "1.48",
			recipe: `
services:
  web: {image: busybox, command: sleep infinity, init: true, networks: [six]}
networks: {six: {enable_ipv4: false, enable_ipv6: true, ipam: {config: [{subnet: "SUBNET6:/64"}]}}}
`,
			inside: map[string]map[string]string{"web-1": {"ip -4 addr show scope global | wc -l; ip -6 addr | grep -c SUBNET6:": "0\n1"}},
			outside: func(t *testing.T, s *suite) {
				address := s.inspect(t, "web-1").NetworkSettings.Networks[s.project+"_six"].GlobalIPv6Address
				equal(t, "an address of the subnet", strings.HasPrefix(address, "fd00:232:"), true)
			},
		},
	}
}

// bridgeLinks is a recipe on the Engine's default bridge, where a link is to one container.
const bridgeLinks = `
services:
  db: {image: busybox, command: sleep infinity, init: true, network_mode: bridge, environment: {ROLE: first}}
  web: {image: busybox, command: sleep infinity, init: true, network_mode: bridge, links: ["db:database"]}
`

// makeExternal makes a network and a volume that are no project's.
func makeExternal(t *testing.T, s *suite) {
	name := "outside-" + s.project
	if _, err := s.docker.NetworkCreate(t.Context(), name, network.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.docker.VolumeCreate(t.Context(), volume.CreateOptions{Name: name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cleanUp(t) // what uses them
		ctx := context.Background()
		if err := errors.Join(s.docker.NetworkRemove(ctx, name), s.docker.VolumeRemove(ctx, name, false)); err != nil {
			t.Error(err)
		}
	})
}

// besideTheHost is a recipe with a network of containers that have addresses beside the host's.
func besideTheHost(driver string) string {
	return `
x-base: &base {image: busybox, command: sleep infinity, init: true}
services:
  web: {<<: *base, networks: {lan: {ipv4_address: SUBNET.10}}}
  other: {<<: *base, networks: {lan: {ipv4_address: SUBNET.11}}}
networks:
  lan: {driver: ` + driver + `, driver_opts: {parent: PARENT}, ipam: {config: [{subnet: SUBNET.0/24}]}}
`
}

func besideTheHostInside() map[string]map[string]string {
	return map[string]map[string]string{
		"web-1":   {"ip addr | grep -c SUBNET.10/24": "1"},
		"other-1": {"ping -c 1 -w 10 SUBNET.10 >/dev/null && echo answers": "answers"},
	}
}

// makeParent makes an interface, PARENT, on which such a network can be. Engines of other processes are in the same network
// namespace, so its name has that of this one's folder.
func makeParent(t *testing.T, s *suite) {
	slot := strings.TrimPrefix(filepath.Base(filepath.Dir(s.host)), "galley-test")
	name, peer := "p"+slot+s.project, "q"+slot+s.project
	ip := func(args ...string) error { return exec.Command("ip", args...).Run() }
	must(t, ip("link", "add", name, "type", "veth", "peer", "name", peer))
	t.Cleanup(func() {
		s.cleanUp(t)
		must(t, ip("link", "delete", name))
	})
	must(t, ip("link", "set", name, "up"))
	must(t, ip("link", "set", peer, "up"))
	s.words = []string{"PARENT", name}
}
