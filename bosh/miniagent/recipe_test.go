package miniagent

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
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
			"second":   sleeper(map[string]any{"depends_on": map[string]any{"first": map[string]any{"condition": "service_healthy"}}, "volumes": []any{"$PWD/conf:/conf:ro", "data:/data"}}),
			"stubborn": sleeper(map[string]any{"command": []any{"sh", "-c", "trap '' TERM; while :; do sleep 1; done"}, "stop_grace_period": "1s"}),
		}),
	}
	properties["recipe"].(map[string]any)["volumes"] = map[string]any{"data": map[string]any{}}
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
			"wait":   map[string]any{"timeout": 30},
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
	v.leaveOriginal()
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
}

// leaveOriginal makes a volume with something in it, and a container, with the names and labels that docker-compose 1.29 gave.
func (v *vm) leaveOriginal() {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	docker := v.docker()
	v.do("/var/vcap/packages/galley/bin/galley", "-H", "unix:///var/vcap/sys/run/docker/docker.sock", "import")
	labels := map[string]string{"com.docker.compose.project": "running", "com.docker.compose.version": "1.29.2"}
	with := func(key, value string) map[string]string {
		all := map[string]string{key: value}
		for k, v := range labels {
			all[k] = v
		}
		return all
	}
	if _, err := docker.VolumeCreate(ctx, volume.CreateOptions{Name: "running_data", Labels: with("com.docker.compose.volume", "data")}); err != nil {
		v.t.Fatal(err)
	}
	own := with("com.docker.compose.service", "web")
	own["com.docker.compose.container-number"], own["com.docker.compose.oneoff"], own["com.docker.compose.config-hash"] = "1", "False", "0123"
	made, err := docker.ContainerCreate(ctx,
		&container.Config{Image: "app:1", Cmd: []string{"sh", "-c", "echo kept >/data/kept; sleep 86400"}, Labels: own},
		&container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: "running_data", Target: "/data"}}}, nil, nil, "running_web_1")
	if err == nil {
		err = docker.ContainerStart(ctx, made.ID, container.StartOptions{})
	}
	if err != nil {
		v.t.Fatal(err)
	}
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
