package miniagent

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"galley/compose"
	"galley/engine/enginetest/dockerd"
)

var update = flag.Bool("update", false, "write the goldens")

// programs sees to it that the programs that a test needs are there, or skips it.
func programs(t testing.TB, names ...string) {
	t.Helper()
	err := dockerd.Install(t.Context(), os.Stderr, names...)
	if reason := (*dockerd.UnavailableError)(nil); errors.As(err, &reason) {
		t.Skip(reason)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// rendering is what a job is rendered from.
type rendering struct {
	Release    string                    `json:"release"`
	Job        string                    `json:"job"`
	Properties map[string]any            `json:"properties"`
	Spec       map[string]any            `json:"spec"`
	Links      map[string]map[string]any `json:"links,omitempty"`
	Out        string                    `json:"out"`
}

// spec is what BOSH knows of the only instance of a group.
func spec(group string) map[string]any {
	return map[string]any{
		"name": group, "index": 0, "id": "2c4a8f9e-0000-4000-8000-000000000000", "az": "z1",
		"ip": "10.0.0.5", "address": "10.0.0.5", "deployment": "test", "bootstrap": true,
	}
}

// run renders into a directory; what a template raises is the error.
func (r rendering) run(t testing.TB) error {
	t.Helper()
	input, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ruby", "testdata/render.rb")
	cmd.Stdin = bytes.NewReader(input)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	return nil
}

// render renders the job docker with these properties.
func render(t testing.TB, properties map[string]any) (dir string, err error) {
	t.Helper()
	r := rendering{Release: releaseDir(t), Job: "docker", Properties: properties, Spec: spec("docker"), Out: t.TempDir()}
	return r.Out, r.run(t)
}

// variables are those that manifests and operations files want.
func variables() map[string]string {
	all := map[string]string{
		"images_release": "vault-images", "images_job": "vault-images", "proxy_url": "http://proxy.internal:3128", "no_proxy": "registry.internal",
		"registry_address": "registry.internal:5000", "registry_username": "puller", "registry_password": `a"b$(id)'`,
		"docker_address": "10.0.0.5", "webdav_password": "w", "db_password": "d", "postgres_password": "p",
	}
	for _, name := range []string{"docker_tls", "postgres_tls"} {
		for _, part := range []string{"ca", "certificate", "private_key"} {
			all[name+"."+part] = "-----BEGIN " + name + "." + part + "-----\n"
		}
	}
	all["registry_ca"] = "-----BEGIN registry_ca-----\n"
	return all
}

// TestManifestsRender renders each job with each manifest of the release, with the operations files, and with manifests
// as the original release had them.
func TestManifestsRender(t *testing.T) {
	programs(t, "ruby", "shellcheck")
	release := releaseDir(t)
	type deployment struct {
		name, manifest string
		operations     []string
	}
	var all []deployment
	for _, pattern := range []string{filepath.Join(release, "manifests/*.yml"), "testdata/original/*.yml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: none found, %v", pattern, err)
		}
		for _, manifest := range found {
			name := strings.TrimSuffix(filepath.Base(manifest), ".yml")
			if strings.HasPrefix(manifest, "testdata") {
				name = "original-" + name
			}
			all = append(all, deployment{name: name, manifest: manifest})
		}
	}
	operations, err := filepath.Glob(filepath.Join(release, "operations/*.yml"))
	if err != nil || len(operations) == 0 {
		t.Fatalf("no operations found, %v", err)
	}
	for _, file := range operations {
		name := "with-" + strings.TrimSuffix(filepath.Base(file), ".yml")
		all = append(all, deployment{name, filepath.Join(release, "manifests/vault.yml"), []string{file}})
	}
	for _, d := range all {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			manifest := readManifest(t, d.manifest, d.operations, variables())
			var rendered txtar.Archive
			for _, job := range jobsOf(t, manifest) {
				if job.release != "containers" {
					continue // an image release has templates of its own
				}
				out := t.TempDir()
				r := rendering{Release: release, Job: job.job, Properties: job.properties, Spec: spec(job.group), Out: out}
				if job.job == "docker" && d.name == "cluster" {
					r.Links = peers("10.0.0.5", "10.0.0.6", "10.0.0.7")
				}
				if err := r.run(t); err != nil {
					t.Fatal(err)
				}
				checkRendered(t, out)
				rendered.Files = append(rendered.Files, collect(t, job.job, out)...)
			}
			golden(t, filepath.Join("testdata/rendered", d.name+".txtar"), txtar.Format(&rendered))
		})
	}
}

func peers(addresses ...string) map[string]map[string]any {
	var instances []map[string]any
	for i, address := range addresses {
		instances = append(instances, map[string]any{"address": address, "index": i})
	}
	return map[string]map[string]any{"peers": {"instances": instances}}
}

// checkRendered parses what was rendered, each file for what it is.
func checkRendered(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch {
		case strings.HasPrefix(string(text), "#!/bin/bash"), strings.HasPrefix(string(text), "#!/bin/sh"):
			if said, err := exec.Command("shellcheck", path).CombinedOutput(); err != nil {
				t.Errorf("%s:\n%s", path, said)
			}
		case strings.HasSuffix(path, ".json"):
			if !json.Valid(text) {
				t.Errorf("%s is no JSON:\n%s", path, text)
			}
		case filepath.Base(path) == "docker-compose.yml":
			checkRecipe(t, path, text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkRecipe loads a recipe as the VM does.
func checkRecipe(t *testing.T, path string, text []byte) {
	t.Helper()
	if len(bytes.TrimSpace(text)) == 0 {
		return
	}
	_, diagnostics, err := compose.Load(t.Context(), compose.Source{
		Files: []string{path}, Dir: filepath.Dir(path), ProjectDir: "/var/vcap/jobs/docker/etc/running", Name: "running",
		Environ: []string{
			"PWD=/var/vcap/jobs/docker/etc/running", "DB_PASSWORD=d", "WEBDAV_PASSWORD=w", "POSTGRES_PASSWORD=p", "REGISTRY=registry.internal:5000",
			"BOSH_INSTANCE_NAME=docker", "BOSH_INSTANCE_INDEX=0", "BOSH_INSTANCE_ADDRESS=10.0.0.5", "BOSH_INSTANCE_DEPLOYMENT=test",
		},
	})
	if err != nil {
		t.Errorf("%s: %v\n%v", path, err, diagnostics)
	}
}

// collect gives what was rendered, less the scripts that are the same always.
func collect(t *testing.T, job, dir string) []txtar.File {
	t.Helper()
	var files []txtar.File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || strings.HasPrefix(name, "bin/") && name != "bin/prep" || name == "envrc" {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && len(bytes.TrimSpace(text)) > 0 {
			files = append(files, txtar.File{Name: job + "/" + name, Data: text})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got, -update writes it):\n%s", path, diff)
	}
}
