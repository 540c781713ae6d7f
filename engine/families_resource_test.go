package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
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
					cgroup("cpu/cpu.cfs_quota_us", "cpu.max"):                                   either("70000", "70000 100000"),
					cgroup("cpu/cpu.shares", "cpu.weight"):                                      either("512", "20"),
					cgroup("memory/memory.limit_in_bytes", "memory.max"):                        "67108864",
					cgroup("memory/memory.soft_limit_in_bytes", "memory.low"):                   "33554432",
					cgroup("pids/pids.max", "pids.max"):                                         "50",
					"grep 'open files' /proc/1/limits | tr -s ' '":                              "Max open files 1000 2000 files",
					"cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax": "70\n65535",
					"df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2":                      "8192",
					"cat /proc/1/oom_score_adj":                                                 "200",
					"grep Cpus_allowed_list /proc/self/status | tr -s '\\t' ' '":                "Cpus_allowed_list: 0",
				},
				"quota-1":    {cgroup("cpu/cpu.cfs_quota_us", "cpu.max"): either("25000", "25000 50000")},
				"deployed-1": {cgroup("memory/memory.limit_in_bytes", "memory.max"): "50331648", cgroup("pids/pids.max", "pids.max"): "40"},
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
		"memory under pressure": {
			recipe: `
services:
  web: {image: busybox, command: sleep infinity, init: true, network_mode: none, mem_limit: 64m, mem_swappiness: 10, oom_kill_disable: true, oom_score_adj: 300}
`,
			warns: "kernel does not support", // with the second control groups
			inside: map[string]map[string]string{"web-1": {
				cgroup("memory/memory.swappiness", ""):                 either("10", ""),
				cgroup("memory/memory.oom_control", "") + " | head -1": either("oom_kill_disable 1", ""),
				"cat /proc/1/oom_score_adj":                            "300",
			}},
			outside: func(t *testing.T, s *suite) {
				if secondCgroups() {
					return
				}
				h := s.hostConfig(t, "web-1")
				equal(t, "the swappiness", *h.MemorySwappiness, 10)
				equal(t, "whether the kernel kills", !*h.OomKillDisable, false)
			},
		},
		"block devices": {
			before: func(t *testing.T, s *suite) { s.words = []string{"DISK", aDisk(t)} },
			recipe: `
services:
  web:
    image: busybox
    command: sleep infinity
    init: true
    network_mode: none
    blkio_config:
      device_read_bps: [{path: DISK, rate: 12mb}]
      device_read_iops: [{path: DISK, rate: 120}]
      device_write_bps: [{path: DISK, rate: 1024k}]
      device_write_iops: [{path: DISK, rate: 30}]
`,
			inside: map[string]map[string]string{"web-1": {throttles: "12582912 120 1048576 30"}},
			outside: func(t *testing.T, s *suite) {
				h := s.hostConfig(t, "web-1")
				equal(t, "the rate of reading", h.BlkioDeviceReadBps[0].Rate, 12<<20)
				equal(t, "the operations of reading", h.BlkioDeviceReadIOps[0].Rate, 120)
				equal(t, "the rate of writing", h.BlkioDeviceWriteBps[0].Rate, 1<<20)
				equal(t, "the operations of writing", h.BlkioDeviceWriteIOps[0].Rate, 30)
			},
		},
		// A kernel without weights has the Engine warn and leave them out.
		"weights of block devices": {
			before: func(t *testing.T, s *suite) { s.words = []string{"DISK", aDisk(t)} },
			recipe: `
services:
  web:
    image: busybox
    command: sleep infinity
    init: true
    network_mode: none
    blkio_config: {weight: 300, weight_device: [{path: DISK, weight: 400}]}
`,
			warns: "kernel does not support",
			outside: func(t *testing.T, s *suite) {
				h := s.hostConfig(t, "web-1")
				if len(s.warnings) > 0 {
					equal(t, "the weight that the kernel can't do", h.BlkioWeight, 0)
					return
				}
				equal(t, "the weight", h.BlkioWeight, 300)
				equal(t, "the device's weight", h.BlkioWeightDevice[0].Weight, 400)
			},
		},
		"devices": {
			before: func(t *testing.T, s *suite) {
				disk := aDisk(t)
				number := numberOf(t, disk)
				s.words = []string{"DISK", disk, "NUMBER", strings.ReplaceAll(number, " ", ":"), "NODE", number}
			},
			recipe: `
x-base: &base {image: busybox, command: sleep infinity, init: true, network_mode: none}
services:
  web:
    <<: *base
    devices: ["DISK:/dev/disk:r", /dev/zero]
  ruled: {<<: *base, device_cgroup_rules: ["b NUMBER rm"]}
  plain: {<<: *base}
`,
			inside: map[string]map[string]string{
				"web-1": {
					"head -c 3 /dev/zero | wc -c": "3",
					": </dev/disk && echo open":   "open",
					": 2>&1 >>/dev/disk":          "sh: can't create /dev/disk: Operation not permitted\n(exited with code 1)",
				},
				"ruled-1": {"mknod /disk b NODE && : </disk && echo open": "open"},
				"plain-1": {"mknod /disk b NODE; : 2>&1 </disk": "sh: can't open /disk: Operation not permitted\n(exited with code 1)"},
			},
			outside: func(t *testing.T, s *suite) {
				h := s.hostConfig(t, "web-1")
				equal(t, "the number of devices", len(h.Devices), 2)
				equal(t, "the permissions", h.Devices[0].CgroupPermissions+" "+h.Devices[1].CgroupPermissions, "r rwm")
				equal(t, "the number of rules", len(s.hostConfig(t, "ruled-1").DeviceCgroupRules), 1)
			},
		},
		"cdi devices": {
			api:    "1.44",
			recipe: "services: {web: {image: busybox, command: 'true', devices: [vendor.example/net=a], deploy: {replicas: 0}}}",
		},
		"devices of a driver": {
			recipe: `
x-base: &base {image: busybox, command: sleep infinity, init: true, network_mode: none}
services:
  all: {<<: *base, gpus: all}
  some: {<<: *base, gpus: [{driver: nvidia, device_ids: ["0", "3"], capabilities: [compute], options: {a: b}}]}
  deployed: {<<: *base, deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu, utility]}]}}}}
`,
			refused: "could not select device driver",
			outside: func(t *testing.T, s *suite) {
				for name, want := range map[string]container.DeviceRequest{
					"all-1":      {Count: -1, Capabilities: [][]string{{"gpu"}}},
					"some-1":     {Driver: "nvidia", DeviceIDs: []string{"0", "3"}, Capabilities: [][]string{{"compute", "gpu"}}, Options: map[string]string{"a": "b"}},
					"deployed-1": {Driver: "nvidia", Count: 1, Capabilities: [][]string{{"gpu", "utility"}}},
				} {
					got := s.hostConfig(t, name).DeviceRequests
					if diff := cmp.Diff([]container.DeviceRequest{want}, got, cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("what is asked for by %s differs (-want +got):\n%s", name, diff)
					}
				}
			},
		},
		"room in a container": {
			recipe:  "services: {web: {image: busybox, command: sleep infinity, init: true, network_mode: none, storage_opt: {size: 20m}}}",
			refused: "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
		},
	}
}

// secondCgroups tells whether the machine has the second version of control groups, in which one folder has all.
func secondCgroups() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// cgroup shows a file of a container's own control group, by its path in either version.
func cgroup(first, second string) string {
	path := either(first, second)
	if path == "" {
		return "true"
	}
	return "cat /sys/fs/cgroup/" + path
}

// either is what holds for the machine's version of control groups.
func either(first, second string) string {
	if secondCgroups() {
		return second
	}
	return first
}

// throttles prints the rates of the only device that has any: bytes and operations of reading, then of writing.
const throttles = `cd /sys/fs/cgroup
if test -d blkio; then
	cd blkio
	cat blkio.throttle.read_bps_device blkio.throttle.read_iops_device blkio.throttle.write_bps_device blkio.throttle.write_iops_device | cut -d' ' -f2 | xargs
else
	tr ' ' '\n' <io.max | grep = | sort -t= -k1,1 | sed 's/.*=//' | xargs
fi`

// aDisk is the path of a block device of this machine.
func aDisk(t *testing.T) string {
	t.Helper()
	disks, err := filepath.Glob("/sys/block/*")
	must(t, err)
	for _, disk := range disks {
		path := "/dev/" + filepath.Base(disk)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Skip("this machine has no block device")
	return ""
}

// numberOf is a device's major and minor number.
func numberOf(t *testing.T, path string) string {
	t.Helper()
	var stat unix.Stat_t
	must(t, unix.Stat(path, &stat))
	return fmt.Sprintf("%d %d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev))
}
