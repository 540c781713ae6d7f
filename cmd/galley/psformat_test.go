package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/google/go-cmp/cmp"

	"galley/compose"
	"galley/engine"
)

// TestPorts holds the column to what the docker CLI prints for the same ports.
func TestPorts(t *testing.T) {
	port := func(ip string, public, private uint16, protocol string) container.Port {
		return container.Port{IP: ip, PublicPort: public, PrivatePort: private, Type: protocol}
	}
	for _, test := range []struct {
		want string
		all  []container.Port
	}{
		{"", nil},
		{"80/tcp", []container.Port{port("", 0, 80, "tcp")}},
		{"80-82/tcp, 84/tcp", []container.Port{port("", 0, 84, "tcp"), port("", 0, 81, "tcp"), port("", 0, 80, "tcp"), port("", 0, 82, "tcp")}},
		{"0.0.0.0:18080->80/tcp, [::]:18080->80/tcp", []container.Port{port("::", 18080, 80, "tcp"), port("0.0.0.0", 18080, 80, "tcp")}},
		{"0.0.0.0:80-81->80-81/tcp, [::]:80-81->80-81/tcp", []container.Port{port("0.0.0.0", 80, 80, "tcp"), port("::", 80, 80, "tcp"), port("0.0.0.0", 81, 81, "tcp"), port("::", 81, 81, "tcp")}},
		{"99/tcp, 127.0.0.1:9->1/udp", []container.Port{port("127.0.0.1", 9, 1, "udp"), port("", 0, 99, "tcp")}},
	} {
		if got := ports(test.all); got != test.want {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
	}
}

func running1() *engine.Container {
	return &engine.Container{
		ID: strings.Repeat("ab", 32), Name: "shop-db-1", Service: "db", Number: 1, Phase: "running", Health: "starting",
		Summary: container.Summary{
			ID: strings.Repeat("ab", 32), Names: []string{"/shop-db-1", "/other/link"}, Image: "busybox", ImageID: "sha256:cead13c6c44acdc6a642",
			Command: "sh -c 'trap 'exit 0' TERM; echo db up'", Created: time.Now().Add(-90 * time.Second).Unix(),
			Labels: map[string]string{compose.LabelProject: "shop", "b": "2"}, State: "running", Status: "Up 3 seconds (health: starting)",
			Mounts: []container.MountPoint{{Type: "volume", Name: "shop_a_long_volume_name", Driver: "local"}, {Type: "bind", Source: "/tmp"}},
			NetworkSettings: &container.NetworkSettingsSummary{Networks: map[string]*network.EndpointSettings{
				"shop_default": {}, "shop_back": {},
			}},
			Ports: []container.Port{{IP: "0.0.0.0", PublicPort: 8080, PrivatePort: 80, Type: "tcp"}},
		},
	}
}

func TestContainersTableHasDockerComposesColumns(t *testing.T) {
	var out bytes.Buffer
	if err := writeContainers(&out, "table", []*engine.Container{running1()}, true); err != nil {
		t.Fatal(err)
	}
	want := "NAME        IMAGE     COMMAND                  SERVICE   CREATED              STATUS                            PORTS\n" +
		"shop-db-1   busybox   \"sh -c 'trap 'exit 0…\"   db        About a minute ago   Up 3 seconds (health: starting)   0.0.0.0:8080->80/tcp\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestContainersJSONHasDockerComposesFields(t *testing.T) {
	var out bytes.Buffer
	if err := writeContainers(&out, "json", []*engine.Container{running1()}, true); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if created, _ := got["CreatedAt"].(string); !strings.HasPrefix(created, "20") {
		t.Errorf("CreatedAt is %q", created)
	}
	delete(got, "CreatedAt")
	want := map[string]any{
		"Command": "\"sh -c 'trap 'exit 0…\"", "ExitCode": 0.0, "Health": "starting", "ID": "abababababab", "Image": "busybox",
		"Labels": "b=2,com.docker.compose.project=shop", "LocalVolumes": "1", "Mounts": "shop_a_long_vo…,/tmp", "Name": "shop-db-1",
		"Names": "shop-db-1", "Networks": "shop_back,shop_default", "Ports": "0.0.0.0:8080->80/tcp", "Project": "shop",
		"Publishers": []any{map[string]any{"URL": "0.0.0.0", "TargetPort": 80.0, "PublishedPort": 8080.0, "Protocol": "tcp"}},
		"RunningFor": "About a minute ago", "Service": "db", "Size": "0B", "State": "running", "Status": "Up 3 seconds (health: starting)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
