package miniagent

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/rogpeppe/go-internal/txtar"

	"galley/engine/enginetest/dockerd"
)

// TestImagesComeFromAReleaseOrARegistry deploys the manifests that don't take images from Docker Hub: the one whose images are
// in a release that galley made, and the one with a registry that wants credentials and has an authority of its own.
func TestImagesComeFromAReleaseOrARegistry(t *testing.T) {
	t.Parallel()
	v := newVM(t, newNetwork(t))
	if err := v.deploy(deployment{}); err != nil {
		t.Fatal(err)
	}
	v.testImageRelease()
	v.testRegistry()
}

// testImageRelease makes the release of the manifest's images on this VM, takes them away, and deploys it.
func (v *vm) testImageRelease() {
	v.t.Helper()
	const name = "hashicorp/vault:1.17"
	v.loadStandIn(name, "vault")
	out := filepath.Join(v.t.TempDir(), "vault-images")
	release := exec.Command(filepath.Join(v.dir, "vcap/packages/galley/bin/galley"), "-H", v.docker().DaemonHost(),
		"bosh", "image-release", filepath.Join(releaseDir(v.t), "manifests/air-gapped.yml"), "-o", out)
	if said, err := release.CombinedOutput(); err != nil {
		v.t.Fatalf("making the image release: %v: %s", err, said)
	}
	lintRelease(v.t, out)
	v.compareWithExample(out)
	v.forget(name)

	packages := filepath.Join(v.dir, "vcap/packages/vault-images")
	if err := os.Mkdir(packages, 0o755); err != nil {
		v.t.Fatal(err)
	}
	compile := exec.Command("bash", filepath.Join(out, "packages/vault-images/packaging"))
	compile.Dir, compile.Env = filepath.Join(out, "src"), []string{"PATH=" + os.Getenv("PATH"), "BOSH_INSTALL_TARGET=" + packages}
	if said, err := compile.CombinedOutput(); err != nil {
		v.t.Fatalf("compiling the package of images: %v: %s", err, said)
	}
	at := filepath.Join(v.dir, "vcap/jobs/vault-images")
	if err := (rendering{Release: out, Job: "vault-images", Spec: spec("docker"), Out: at}).run(v.t); err != nil {
		v.t.Fatal(err)
	}
	v.own(at)
	d, _ := manifestOf(v.t, "air-gapped.yml", nil, variables())
	if err := v.deploy(d); err != nil {
		v.t.Fatal(err)
	}
	if got := v.boxes(); got["vault"].status != "running" {
		v.t.Errorf("with images from a release: %v", got)
	}
}

// compareWithExample holds the example of the release to what galley writes, but for the tarballs and their digests.
func (v *vm) compareWithExample(dir string) {
	v.t.Helper()
	var got txtar.Archive
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "/src/") {
			return err
		}
		text, err := os.ReadFile(path)
		got.Files = append(got.Files, txtar.File{Name: strings.TrimPrefix(path, dir+"/"), Data: regexp.MustCompile(` sha256:[0-9a-f]{64}`).ReplaceAll(text, nil)})
		return err
	})
	if err != nil {
		v.t.Fatal(err)
	}
	for _, f := range got.Files {
		golden(v.t, filepath.Join(releaseDir(v.t), "examples/vault-images", f.Name), f.Data)
	}
}

// testRegistry puts an image into a registry on the VM's network and deploys the manifest that pulls it from there.
func (v *vm) testRegistry() {
	v.t.Helper()
	a := newAuthority(v.t, "registry")
	certificate, key := a.issue(v.t, "registry", x509.ExtKeyUsageServerAuth, v.address)
	dir := v.t.TempDir()
	// s3cr3t, hashed with bcrypt
	users := "robot:$2b$05$abcdefghijklmnopqrstuu9Avu/WgbsK7g7xfCY1X3pdjsTgxqQLS\n"
	for file, text := range map[string]string{"cert.pem": certificate, "key.pem": key, "users": users} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			v.t.Fatal(err)
		}
	}
	r, err := dockerd.StartRegistry(v.t.Context(), dockerd.RegistryOptions{
		Address: v.address, Storage: dir, Htpasswd: filepath.Join(dir, "users"), Log: v.t.Output(),
		Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"),
		Enter: []string{"nsenter", "--target", v.pid, "--net", "--"},
	})
	if err != nil {
		v.t.Fatal(err)
	}
	defer r.Stop()
	d, _ := manifestOf(v.t, "private-registry.yml", nil, with(map[string]string{
		"registry_address": r.Address, "registry_username": "robot", "registry_password": "s3cr3t", "registry_ca": a.text,
	}))
	delete(d.properties, "pull_policy")
	recipe := d.properties["recipe"]
	delete(d.properties, "recipe")
	if err := v.deploy(d); err != nil { // the Engine trusts the registry from here on
		v.t.Fatal(err)
	}
	name := r.Address + "/shop/app:1"
	v.loadStandIn(name, "app")
	v.push(name, "robot", "s3cr3t")
	v.forget(name)
	d.properties["recipe"] = recipe
	if err := v.deploy(d); err != nil {
		v.t.Fatal(err)
	}
	if got := v.boxes(); got["app"].status != "running" || len(got) != 1 {
		v.t.Errorf("with an image from the registry: %v", got)
	}
	if found := v.do("sh", "-c", "grep -rlsI --devices=skip s3cr3t /var/vcap/sys/log /var/vcap/data/docker/daemon.json /var/vcap/store/galley || true"); found != "" {
		v.t.Errorf("the registry's password is in %s", found)
	}
}

// loadStandIn loads an image whose one program does nothing until it is stopped.
func (v *vm) loadStandIn(name, program string) {
	v.t.Helper()
	standIn, err := dockerd.Busybox(v.t.Context(), v.t.Output())
	if err != nil {
		v.t.Fatal(err)
	}
	standIn.Names, standIn.Config.Cmd = []string{name}, []string{program}
	standIn.Root.File("/bin/"+program, "#!/bin/sh\ntrap exit TERM\nsleep 86400 &\nwait\n")
	if err := dockerd.LoadImage(v.t.Context(), v.docker(), standIn); err != nil {
		v.t.Fatal(err)
	}
}

func (v *vm) push(name, user, password string) {
	v.t.Helper()
	auth, err := registry.EncodeAuthConfig(registry.AuthConfig{Username: user, Password: password})
	if err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	said, err := v.docker().ImagePush(ctx, name, image.PushOptions{RegistryAuth: auth})
	if err != nil {
		v.t.Fatal(err)
	}
	defer said.Close()
	for decoder := json.NewDecoder(said); ; {
		var message struct{ Error string }
		if err := decoder.Decode(&message); err == io.EOF {
			return
		} else if err != nil || message.Error != "" {
			v.t.Fatalf("pushing %s: %v %s", name, err, message.Error)
		}
	}
}

// forget removes an image from the Engine.
func (v *vm) forget(name string) {
	v.t.Helper()
	if _, err := v.docker().ImageRemove(context.Background(), name, image.RemoveOptions{}); err != nil {
		v.t.Fatal(err)
	}
}
