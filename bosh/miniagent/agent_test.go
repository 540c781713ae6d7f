package miniagent

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// latin1 reads what monit calls ISO-8859-1; all that is read here is ASCII.
func latin1(_ string, input io.Reader) (io.Reader, error) { return input, nil }

// The times that the agent and the director give. They are stretched, for a machine that does much else.
const (
	slow       = 3
	stopBudget = 5 * time.Minute // all services of the VM together
)

// deployment is what is deployed to a VM.
type deployment struct {
	properties map[string]any
	links      map[string]map[string]any
	// images are archives by name, that a colocated job of images brings.
	images map[string]string
	spec   map[string]any
}

// deploy does what the agent does with a VM whose job docker is new or has changed, in its order, and gives the failure of a
// script.
func (v *vm) deploy(d deployment) error {
	v.t.Helper()
	bundle, changed := v.install(d)
	if !changed {
		return nil // the director leaves such a VM alone
	}
	if v.deployed() {
		v.stop("job_changed")
	}
	v.link("jobs/docker", bundle)
	v.makeJobDirs()
	if err := v.script("pre-start"); err != nil {
		return err
	}
	v.start()
	return v.script("post-start")
}

// deployed tells whether a job docker is on the VM.
func (v *vm) deployed() bool {
	_, err := os.Lstat(filepath.Join(v.dir, "vcap/jobs/docker"))
	return err == nil
}

// install renders the job to a bundle of its own, with the agent's owners and modes, and tells whether it is another one
// than before.
func (v *vm) install(d deployment) (bundle string, changed bool) {
	v.t.Helper()
	properties := map[string]any{
		"daemon_options": map[string]any{"cgroup-parent": "/" + v.name},
		"wait":           map[string]any{"steady": 0}, // most tests are not about that, and need not wait
	}
	for key, value := range d.properties {
		properties[key] = value
	}
	s := spec("docker")
	s["ip"], s["address"] = v.address, v.address
	for key, value := range d.spec {
		s[key] = value
	}
	input, err := json.Marshal([]any{properties, d.links, s})
	if err != nil {
		v.t.Fatal(err)
	}
	bundle = fmt.Sprintf("/var/vcap/data/jobs/docker/%x", sha256.Sum256(input))[:60]
	v.installImages(d.images)
	at := filepath.Join(v.dir, strings.TrimPrefix(bundle, "/var/"))
	if current, err := os.Readlink(filepath.Join(v.dir, "vcap/jobs/docker")); err == nil && current == bundle {
		return bundle, false
	}
	r := rendering{Release: releaseDir(v.t), Job: "docker", Properties: properties, Spec: s, Links: d.links, Out: at}
	if err := r.run(v.t); err != nil {
		v.t.Fatal(err)
	}
	v.own(at)
	return bundle, true
}

// own gives a bundle the owners and modes that the agent does.
func (v *vm) own(dir string) {
	v.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := os.FileMode(0o640)
		if d.IsDir() || filepath.Base(filepath.Dir(path)) == "bin" {
			mode = 0o750
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		return os.Chown(path, 0, vcapGroup)
	})
	if err != nil {
		v.t.Fatal(err)
	}
}

// installImages makes the job of an image release: a list of archives.
func (v *vm) installImages(images map[string]string) {
	v.t.Helper()
	if len(images) == 0 {
		return
	}
	lists := filepath.Join(v.dir, "vcap/jobs/images/docker-bosh-release-import")
	blobs := filepath.Join(v.dir, "vcap/packages/images")
	for _, dir := range []string{lists, blobs} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			v.t.Fatal(err)
		}
	}
	var list strings.Builder
	for name, archive := range images {
		must(v.t, "cp", archive, filepath.Join(blobs, name))
		fmt.Fprintf(&list, "/var/vcap/packages/images/%s\n", name)
	}
	if err := os.WriteFile(filepath.Join(lists, "images.lst"), []byte(list.String()), 0o640); err != nil {
		v.t.Fatal(err)
	}
}

// link makes or changes a link below /var/vcap, and what monit includes.
func (v *vm) link(name, target string) {
	v.t.Helper()
	link := filepath.Join(v.dir, "vcap", name)
	_ = os.Remove(link) // there may be none
	if err := os.Symlink(target, link); err != nil {
		v.t.Fatal(err)
	}
	monitrc := filepath.Join(v.dir, "vcap/monit/docker.monitrc")
	must(v.t, "cp", filepath.Join(v.dir, strings.TrimPrefix(target, "/var/"), "monit"), monitrc)
	if err := os.Chmod(monitrc, 0o600); err != nil {
		v.t.Fatal(err)
	}
}

// makeJobDirs makes the directories that the agent makes for each job, also after a reboot.
func (v *vm) makeJobDirs() {
	v.t.Helper()
	v.do("sh", "-c", `for dir in /var/vcap/sys/run/docker /var/vcap/sys/log/docker /var/vcap/data/docker; do
		mkdir -p $dir && chmod 0770 $dir && chown 0:1000 $dir || exit; done`)
}

// script runs a lifecycle script of the job.
func (v *vm) script(name string) error {
	v.t.Helper()
	_, err := v.try("/var/vcap/jobs/docker/bin/" + name)
	return err
}

// start has monit load the job and start it, and waits as the director does.
func (v *vm) start() {
	v.t.Helper()
	before := v.monit.reloaded()
	v.do("monit", "-c", "/var/vcap/monit/monitrc", "reload")
	want := v.services()
	v.monit.await(v.t, "monit has loaded the job", within, func(s map[string]service) bool {
		return v.monit.reloaded() > before && len(s) == want // what it is told meanwhile is lost, so the agent waits, too
	})
	v.do("monit", "-c", "/var/vcap/monit/monitrc", "start", "all")
	v.awaitRunning()
}

// services is how many the job's monit file has.
func (v *vm) services() int {
	text, err := os.ReadFile(filepath.Join(v.dir, "vcap/monit/docker.monitrc"))
	if err != nil {
		v.t.Fatal(err)
	}
	return strings.Count(string(text), "check process")
}

// awaitRunning waits until monit calls all services running.
func (v *vm) awaitRunning() {
	v.t.Helper()
	want := v.services()
	v.monit.await(v.t, "all services run", within, func(all map[string]service) bool {
		for _, s := range all {
			if s.state() != "running" {
				return false
			}
		}
		return len(all) == want
	})
}

// stop drains and stops the job, as before an update or a disk's move.
func (v *vm) stop(why string) {
	v.t.Helper()
	v.drain(why)
	v.stopServices()
	if err := v.script("post-stop"); err != nil {
		v.t.Fatal(err)
	}
}

// drain has the job end its work. monit no longer looks after it then.
func (v *vm) drain(why string) {
	v.t.Helper()
	v.do("monit", "-c", "/var/vcap/monit/monitrc", "unmonitor", "all")
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	drain := v.inside(ctx, "/var/vcap/jobs/docker/bin/drain", why, "hash_changed")
	drain.Env = append(drain.Env, "BOSH_JOB_STATE={}")
	out, err := drain.Output()
	if err != nil || strings.TrimSpace(string(out)) != "0" {
		v.t.Fatalf("drain printed %q, %v: the agent wants one number", out, err)
	}
}

// stopServices has monit stop everything, within the five minutes that the agent gives.
func (v *vm) stopServices() {
	v.t.Helper()
	v.do("monit", "-c", "/var/vcap/monit/monitrc", "monitor", "all")
	v.monit.await(v.t, "the services are monitored", within, func(all map[string]service) bool {
		for _, s := range all {
			if s.Monitor == 0 {
				return false
			}
		}
		return true
	})
	v.do("monit", "-c", "/var/vcap/monit/monitrc", "stop", "all")
	v.monit.await(v.t, "all services have stopped", stopBudget, func(all map[string]service) bool {
		for _, s := range all {
			if s.Monitor != 0 || s.Pending != 0 {
				return false
			}
		}
		return true
	})
}
