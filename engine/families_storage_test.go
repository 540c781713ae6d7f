package engine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/mount"
)

// storageFamilies are about mounts.
func storageFamilies() map[string]family {
	return map[string]family{
		"mounts": {
			files: map[string]string{"site/index.html": "hello", "page": "text"},
			recipe: `
x-base: &base {image: busybox, command: sleep infinity, init: true, network_mode: none}
services:
  binds:
    <<: *base
    volumes:
      - ./site:/site:ro
      - ./made:/made
      - ./site:/labelled:ro,z
      - {type: bind, source: ./page, target: /page, read_only: true, bind: {create_host_path: false, propagation: rslave}}
      - {type: bind, source: ./site, target: /flat, bind: {recursive: disabled, create_host_path: false}}
  volumes:
    <<: *base
    volumes:
      - data:/data
      - {type: volume, source: data, target: /again, read_only: true}
      - {type: volume, source: empty, target: /root/../etc, volume: {nocopy: true}}
      - {type: volume, source: filled, target: /var}
      - /anonymous
  memory:
    <<: *base
    volumes: [{type: tmpfs, target: /small, tmpfs: {size: 4194304, mode: 0700}}]
    tmpfs: ["/scratch:size=2m,mode=1770,uid=33"]
  writer: {<<: *base, volumes: ["shared:/shared", "/own"]}
  other: {<<: *base, volumes_from: [writer, "container:PROJECT-binds-1"], depends_on: [binds]}
volumes: {data: {labels: {a: b}}, empty: {}, filled: {}, shared: {}}
`,
			inside: map[string]map[string]string{
				"binds-1": {
					"cat /site/index.html /page /flat/index.html":           "hellotexthello",
					"touch /site/x 2>&1":                                    "touch: /site/x: Read-only file system\n(exited with code 1)",
					"echo x >/made/x && cat /made/x":                        "x",
					"grep -c ' /page .*master:' /proc/self/mountinfo; true": "1",
				},
				"volumes-1": {
					"echo x >/data/x && cat /again/x":             "x",
					"touch /again/y 2>&1":                         "touch: /again/y: Read-only file system\n(exited with code 1)",
					"test -e /etc/passwd || echo none":            "none",
					"test -d /var/tmp && echo copied":             "copied",
					"grep -c ' /anonymous ' /proc/self/mountinfo": "1",
				},
				"memory-1": {
					"df -k /small | tail -1 | tr -s ' ' | cut -d' ' -f2; stat -c %a /small":          "4096\n700",
					"df -k /scratch | tail -1 | tr -s ' ' | cut -d' ' -f2; stat -c '%a %u' /scratch": "2048\n1770 33",
				},
				"writer-1": {"echo x >/shared/x && echo x >/own/x && cat /own/x": "x"},
				"other-1":  {"touch /shared/z && cat /page": "text"},
			},
			outside: func(t *testing.T, s *suite) {
				if info, err := os.Stat(filepath.Join(s.dir, "made")); err != nil || !info.IsDir() {
					t.Errorf("the missing bind source was not made: %v", err)
				}
				v, err := s.docker.VolumeInspect(t.Context(), s.project+"_data")
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "the volume's label", v.Labels["a"], "b")
				memory := s.hostConfig(t, "memory-1")
				equal(t, "the size in memory", memory.Mounts[0].TmpfsOptions.SizeBytes, 4<<20)
				equal(t, "the mode in memory", memory.Mounts[0].TmpfsOptions.Mode, 0o700)
				equal(t, "the options in memory", memory.Tmpfs["/scratch"], "size=2m,mode=1770,uid=33")
				equal(t, "the label", strings.Contains(strings.Join(s.hostConfig(t, "binds-1").Binds, " "), ":/labelled:ro,z"), true)
				for _, m := range s.hostConfig(t, "binds-1").Mounts {
					if m.Target == "/page" {
						equal(t, "the propagation", m.BindOptions.Propagation, mount.PropagationRSlave)
					}
				}
			},
		},
		"configs and secrets": {
			files: map[string]string{".env": "TOKEN=t0ken\nGREETING=hello\n", "word.txt": "hunter2", "page.conf": "listen 80"},
			recipe: `
services:
  web:
    image: busybox
    command: sleep infinity
    init: true
    network_mode: none
    configs: [page, {source: inline, target: /etc/app/inline, uid: "33", gid: "34", mode: 0440}, {source: named, target: /etc/app/named}]
    secrets: [word, {source: word, target: again}, {source: token, uid: "33", gid: "34", mode: 0400}]
configs:
  page: {file: ./page.conf}
  inline: {content: "$$HOME ${GREETING}"}
  named: {environment: GREETING}
secrets:
  word: {file: ./word.txt}
  token: {environment: TOKEN}
`,
			inside: map[string]map[string]string{"web-1": {
				"cat /page; echo; cat /etc/app/inline; echo; cat /etc/app/named":       "listen 80\n$HOME hello\nhello",
				"cd /run/secrets; cat word; echo; cat again; echo; cat token":          "hunter2\nhunter2\nt0ken",
				"stat -c '%a %u:%g' /etc/app/inline /etc/app/named /run/secrets/token": "440 33:34\n444 0:0\n400 33:34",
				"env | grep -c -E 't0ken|hunter2'; true":                               "0",
			}},
			outside: func(t *testing.T, s *suite) {
				for _, m := range s.inspect(t, "web-1").Mounts {
					equal(t, "whether "+m.Destination+" can be written", m.RW, false)
				}
			},
		},
		"volumes of another service that can't be written": {
			alone: "it drops the ro",
			recipe: `
x-base: &base {image: busybox, command: sleep infinity, init: true, network_mode: none}
services:
  writer: {<<: *base, volumes: ["shared:/shared", "/own"]}
  reader: {<<: *base, volumes_from: ["writer:ro"]}
volumes: {shared: {}}
`,
			inside: map[string]map[string]string{
				"writer-1": {"echo x >/shared/x && echo x >/own/x && cat /own/x": "x"},
				"reader-1": {
					"touch /shared/y 2>&1": "touch: /shared/y: Read-only file system\n(exited with code 1)",
					"touch /own/y 2>&1":    "touch: /own/y: Read-only file system\n(exited with code 1)",
				},
			},
		},
		"recursive read-only mounts": {
			api: "1.44",
			recipe: `
x-base: &base {image: busybox, command: sleep infinity, init: true, network_mode: none}
services:
  forced: {<<: *base, volumes: [{type: bind, source: /dev, target: /tree, read_only: true, bind: {recursive: readonly, propagation: rprivate}}]}
  writable: {<<: *base, volumes: [{type: bind, source: /dev, target: /tree, read_only: true, bind: {recursive: writable}}]}
  flat: {<<: *base, volumes: [{type: bind, source: /dev, target: /tree, read_only: true, bind: {recursive: disabled}}]}
`,
			inside: map[string]map[string]string{
				"forced-1":   {"grep ' /tree/shm ' /proc/self/mountinfo | cut -d' ' -f6 | cut -d, -f1 | sort -u": "ro"},
				"writable-1": {"grep -E ' /tree(/shm)? ' /proc/self/mountinfo | cut -d' ' -f6 | cut -d, -f1 | sort -u": "ro\nrw"},
				"flat-1":     {"grep -c ' /tree/' /proc/self/mountinfo; grep ' /tree ' /proc/self/mountinfo | cut -d' ' -f6 | cut -d, -f1": "0\nro"},
			},
			outside: func(t *testing.T, s *suite) {
				options := func(name string) mount.BindOptions { return *s.hostConfig(t, name).Mounts[0].BindOptions }
				equal(t, "forced", options("forced-1").ReadOnlyForceRecursive, true)
				equal(t, "writable", options("writable-1").ReadOnlyNonRecursive, true)
				equal(t, "flat", options("flat-1").NonRecursive, true)
			},
		},
		"subpaths of volumes": {
			api: "1.45",
			recipe: `
services:
  first: {image: busybox, command: "mkdir -p /all/part", network_mode: none, volumes: ["data:/all"]}
  web:
    image: busybox
    command: sleep infinity
    init: true
    network_mode: none
    depends_on: {first: {condition: service_completed_successfully}}
    volumes: [{type: volume, source: data, target: /part, volume: {subpath: part}}]
volumes: {data: {}}
`,
			inside: map[string]map[string]string{"web-1": {"ls -a /part/..| grep -c all; touch /part/x; ls /part": "0\nx"}},
			outside: func(t *testing.T, s *suite) {
				equal(t, "the subpath", s.hostConfig(t, "web-1").Mounts[0].VolumeOptions.Subpath, "part")
			},
		},
		"volumes that are mounts of the kernel": {
			recipe: `
x-base: &base {image: busybox, command: sleep infinity, init: true, network_mode: none}
services:
  web: {<<: *base, volumes: [{type: volume, source: memory, target: /memory, volume: {labels: {of: mount}}}, "bound:/bound"]}
  other: {<<: *base, volumes: [{type: volume, target: /own, volume: {nocopy: true, labels: {of: mount}}}]}
volumes:
  memory: {name: PROJECT-memory, driver: local, driver_opts: {type: tmpfs, device: tmpfs, o: "size=4m,uid=33"}, labels: {of: recipe}}
  bound: {driver_opts: {type: none, o: bind, device: "FOLDER"}}
`,
			files: map[string]string{"page": "text"},
			inside: map[string]map[string]string{
				"web-1": {
					"df -k /memory | tail -1 | tr -s ' ' | cut -d' ' -f2; stat -c %u /memory": "4096\n33",
					"cat /bound/page": "text",
				},
				"other-1": {"touch /own/x && echo there": "there"},
			},
			outside: func(t *testing.T, s *suite) {
				v, err := s.docker.VolumeInspect(t.Context(), s.project+"-memory")
				must(t, err)
				equal(t, "the label", v.Labels["of"], "recipe")
				equal(t, "the option", v.Options["o"], "size=4m,uid=33")
				own := s.inspect(t, "other-1").Mounts[0]
				v, err = s.docker.VolumeInspect(t.Context(), own.Name)
				must(t, err)
				equal(t, "the label of an anonymous volume", v.Labels["of"], "mount")
				equal(t, "nocopy", s.hostConfig(t, "other-1").Mounts[0].VolumeOptions.NoCopy, true)
			},
		},
		"image mounts": { // one image twice in one container is more than Engine 28.5 can do
			api:   "1.48",
			warns: "experimental",
			recipe: `
services:
  whole: {image: busybox, command: sleep infinity, init: true, network_mode: none, volumes: [{type: image, source: busybox, target: /image}]}
  part: {image: busybox, command: sleep infinity, init: true, network_mode: none, volumes: [{type: image, source: busybox, target: /part, image: {subpath: etc}}]}
`,
			inside: map[string]map[string]string{
				"whole-1": {"test -e /image/bin/busybox && echo there": "there"},
				"part-1":  {"test -e /part/passwd && echo there": "there"},
			},
			outside: func(t *testing.T, s *suite) {
				m := s.hostConfig(t, "part-1").Mounts[0]
				equal(t, "the type", m.Type, mount.TypeImage)
				equal(t, "the part", m.ImageOptions.Subpath, "etc")
			},
		},
		"socket of the engine": {
			alone:  "it takes the machine's own socket, wherever the Engine is, and hands out the user's credentials beside it",
			recipe: "services: {web: {image: busybox, command: sleep infinity, init: true, network_mode: none, use_api_socket: true}}",
			inside: map[string]map[string]string{"web-1": {"test -S /var/run/docker.sock && echo socket": "socket"}},
		},
	}
}
