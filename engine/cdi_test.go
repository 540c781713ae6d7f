package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/versions"

	"galley/engine"
	"galley/engine/enginetest/dockerd"
)

// aDevice is what a vendor's tool writes: the null device under another name, with a variable and a file.
const aDevice = `{
  "cdiVersion": "0.5.0",
  "kind": "galley.example/net",
  "devices": [
    {"name": "a", "containerEdits": {
      "env": ["INJECTED=yes"],
      "deviceNodes": [{"path": "/dev/injected", "hostPath": "/dev/null"}],
      "mounts": [{"hostPath": "%[1]s", "containerPath": "/injected", "options": ["ro", "bind"]}]
    }},
    {"name": "b", "containerEdits": {"env": ["SECOND=too"]}}
  ]
}`

const withDevices = `
services:
  web: {image: busybox, command: sleep infinity, init: true, network_mode: none, devices: [galley.example/net=a, galley.example/net=b, /dev/zero]}
`

// TestCDIDevicesOfARealEngine holds that a container has what the specifications of its devices say, on an Engine of its own
// that reads them from a folder of the test.
func TestCDIDevicesOfARealEngine(t *testing.T) {
	api := dockerd.ForTest(t).Client().ClientVersion()
	if versions.LessThan(api, "1.44") {
		t.Skipf("the Engine, of API %s, knows no CDI", api)
	}
	specs := t.TempDir()
	must(t, os.WriteFile(filepath.Join(specs, "net.json"), fmt.Appendf(nil, aDevice, specs), 0o644))
	daemon, err := dockerd.Start(t.Context(), dockerd.Options{
		Version: os.Getenv("GALLEY_TEST_ENGINE"), Log: t.Output(),
		Flags: []string{"--experimental", "--cdi-spec-dir", specs},
	})
	must(t, err)
	t.Cleanup(func() {
		if err := daemon.Stop(); err != nil {
			t.Error(err)
		}
	})
	if versions.LessThan(api, "1.51") { // from Engine 28.3 on it is the default
		must(t, os.WriteFile(daemon.ConfigFile(), []byte(`{"features": {"cdi": true}}`), 0o600))
		must(t, daemon.Restart(t.Context()))
	}
	busybox, err := dockerd.Busybox(t.Context(), t.Output())
	must(t, err)
	must(t, dockerd.LoadImage(t.Context(), daemon.Client(), busybox))

	s := newSuite(t, daemon.Host(), "cdi", "")
	s.mustUp(t, s.load(t, withDevices), engine.DiffOptions{})
	for script, want := range map[string]string{
		"tr '\\0' '\\n' </proc/1/environ | grep -E 'INJECTED|SECOND'": "INJECTED=yes\nSECOND=too",
		"test -c /dev/injected && wc -c </dev/injected":               "0",
		"ls /injected; test -c /dev/zero && echo zero":                "net.json\nzero",
	} {
		equal(t, script, s.exec(t, "web-1", "sh", "-c", script), want)
	}
	requests := s.hostConfig(t, "web-1").DeviceRequests
	equal(t, "the number of requests", len(requests), 1)
	equal(t, "the driver", requests[0].Driver, "cdi")
	equal(t, "the devices", strings.Join(requests[0].DeviceIDs, " "), "galley.example/net=a galley.example/net=b")
}
