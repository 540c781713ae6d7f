package engine_test

import (
	"testing"
)

// resourceFamilies are about what a container may use.
func resourceFamilies() map[string]family {
	return map[string]family{
		"resources": {
			recipe: `
x-base: &base {image: busybox, command: sleep infinity, init: true, network_mode: none}
services:
  legacy:
    <<: *base
    cpus: 0.7
    cpu_shares: 512
    cpuset: "0"
    mem_limit: 64m
    mem_reservation: 32m
    memswap_limit: 96m
    pids_limit: 50
    shm_size: 8m
    oom_score_adj: 200
    ulimits: {nofile: {soft: 1000, hard: 2000}, nproc: 500}
    sysctls: {net.ipv4.ip_unprivileged_port_start: "70", kernel.msgmax: 65535}
  quota: {<<: *base, cpu_period: 50000, cpu_quota: 25000}
  deployed:
    <<: *base
    deploy: {resources: {limits: {cpus: "0.5", memory: 48M, pids: 40}, reservations: {memory: 16M}}, restart_policy: {condition: on-failure, max_attempts: 3}}
`,
			inside: map[string]map[string]string{
				"legacy-1": {
					"grep 'open files' /proc/1/limits | tr -s ' '":                              "Max open files 1000 2000 files",
					"cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax": "70\n65535",
					"df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2":                      "8192",
					"cat /proc/1/oom_score_adj":                                                 "200",
					"grep Cpus_allowed_list /proc/self/status | tr -s '\\t' ' '":                "Cpus_allowed_list: 0",
				},
			},
			outside: func(t *testing.T, s *suite) {
				h := s.hostConfig(t, "legacy-1")
				equal(t, "the processors", h.NanoCPUs, 700000000)
				equal(t, "the shares", h.CPUShares, 512)
				equal(t, "the memory", h.Memory, 64<<20)
				equal(t, "the reservation", h.MemoryReservation, 32<<20)
				equal(t, "memory and swap", h.MemorySwap, 96<<20)
				equal(t, "the processes", *h.PidsLimit, 50)
				quota := s.hostConfig(t, "quota-1")
				equal(t, "the period", quota.CPUPeriod, 50000)
				equal(t, "the quota", quota.CPUQuota, 25000)
				d := s.hostConfig(t, "deployed-1")
				equal(t, "the deployed processors", d.NanoCPUs, 500000000)
				equal(t, "the deployed memory", d.Memory, 48<<20)
				equal(t, "the deployed reservation", d.MemoryReservation, 16<<20)
				equal(t, "the deployed processes", *d.PidsLimit, 40)
				equal(t, "the deployed restarts", d.RestartPolicy.MaximumRetryCount, 3)
			},
		},
		"sysctls of an interface": {
			alone: "it leaves them where newer Engines refuse them",
			recipe: `
services:
  web: {image: busybox, command: sleep infinity, init: true, sysctls: {net.ipv4.conf.eth0.log_martians: "1", net.ipv4.tcp_syncookies: "0"}}
`,
			inside: map[string]map[string]string{"web-1": {
				"cat /proc/sys/net/ipv4/conf/eth0/log_martians /proc/sys/net/ipv4/tcp_syncookies": "1\n0",
			}},
		},
		"sysctls of an interface with a name": {
			api:   "1.49",
			alone: "it leaves them where newer Engines refuse them",
			recipe: `
services:
  web:
    image: busybox
    command: sleep infinity
    init: true
    networks: {a: {}, b: {interface_name: lan0}}
    sysctls: {net.ipv4.conf.lan0.log_martians: "1", net.ipv4.conf.eth0.log_martians: "0"}
networks: {a: {}, b: {}}
`,
			inside: map[string]map[string]string{"web-1": {
				"cat /proc/sys/net/ipv4/conf/lan0/log_martians /proc/sys/net/ipv4/conf/eth0/log_martians": "1\n0",
			}},
		},
		"writable control groups": {
			api: "1.48",
			recipe: `
services:
  web: {image: busybox, command: sleep infinity, init: true, security_opt: ["writable-cgroups=true"]}
`,
			inside: map[string]map[string]string{"web-1": {
				"awk '$3 ~ /^cgroup/ && $4 !~ /^rw/' /proc/mounts": "",
			}},
		},
		"devices": {
			recipe: `
services:
  web:
    image: busybox
    command: sleep infinity
    init: true
    network_mode: none
    devices: ["/dev/null:/dev/nothing:r", /dev/zero]
    device_cgroup_rules: ["c 1:3 rwm"]
`,
			inside: map[string]map[string]string{"web-1": {
				"head -c 3 /dev/zero | wc -c": "3",
				"wc -c </dev/nothing":         "0",
			}},
			outside: func(t *testing.T, s *suite) {
				h := s.hostConfig(t, "web-1")
				equal(t, "the number of devices", len(h.Devices), 2)
				equal(t, "the permissions", h.Devices[0].CgroupPermissions+" "+h.Devices[1].CgroupPermissions, "r rwm")
				equal(t, "the rule", h.DeviceCgroupRules[0], "c 1:3 rwm")
			},
		},
		"cdi devices": {
			api:    "1.44",
			recipe: "services: {web: {image: busybox, command: 'true', devices: [vendor.example/net=a], deploy: {replicas: 0}}}",
		},
	}
}
