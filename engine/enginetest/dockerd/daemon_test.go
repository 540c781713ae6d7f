package dockerd

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/docker/go-connections/nat"
)

// own starts a daemon that the test may kill.
func own(t *testing.T, opts Options) *Daemon {
	t.Helper()
	ForTest(t) // skips where it must
	opts.Log = t.Output()
	if opts.Version == "" {
		opts.Version = os.Getenv("GALLEY_TEST_ENGINE")
	}
	daemon, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	busybox, err := Busybox(t.Context(), t.Output())
	if err == nil {
		err = LoadImage(t.Context(), daemon.Client(), busybox)
	}
	if err != nil {
		t.Error(err)
	}
	return daemon
}

// start creates and starts a container, of busybox unless config says otherwise, and returns its id.
func start(t *testing.T, d *Daemon, config container.Config, host container.HostConfig) string {
	t.Helper()
	if config.Image == "" {
		config.Image = "busybox"
	}
	yes := true
	host.Init = &yes
	var networks network.NetworkingConfig
	if host.NetworkMode != "" {
		endpoint := &network.EndpointSettings{Aliases: []string{config.Hostname}}
		networks.EndpointsConfig = map[string]*network.EndpointSettings{string(host.NetworkMode): endpoint}
	}
	created, err := d.Client().ContainerCreate(t.Context(), &config, &host, &networks, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Client().ContainerStart(t.Context(), created.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.Client().ContainerRemove(context.WithoutCancel(t.Context()), created.ID, container.RemoveOptions{Force: true})
	})
	return created.ID
}

// said waits for a container's end and returns what it wrote.
func said(t *testing.T, d *Daemon, id string) string {
	t.Helper()
	ended, failed := d.Client().ContainerWait(t.Context(), id, container.WaitConditionNotRunning)
	select {
	case <-ended:
	case err := <-failed:
		t.Fatal(err)
	}
	return logs(t, d, id)
}

// logs returns what a container has written until now.
func logs(t *testing.T, d *Daemon, id string) string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	stream, err := d.Client().ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var out strings.Builder
	if _, err := stdcopy.StdCopy(&out, &out, stream); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestStopLeavesNothing(t *testing.T) {
	d := own(t, Options{})
	start(t, d, container.Config{Cmd: []string{"sleep", "infinity"}}, container.HostConfig{})
	_, err := d.Client().NetworkCreate(t.Context(), "left", network.CreateOptions{
		IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: "198.51.100.0/24"}}},
	})
	if err != nil {
		t.Error(err)
	}
	if n := leftovers(t, d); n < 3 {
		t.Errorf("found %d traces of a running daemon, want its folder, two bridges and control groups", n)
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if n := leftovers(t, d); n != 0 {
		t.Errorf("found %d traces of a stopped daemon", n)
	}
}

// leftovers counts the folder, the bridges and the control groups of a daemon.
func leftovers(t *testing.T, d *Daemon) (found int) {
	t.Helper()
	if _, err := os.Stat(d.Dir()); err == nil {
		found++
	}
	devices, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, device := range devices {
		addresses, err := device.Addrs()
		if err != nil {
			continue // a device of another test, that just went
		}
		for _, address := range addresses {
			if device.Name == d.name || address.String() == "198.51.100.1/24" {
				found++
			}
		}
	}
	groups, err := exec.Command("find", "/sys/fs/cgroup", "-name", d.name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return found + strings.Count(string(groups), "\n")
}

func TestKilledDaemonKeepsItsContainersFiles(t *testing.T) {
	d := own(t, Options{Flags: []string{"--live-restore"}})
	defer func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	}()
	id := start(t, d, container.Config{Cmd: []string{"sleep", "infinity"}}, container.HostConfig{})
	before, err := d.Client().ContainerInspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Client().Ping(t.Context()); err == nil || d.Running() {
		t.Errorf("a killed daemon answers a ping: err = %v", err)
	}
	for range 2 { // from dead, and from running
		if err := d.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	after, err := d.Client().ContainerInspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if !after.State.Running || after.State.Pid != before.State.Pid {
		t.Errorf("with --live-restore, the container is %s with pid %d, want running with %d", after.State.Status, after.State.Pid, before.State.Pid)
	}
}

func TestDaemonsRunSideBySide(t *testing.T) {
	first := ForTest(t)
	second := own(t, Options{})
	defer func() {
		if err := second.Stop(); err != nil {
			t.Error(err)
		}
	}()
	id := start(t, second, container.Config{Cmd: []string{"true"}}, container.HostConfig{})
	if _, err := first.Client().ContainerInspect(t.Context(), id); err == nil {
		t.Error("one daemon sees another's container")
	}
}

func TestContainersOfANetworkReachEachOtherByName(t *testing.T) {
	d := ForTest(t)
	made, err := d.Client().NetworkCreate(t.Context(), "reach", network.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Client().NetworkRemove(context.WithoutCancel(t.Context()), made.ID) })
	server := web()
	server.Hostname = "server"
	awaitHealthy(t, d, start(t, d, server, container.HostConfig{NetworkMode: "reach"}))
	id := start(t, d, container.Config{Cmd: []string{"wget", "-qO-", "http://server"}}, container.HostConfig{NetworkMode: "reach"})
	if got := said(t, d, id); got != "hello\n" {
		t.Errorf("the server answers %q", got)
	}
}

func TestPublishedPortAnswers(t *testing.T) {
	d := ForTest(t)
	id := start(t, d, web(), container.HostConfig{PortBindings: nat.PortMap{"80/tcp": {{HostIP: "127.0.0.1"}}}})
	awaitHealthy(t, d, id)
	info, err := d.Client().ContainerInspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get("http://127.0.0.1:" + info.NetworkSettings.Ports["80/tcp"][0].HostPort)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "hello\n" {
		t.Errorf("the published port answers %q, err = %v", body, err)
	}
}

// web is a container that answers every request with hello.
func web() container.Config {
	return container.Config{
		Cmd:          []string{"sh", "-c", "mkdir /www; echo hello >/www/index.html; exec httpd -f -h /www"},
		Healthcheck:  &container.HealthConfig{Test: []string{"CMD", "wget", "-qO-", "http://127.0.0.1"}, Interval: 100 * time.Millisecond},
		ExposedPorts: nat.PortSet{"80/tcp": {}},
	}
}

// awaitHealthy waits for the container's healthcheck to pass.
func awaitHealthy(t *testing.T, d *Daemon, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	// The Engine begins with the events of the past, so none is missed.
	changes, failed := d.Client().Events(ctx, events.ListOptions{
		Since:   "1",
		Filters: filters.NewArgs(filters.Arg("container", id), filters.Arg("event", "health_status")),
	})
	for {
		select {
		case change := <-changes:
			if change.Action == events.ActionHealthStatusHealthy {
				return
			}
		case err := <-failed:
			t.Fatalf("waiting for a healthy container: %v", err)
		}
	}
}

func TestImageIsWhatItWasToldToBe(t *testing.T) {
	d := ForTest(t)
	made, err := Busybox(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	made.Names = []string{"galley-test/told:1"}
	made.Config = container.Config{
		User:         "www-data",
		Cmd:          []string{"sh", "-c", "id -un; cat /etc/told; stat -c '%U %a' /var/told"},
		Volumes:      map[string]struct{}{"/var/told": {}},
		ExposedPorts: nat.PortSet{"80/tcp": {}},
		StopSignal:   "SIGQUIT",
		Healthcheck:  &container.HealthConfig{Test: []string{"CMD", "true"}, Retries: 7},
	}
	made.Root.File("/etc/told", "so it was\n")
	made.Root.Dir("/var/told", 0o700, 33)
	for range 2 { // the second time changes nothing
		if err := LoadImage(t.Context(), d.Client(), made); err != nil {
			t.Fatal(err)
		}
	}
	id := start(t, d, container.Config{Image: made.Names[0]}, container.HostConfig{})
	if got, want := said(t, d, id), "www-data\nso it was\nwww-data 700\n"; got != want {
		t.Errorf("the container says %q, want %q", got, want)
	}
	info, err := d.Client().ContainerInspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	c := info.Config
	if c.StopSignal != "SIGQUIT" || c.Healthcheck.Retries != 7 || len(info.Mounts) != 1 || len(c.ExposedPorts) != 1 {
		t.Errorf("the container has stop signal %q, healthcheck %+v, mounts %v, ports %v", c.StopSignal, c.Healthcheck, info.Mounts, c.ExposedPorts)
	}
}

func TestUnknownVersionIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("dockerd needs root")
	}
	_, err := Start(t.Context(), Options{Version: "1.0"})
	if want := `finding Engine "1.0": known are 20.10, 26.1, 28.5, 28.5+containerd`; err == nil || err.Error() != want {
		t.Errorf("Start with an unknown version: %v, want %s", err, want)
	}
}
