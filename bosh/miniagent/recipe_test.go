package miniagent

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	dockernetwork "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
)

// sleeper is a service that does nothing, at once on request.
func sleeper(more map[string]any) map[string]any {
	service := map[string]any{"image": "app:1", "command": []any{"sh", "-c", "trap exit TERM; sleep 86400 & wait"}, "stop_grace_period": "5s"}
	for key, value := range more {
		service[key] = value
	}
	return service
}

// services makes a recipe of services.
func services(all map[string]any) map[string]any { return map[string]any{"services": all} }

// container is what matters of one.
type box struct {
	id, status string
	started    string
	exit       int
}

// boxes are the project's containers by service.
func (v *vm) boxes() map[string]box {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	docker := v.docker()
	list, err := docker.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", "com.docker.compose.project=running"))})
	if err != nil {
		v.t.Fatal(err)
	}
	all := map[string]box{}
	for _, c := range list {
		info, err := docker.ContainerInspect(ctx, c.ID)
		if err != nil {
			v.t.Fatal(err)
		}
		all[c.Labels["com.docker.compose.service"]] = box{c.ID, info.State.Status, info.State.StartedAt, info.State.ExitCode}
	}
	return all
}

// TestTheLifeOfARecipe goes through what happens to a VM in the course of time.
func TestTheLifeOfARecipe(t *testing.T) {
	t.Parallel()
	v := newVM(t, newNetwork(t))
	archive := filepath.Join(v.dir, "app.tar")
	imageArchive(t, archive, "app:1")
	properties := map[string]any{
		"pull_policy": "never",
		"files":       map[string]any{"conf/x": "one\n"},
		"recipe": services(map[string]any{
			"first":    sleeper(map[string]any{"healthcheck": map[string]any{"test": []any{"CMD", "true"}, "interval": "1s"}}),
			"second":   sleeper(map[string]any{"secrets": []any{"token"}, "depends_on": map[string]any{"first": map[string]any{"condition": "service_healthy"}}, "volumes": []any{"$PWD/conf:/conf:ro", "data:/data"}}),
			"stubborn": sleeper(map[string]any{"command": []any{"sh", "-c", "trap '' TERM; while :; do sleep 1; done"}, "stop_grace_period": "1s"}),
		}),
	}
	properties["env"] = map[string]any{"TOKEN": "t0p"}
	properties["recipe"].(map[string]any)["volumes"] = map[string]any{"data": map[string]any{}}
	properties["recipe"].(map[string]any)["secrets"] = map[string]any{"token": map[string]any{"environment": "TOKEN"}}
	d := deployment{properties: properties, images: map[string]string{"app.tar": archive}}

	if err := v.deploy(d); err != nil { // the images come from the list alone
		t.Fatal(err)
	}
	first := v.boxes()
	for _, service := range []string{"first", "second", "stubborn"} {
		if first[service].status != "running" {
			t.Errorf("after the first deployment %s is %q", service, first[service].status)
		}
	}
	if got := v.do("sh", "-c", "cat /proc/$(cat /var/vcap/sys/run/docker/galley.pid)/comm"); strings.TrimSpace(got) != "galley" {
		t.Errorf("the pidfile is that of %q", got)
	}
	if out, err := v.galley("ps"); err != nil || !strings.Contains(out, "running-first-1") {
		t.Errorf("galley ps on the VM: %v\n%s", err, out)
	}

	// Nothing has changed for this job, but another one on the VM has: it is stopped and started.
	v.stop("job_unchanged")
	if err := v.script("pre-start"); err != nil {
		t.Fatal(err)
	}
	v.start()
	if err := v.script("post-start"); err != nil {
		t.Fatal(err)
	}
	same := v.boxes()
	for service, box := range first {
		if same[service].id != box.id {
			t.Errorf("the container of %s is another one, though nothing changed", service)
		}
	}

	// A file alone changes: what mounts it is replaced, and sees it.
	properties["files"] = map[string]any{"conf/x": "two\n"}
	if err := v.deploy(d); err != nil {
		t.Fatal(err)
	}
	changed := v.boxes()
	if changed["second"].id == first["second"].id || changed["first"].id != first["first"].id {
		t.Errorf("after a change of a file: %v, before: %v", changed, first)
	}
	if out, err := v.galley("exec", "-T", "second", "cat", "/conf/x"); err != nil || !strings.Contains(out, "two") {
		t.Errorf("the container reads %q, %v", out, err)
	}

	v.reboot()
	v.awaitRunning()
	v.awaitUp()
	rebooted := v.boxes()
	for service, box := range changed {
		if rebooted[service].id != box.id || rebooted[service].status != "running" {
			t.Errorf("after the reboot %s is %v, before %v", service, rebooted[service], box)
		}
	}
	if rebooted["second"].started < rebooted["first"].started {
		t.Errorf("the reboot started second at %s, before first at %s, which it depends on", rebooted["second"].started, rebooted["first"].started)
	}

	if out, err := v.galley("exec", "-T", "second", "sh", "-c", "cat /run/secrets/token && stat -f -c ' on %T' /run/secrets/token"); err != nil || !strings.Contains(out, "t0p on tmpfs") {
		t.Errorf("after the reboot the secret is %q, %v", out, err)
	}

	for _, victims := range [][]string{{"galley"}, {"docker"}, {"docker", "galley"}} {
		v.crash(victims...)
		v.awaitUp()
		for service, box := range v.boxes() {
			if box.status != "running" {
				t.Errorf("after kill -9 of %v %s is %q", victims, service, box.status)
			}
		}
	}

	v.stop("job_shutdown")
	v.do("umount", "/var/vcap/store")

	// A new stemcell: another VM gets the disk.
	v.newRootDisk()
	if err := v.deploy(d); err != nil {
		t.Fatal(err)
	}
	for service, box := range v.boxes() {
		if box.id != changed[service].id || box.status != "running" {
			t.Errorf("on another VM %s is %v, before %v", service, box, changed[service])
		}
	}
}

// TestASickServiceIsToldOfAndAStubbornOneIsStopped breaks a service and mends it, updates to what can't run, and stops
// containers that would not stop for an hour.
func TestASickServiceIsToldOfAndAStubbornOneIsStopped(t *testing.T) {
	t.Parallel()
	v := newVM(t, newNetwork(t))
	archive := filepath.Join(v.dir, "app.tar")
	imageArchive(t, archive, "app:1")
	check := map[string]any{"test": []any{"CMD", "test", "!", "-e", "/sick"}, "interval": "1s", "retries": 1}
	stubborn := sleeper(map[string]any{"command": []any{"sh", "-c", "trap '' TERM; while :; do sleep 1; done"}, "stop_grace_period": "1h"})
	d := deployment{
		properties: map[string]any{
			"pull_policy": "never", "rollback": true, "drain": map[string]any{"timeout": 3},
			"recipe": services(map[string]any{"web": sleeper(map[string]any{"healthcheck": check}), "stubborn": stubborn}),
		},
		images: map[string]string{"app.tar": archive},
	}
	if err := v.deploy(d); err != nil {
		t.Fatal(err)
	}
	v.testSickness()
	v.testRollback(d)

	// Something that has the disk in use is named, since nobody may unmount it then.
	begun := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	user := v.inside(ctx, "sh", "-c", "cd /var/vcap/store/docker && echo && exec sleep 86400")
	entered, err := user.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := user.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := entered.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	v.drain("job_shutdown")
	if box := v.boxes()["stubborn"]; box.status != "exited" || box.exit != 137 {
		t.Errorf("after drain the stubborn container is %v", box)
	}
	v.stopServices()
	t.Logf("drain and stop took %s", time.Since(begun).Round(time.Second))
	if took := time.Since(begun); took > slow*time.Minute {
		t.Errorf("drain and stop took %s", took)
	}
	if err := v.script("post-stop"); err == nil || !strings.Contains(err.Error(), "(sleep) uses \"/var/vcap/store/docker\"") {
		t.Errorf("with a process in the data root post-stop says %v", err)
	}
	cancel()
	_ = user.Wait() // killed
	v.do("sh", "-c", "pkill -x sleep; while pgrep -x sleep; do :; done")
	if err := v.script("post-stop"); err != nil {
		t.Error(err)
	}
	v.do("umount", "/var/vcap/store")
}

// testSickness makes the service web unhealthy and healthy again.
func (v *vm) testSickness() {
	v.t.Helper()
	is := func(state string) func(map[string]service) bool {
		return func(all map[string]service) bool {
			return all["galley"].state() == state && all["docker"].state() == "running"
		}
	}
	before := v.boxes()
	for _, tt := range []struct{ command, state, said string }{{"touch", "failing", "unhealthy"}, {"rm", "running", "2 of 2 services up"}} {
		if out, err := v.galley("exec", "-T", "web", tt.command, "/sick"); err != nil {
			v.t.Fatalf("%v\n%s", err, out)
		}
		v.monit.await(v.t, "monit says that galley is "+tt.state, within, is(tt.state))
		if said, _ := v.galley("status"); !strings.Contains(said, tt.said) { // it fails while something is wrong
			v.t.Errorf("galley status does not say %q:\n%s", tt.said, said)
		}
	}
	if after := v.boxes(); after["web"] != before["web"] {
		v.t.Errorf("the container was restarted: %v, before %v", after["web"], before["web"])
	}
}

// testRollback updates to a recipe whose image is missing: the deployment fails, and what ran before runs again. The earlier
// manifest then touches nothing.
func (v *vm) testRollback(good deployment) {
	v.t.Helper()
	before := v.boxes()
	bad := good
	bad.properties = maps.Clone(good.properties)
	all := maps.Clone(good.properties["recipe"].(map[string]any)["services"].(map[string]any))
	all["web"] = sleeper(map[string]any{"image": "app:2"})
	bad.properties["recipe"] = services(all)
	if err := v.deploy(bad); err == nil || !strings.Contains(err.Error(), "app:2") {
		v.t.Errorf("the deployment of a recipe that can't run: %v", err)
	}
	if err := v.deploy(good); err != nil {
		v.t.Fatal(err)
	}
	after := v.boxes()
	if after["stubborn"].id != before["stubborn"].id || after["web"].status != "running" || after["stubborn"].status != "running" {
		v.t.Errorf("after the roll back there are %v, before %v", after, before)
	}
}

// TestACanaryThatFailsSaysWhy deploys a recipe whose service dies, and one whose prep fails.
func TestACanaryThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	v := newVM(t, newNetwork(t))
	archive := filepath.Join(v.dir, "app.tar")
	imageArchive(t, archive, "app:1")
	for _, tt := range []struct {
		name, want string
		properties map[string]any
	}{
		{"the recipe is invalid", "imagee", map[string]any{"recipe": services(map[string]any{"web": map[string]any{"imagee": "app:1"}})}},
		{"addresses clash", "default-address-pools", map[string]any{
			"default-address-pools": []any{map[string]any{"base": "203.0.0.0/16", "size": 24}}, "recipe": services(map[string]any{"web": sleeper(nil)}),
		}},
		{"a service dies", "no such table", map[string]any{
			"wait":   map[string]any{"timeout": 30, "steady": 10},
			"recipe": services(map[string]any{"web": sleeper(map[string]any{"command": []any{"sh", "-c", "echo no such table; exit 7"}})}),
		}},
		{"prep fails", "no disk today", map[string]any{
			"prep": "#!/bin/sh\necho no disk today >&2\nexit 3\n", "recipe": services(map[string]any{"web": sleeper(nil)}),
		}},
	} {
		tt.properties["pull_policy"] = "never"
		err := v.attempt(deployment{properties: tt.properties, images: map[string]string{"app.tar": archive}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

// TestTheOriginalsVolumesAreKept starts with what the original release left: containers of docker-compose 1.29, and a volume.
func TestTheOriginalsVolumesAreKept(t *testing.T) {
	t.Parallel()
	v := newVM(t, newNetwork(t))
	archive := filepath.Join(v.dir, "app.tar")
	imageArchive(t, archive, "app:1")
	if err := v.deploy(deployment{images: map[string]string{"app.tar": archive}}); err != nil {
		t.Fatal(err)
	}
	network := v.leaveOriginal()
	properties := map[string]any{"pull_policy": "never", "recipe": map[string]any{
		"version":  "3",
		"services": map[string]any{"web": sleeper(map[string]any{"volumes": []any{"data:/data"}})},
		"volumes":  map[string]any{"data": nil},
	}}
	if err := v.deploy(deployment{properties: properties, images: map[string]string{"app.tar": archive}}); err != nil {
		t.Fatal(err)
	}
	if out, err := v.galley("exec", "-T", "web", "cat", "/data/kept"); err != nil || !strings.Contains(out, "kept") {
		t.Errorf("the volume has %q, %v", out, err)
	}
	if got := v.boxes(); len(got) != 1 {
		t.Errorf("there are other containers than the recipe's: %v", got)
	}
	if same, err := v.docker().NetworkInspect(t.Context(), "running_default", dockernetwork.InspectOptions{}); err != nil || same.ID != network || len(same.Containers) != 1 {
		t.Errorf("the network is %s with %v, %v; the original made %s", same.ID, same.Containers, err, network)
	}
}

// leaveOriginal makes a volume with something in it, a network and a container, with the names and labels that docker-compose
// 1.29 gave. It returns the network's id.
func (v *vm) leaveOriginal() string {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	docker := v.docker()
	v.do("/var/vcap/packages/galley/bin/galley", "-H", "unix:///var/vcap/sys/run/docker/docker.sock", "import")
	labels := map[string]string{"com.docker.compose.project": "running", "com.docker.compose.version": "1.29.2"}
	labelled := func(key, value string) map[string]string {
		all := map[string]string{key: value}
		for k, v := range labels {
			all[k] = v
		}
		return all
	}
	if _, err := docker.VolumeCreate(ctx, volume.CreateOptions{Name: "running_data", Labels: labelled("com.docker.compose.volume", "data")}); err != nil {
		v.t.Fatal(err)
	}
	network, err := docker.NetworkCreate(ctx, "running_default", dockernetwork.CreateOptions{Labels: labelled("com.docker.compose.network", "default")})
	if err != nil {
		v.t.Fatal(err)
	}
	own := labelled("com.docker.compose.service", "web")
	own["com.docker.compose.container-number"], own["com.docker.compose.oneoff"], own["com.docker.compose.config-hash"] = "1", "False", "0123"
	made, err := docker.ContainerCreate(ctx,
		&container.Config{Image: "app:1", Cmd: []string{"sh", "-c", "echo kept >/data/kept; sleep 86400"}, Labels: own},
		&container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: "running_data", Target: "/data"}}, NetworkMode: "running_default"}, nil, nil, "running_web_1")
	if err == nil {
		err = docker.ContainerStart(ctx, made.ID, container.StartOptions{})
	}
	if err != nil {
		v.t.Fatal(err)
	}
	return network.ID
}

// attempt deploys; where the recipe is refused before anything starts, the job is taken off the VM again.
func (v *vm) attempt(d deployment) error {
	v.t.Helper()
	err := v.deploy(d)
	if services, asking := v.monit.status(); asking != nil || len(services) == 0 {
		for _, file := range []string{"jobs/docker", "monit/docker.monitrc"} {
			if err := os.Remove(filepath.Join(v.dir, "vcap", file)); err != nil {
				v.t.Fatal(err)
			}
		}
	}
	return err
}

// awaitUp waits as an operator does: until galley says that all is up.
func (v *vm) awaitUp() {
	v.t.Helper()
	deadline := time.Now().Add(within)
	for {
		next := v.monit.next()
		out, err := v.galley("wait", "--timeout", "2m", "--status", "/var/vcap/sys/run/docker/status.json")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("not up: %v\n%s", err, out)
		}
		<-next
	}
}

// crash kills processes of the job, by the names that monit has for them, and waits until monit has started others.
func (v *vm) crash(names ...string) {
	v.t.Helper()
	before, err := v.monit.status()
	if err != nil {
		v.t.Fatal(err)
	}
	pids := map[string]string{}
	kill := []string{"kill", "-9"}
	for _, name := range names {
		pids[name] = strings.TrimSpace(v.do("cat", "/var/vcap/sys/run/docker/"+name+".pid"))
		kill = append(kill, pids[name])
	}
	v.do(kill...)
	v.monit.await(v.t, "monit has started anew what was killed", within, func(all map[string]service) bool {
		for _, name := range names {
			if all[name].PID == before[name].PID || all[name].PID <= 0 {
				return false
			}
		}
		for _, s := range all {
			if s.state() != "running" {
				return false
			}
		}
		return len(all) == len(before)
	})
}
