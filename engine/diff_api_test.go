package engine_test

import (
	"errors"
	"strings"
	"testing"

	"galley/compose"
	"galley/engine"
)

// TestWhatNeedsANewerEngineFailsThePlan holds each least API at its boundary: the version before it gets an error that names
// both, and no step; the version itself gets a plan.
func TestWhatNeedsANewerEngineFailsThePlan(t *testing.T) {
	for _, c := range []struct{ attribute, before, api, service, more string }{
		{"volumes[0].bind", "1.41", "1.42", `volumes: [{type: bind, source: "/a:b", target: /b}]`, ""},
		{"volumes[0].type", "1.41", "1.42", `volumes: [{type: cluster, source: csi, target: /csi}]`, "volumes: {csi: {}}"},
		{"annotations", "1.42", "1.43", `annotations: {a: b}`, ""},
		{"healthcheck.start_interval", "1.43", "1.44", `healthcheck: {test: "true", start_interval: 1s}`, ""},
		{"devices[0].source", "1.43", "1.44", `devices: [vendor.example/net=a]`, ""},
		{"volumes[0].bind.recursive", "1.43", "1.44", `volumes: [{type: bind, source: /, target: /b, read_only: true, bind: {recursive: readonly, create_host_path: false}}]`, ""},
		{"networks.b.mac_address", "1.43", "1.44", `networks: {a: {}, b: {mac_address: "02:42:ac:11:00:0b"}}`, "networks: {a: {}, b: {}}"},
		{"volumes[0].volume.subpath", "1.44", "1.45", `volumes: [{type: volume, source: data, target: /d, volume: {subpath: x}}]`, "volumes: {data: {}}"},
		{
			"networks.default.driver_opts.com.docker.network.endpoint.sysctls", "1.45", "1.46",
			`networks: {default: {driver_opts: {com.docker.network.endpoint.sysctls: net.ipv4.conf.IFNAME.log_martians=1}}}`, "",
		},
		{"security_opt[1]", "1.47", "1.48", `security_opt: [label=disable, writable-cgroups=true]`, ""},
		{"volumes[0].type", "1.47", "1.48", `volumes: [{type: image, source: app, target: /i}]`, ""},
		{"networks.default.gw_priority", "1.47", "1.48", `networks: {default: {gw_priority: 1}}`, ""},
		{"networks.a.enable_ipv4", "1.47", "1.48", `networks: [a]`, "networks: {a: {enable_ipv4: false, enable_ipv6: true}}"},
		{"networks.default.interface_name", "1.48", "1.49", `networks: {default: {interface_name: lan0}}`, ""},
	} {
		t.Run(c.attribute+" "+c.api, func(t *testing.T) {
			recipe := "services:\n  web:\n    image: app\n    " + c.service + "\n" + c.more + "\n"
			want, _, err := compose.Load(t.Context(), compose.Source{Files: []string{"-"}, Stdin: strings.NewReader(recipe), Dir: t.TempDir(), Name: "shop"})
			if err != nil {
				t.Fatal(err)
			}
			have := &engine.State{Project: want.Name, API: c.before}
			plan, err := engine.Diff(want, have, engine.DiffOptions{})
			var old *engine.TooOldError
			if !errors.As(err, &old) || plan != nil {
				t.Fatalf("API %s gives the plan %v and the error %v, want none and one that says it is too old", c.before, plan, err)
			}
			path := "services.web." + c.attribute
			if c.attribute == "networks.a.enable_ipv4" {
				path = c.attribute
			}
			if old.Attribute != path || old.Need != c.api || old.Have != c.before {
				t.Errorf("the error is %+v, want %s, %s and %s", old, path, c.api, c.before)
			}
			have.API = c.api
			if _, err := engine.Diff(want, have, engine.DiffOptions{}); err != nil {
				t.Errorf("API %s gives the error %v", c.api, err)
			}
		})
	}
}

// TestWhatNewerEnginesRefuseFailsThePlan holds the first API that refuses an attribute at its boundary.
func TestWhatNewerEnginesRefuseFailsThePlan(t *testing.T) {
	for _, c := range []struct{ api, service string }{
		{"1.46", "networks: [a, b]"},
		{"1.48", "network_mode: bridge"},
	} {
		name := map[string]string{"1.46": "net.ipv4.conf.eth1.log_martians", "1.48": "net.ipv4.conf.eth0.log_martians"}[c.api]
		recipe := "services:\n  web:\n    image: app\n    " + c.service + "\n    sysctls: {" + name + ": 1}\nnetworks: {a: {}, b: {}}\n"
		want, _, err := compose.Load(t.Context(), compose.Source{Files: []string{"-"}, Stdin: strings.NewReader(recipe), Dir: t.TempDir(), Name: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		have := &engine.State{Project: want.Name, API: c.api}
		plan, err := engine.Diff(want, have, engine.DiffOptions{})
		var young *engine.TooNewError
		if !errors.As(err, &young) || plan != nil {
			t.Fatalf("API %s gives the plan %v and the error %v, want none and one that says it is too new", c.api, plan, err)
		}
		if young.Attribute != "services.web.sysctls."+name || !strings.HasPrefix(young.Place, "-:5:") || young.Hint == "" {
			t.Errorf("the error is %+v, want %s, its place and a hint", young, name)
		}
		have.API = map[string]string{"1.46": "1.45", "1.48": "1.47"}[c.api]
		if _, err := engine.Diff(want, have, engine.DiffOptions{}); err != nil {
			t.Errorf("API %s gives the error %v", have.API, err)
		}
	}
}
