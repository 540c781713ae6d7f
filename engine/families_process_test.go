package engine_test

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

// processFamilies are about what a container's process is and may.
func processFamilies() map[string]family {
	return map[string]family{
		"identity": {
			unlike: []difference{{`\.StopTimeout$`, "it cuts the fraction of a second off"}},
			files:  map[string]string{"one.env": "FROM_FILE=yes\nBOTH=file\n", "raw.env": "RAW=\"a\" $B\n", "labels": "from.file=1\n"},
			recipe: `
services:
  web:
    image: busybox
    platform: linux/` + runtime.GOARCH + `
    container_name: PROJECT-web-1
    hostname: front
    domainname: example.com
    user: "33:33"
    group_add: ["1234"]
    working_dir: /tmp
    tty: true
    stdin_open: true
    init: true
    network_mode: none
    entrypoint: [sleep]
    command: [infinity]
    environment: {BOTH: recipe, EMPTY: ""}
    env_file: [one.env, {path: raw.env, format: raw}, {path: absent.env, required: false}]
    labels: {tier: front}
    label_file: labels
    stop_signal: SIGUSR1
    stop_grace_period: 1500ms
    logging: {driver: json-file, options: {max-size: 1m, max-file: "2"}}
`,
			inside: map[string]map[string]string{"web-1": {
				"hostname":                         "front",
				"id -u; id -g; id -G":              "33\n33\n33 1234",
				"pwd":                              "/tmp",
				"echo $FROM_FILE $BOTH [$EMPTY]":   "yes recipe []",
				"echo $RAW":                        `"a" $B`,
				"tr '\\0' ' ' </proc/1/cmdline":    "/sbin/docker-init -- sleep infinity",
				"ls -l /proc/1/fd/0 | grep -c pts": "1",
			}},
			outside: func(t *testing.T, s *suite) {
				c, h := s.config(t, "web-1"), s.hostConfig(t, "web-1")
				equal(t, "the domain", c.Domainname, "example.com")
				equal(t, "the label of the recipe", c.Labels["tier"], "front")
				equal(t, "the label of the file", c.Labels["from.file"], "1")
				equal(t, "the stop signal", c.StopSignal, "SIGUSR1")
				equal(t, "the grace period, in whole seconds", *c.StopTimeout, 2)
				equal(t, "standing input", c.OpenStdin, true)
				equal(t, "the log driver", h.LogConfig.Type, "json-file")
				equal(t, "the log's size", h.LogConfig.Config["max-size"], "1m")
			},
		},
		"annotations": {
			api:    "1.43",
			recipe: "services: {web: {image: busybox, command: sleep infinity, init: true, network_mode: none, annotations: {org.example: x}}}",
			outside: func(t *testing.T, s *suite) {
				equal(t, "the annotation", s.hostConfig(t, "web-1").Annotations["org.example"], "x")
			},
		},
		"security": {
			files: map[string]string{"seccomp.json": `{
  "defaultAction": "SCMP_ACT_ALLOW",
  "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]
}`},
			recipe: `
x-base: &base {image: busybox, command: sleep infinity, init: true, network_mode: none}
services:
  caps: {<<: *base, cap_drop: [ALL], cap_add: [net_admin, CAP_CHOWN], security_opt: ["no-new-privileges:true"]}
  seccomp: {<<: *base, security_opt: [seccomp=seccomp.json]}
  open: {<<: *base, security_opt: [systempaths=unconfined, seccomp=unconfined, apparmor=unconfined, label=disable]}
  older: {<<: *base, security_opt: [no-new-privileges, "apparmor:unconfined", "label:type:container_t"]}
  plain: {<<: *base}
  readonly: {<<: *base, read_only: true, tmpfs: [/scratch]}
`,
			inside: map[string]map[string]string{
				"caps-1": {
					"grep -E 'CapBnd|NoNewPrivs' /proc/self/status | tr -s '\\t' ' '": "CapBnd: 0000000000001001\nNoNewPrivs: 1",
				},
				"seccomp-1": {
					"mkdir /tmp/x 2>&1": "mkdir: can't create directory '/tmp/x': Operation not permitted\n(exited with code 1)",
				},
				"open-1":  {"grep Seccomp: /proc/self/status | tr -s '\\t' ' '": "Seccomp: 0", "grep -c ' /proc/sys ' /proc/mounts; true": "0"},
				"plain-1": {"grep Seccomp: /proc/self/status | tr -s '\\t' ' '": "Seccomp: 2", "grep -c ' /proc/sys ' /proc/mounts; true": "1"},
				"older-1": {"grep -E 'NoNewPrivs|Seccomp:' /proc/self/status | tr -s '\\t' ' '": "NoNewPrivs: 1\nSeccomp: 2"},
				"readonly-1": {
					"touch /x 2>&1":                  "touch: /x: Read-only file system\n(exited with code 1)",
					"touch /scratch/x && echo there": "there",
				},
			},
			outside: func(t *testing.T, s *suite) {
				for name, want := range map[string]string{
					"caps-1":    "no-new-privileges:true",
					"open-1":    "seccomp=unconfined apparmor=unconfined label=disable",
					"older-1":   "no-new-privileges apparmor:unconfined label:type:container_t",
					"seccomp-1": `seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}`,
				} {
					equal(t, "the options of "+name, strings.Join(s.hostConfig(t, name).SecurityOpt, " "), want)
				}
				open := s.hostConfig(t, "open-1")
				equal(t, "the number of paths that are hidden or read-only", len(open.MaskedPaths)+len(open.ReadonlyPaths), 0)
				caps := s.hostConfig(t, "caps-1")
				equal(t, "the number of capabilities", len(caps.CapAdd)+len(caps.CapDrop), 3)
				equal(t, "the read-only root", s.hostConfig(t, "readonly-1").ReadonlyRootfs, true)
			},
		},
		"all privileges": {
			recipe:  "services: {web: {image: busybox, command: sleep infinity, init: true, network_mode: none, privileged: true}}",
			machine: "unable to apply caps",
			inside:  map[string]map[string]string{"web-1": {"grep CapBnd /proc/self/status | grep -vc 00000000a80425fb": "1"}},
		},
		"namespaces": {
			recipe: `
x-base: &base {image: busybox, command: sleep infinity, init: true, network_mode: none}
services:
  first: {<<: *base, ipc: shareable, hostname: first}
  host: {<<: *base, ipc: host, pid: host, uts: host, network_mode: host, cgroup: host, userns_mode: host}
  joined: {<<: *base, ipc: "service:first", pid: "service:first", network_mode: "service:first"}
  none: {<<: *base, network_mode: none, ipc: none}
  parent: {<<: *base, cgroup_parent: galley-test, cgroup: private}
  runtime: {<<: *base, runtime: runc, isolation: default}
`,
			inside: map[string]map[string]string{
				"joined-1": {"hostname": "first", "ps -o comm | grep -c sleep": "2"},
				"none-1":   {"ls /sys/class/net": "lo", "test -d /dev/shm && echo shm; true": ""},
				"parent-1": {"cut -d: -f3 /proc/1/cgroup | sort -u | head -1": "/"},
			},
			outside: func(t *testing.T, s *suite) {
				first := s.inspect(t, "first-1")
				for _, kind := range []string{"ipc", "pid", "net"} {
					equal(t, "the "+kind+" namespace of joined", s.namespace(t, "joined-1", kind), s.namespace(t, "first-1", kind))
					if s.namespace(t, "none-1", kind) == s.namespace(t, "first-1", kind) {
						t.Errorf("none shares the %s namespace with first", kind)
					}
				}
				joined := s.hostConfig(t, "joined-1")
				equal(t, "the ipc mode", string(joined.IpcMode), "container:"+first.ID)
				equal(t, "the network mode", string(joined.NetworkMode), "container:"+first.ID)
				host := s.hostConfig(t, "host-1")
				equal(t, "the modes of host", string(host.PidMode)+string(host.UTSMode)+string(host.NetworkMode)+string(host.CgroupnsMode)+
					string(host.UsernsMode), "hosthosthosthosthost")
				for _, kind := range []string{"ipc", "uts", "net"} {
					machine, err := os.Readlink("/proc/self/ns/" + kind)
					must(t, err)
					equal(t, "the "+kind+" namespace of host", s.namespace(t, "host-1", kind), machine)
				}
				if s.namespace(t, "parent-1", "cgroup") == s.namespace(t, "host-1", "cgroup") {
					t.Error("a private cgroup namespace is the host's")
				}
				inGroup := s.exec(t, "host-1", "sh", "-c", "for p in /proc/[0-9]*; do grep -m1 /galley-test/ $p/cgroup; done 2>/dev/null | wc -l")
				equal(t, "whether processes are in the parent's control group", inGroup != "0", true)
				equal(t, "the parent", s.hostConfig(t, "parent-1").CgroupParent, "galley-test")
				equal(t, "the runtime", s.hostConfig(t, "runtime-1").Runtime, "runc")
			},
		},
	}
}

// namespace names a namespace of a container's processes.
func (s *suite) namespace(t *testing.T, name, kind string) string {
	return s.exec(t, name, "readlink", "/proc/self/ns/"+kind)
}
