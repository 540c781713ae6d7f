package compose

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000001"

func TestLockKey(t *testing.T) {
	for ref, want := range map[string]string{
		"busybox": "busybox:latest", "docker.io/library/busybox:1": "busybox:1", "reg:5000/a/b:1": "reg:5000/a/b:1",
		"busybox@" + someDigest: "", "busybox:1@" + someDigest: "", "": "", "NoSuch": "",
	} {
		if got, ok := LockKey(ref); got != want || ok != (want != "") {
			t.Errorf("LockKey(%q) = %q, %v, want %q", ref, got, ok, want)
		}
	}
}

func TestLockPath(t *testing.T) {
	for recipe, want := range map[string]string{
		"/a/compose.yaml": "/a/compose.lock.yaml", "/a/docker-compose.yml": "/a/docker-compose.lock.yml", "/a.b/recipe": "/a.b/recipe.lock.yaml", "-": "",
	} {
		if got := LockPath(recipe); got != want {
			t.Errorf("LockPath(%q) = %q, want %q", recipe, got, want)
		}
	}
}

func TestALockIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "compose.lock.yaml")
	for _, images := range []map[string]string{{}, {"busybox:latest": someDigest, "reg:5000/a:1": someDigest}} {
		written := &Lock{Images: images}
		if err := os.WriteFile(path, written.Text(), 0o644); err != nil {
			t.Fatal(err)
		}
		read, err := ReadLock(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(images, read.Images); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if lock, err := ReadLock(path + ".missing"); lock != nil || err != nil {
		t.Errorf("of a missing file, got %v, %v", lock, err)
	}
}

func TestABrokenLockIsToldWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "has version 0",
		"version: 2\n":              "has version 2",
		"[1":                        "no mapping",
		"version: 1\nimages: [a]\n": "no mapping",
		"version: 1\nimages:\n  busybox: " + someDigest + "\n":             `:3: error: "busybox" is no image with a tag`,
		"version: 1\nimages:\n  busybox@" + someDigest + ": " + someDigest: "is no image with a tag",
		"version: 1\nimages:\n  busybox:1: sha256:12\n":                    `:3: error: image "busybox:1" has "sha256:12", which is no digest`,
		"version: 1\nimages:\n  busybox:1: {a: 1}\n":                       "which is no digest",
	} {
		path := filepath.Join(t.TempDir(), "compose.lock.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := ReadLock(path)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want %q", text, err, want)
		}
	}
}

func TestALockPinsImagesAndNotHashes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("compose.yaml", `
name: shop
services:
  web: {image: busybox, pre_start: [{image: "init:1", command: [a]}]}
  other: {image: "other@`+someDigest+`", volumes: [{type: image, source: "assets:1", target: /assets}]}
`)
	src := Source{Dir: dir}
	before, _, err := Load(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	write("compose.lock.yaml", "version: 1\nimages:\n  busybox:latest: "+someDigest+"\n  init:1: "+someDigest+"\n  assets:1: "+someDigest+"\n")
	after, found, err := Load(t.Context(), src)
	if err != nil || len(found) > 0 {
		t.Fatalf("got findings %v, error %v", found, err)
	}
	want := []string{"assets:1@" + someDigest, "busybox:latest@" + someDigest, "init:1@" + someDigest, "other@" + someDigest}
	if diff := cmp.Diff(want, after.Images()); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	if before.Service("web").Hash != after.Service("web").Hash {
		t.Error("the lock changed a hash: what runs already would be replaced")
	}
	src.Unlocked = true
	if unlocked, _, err := Load(t.Context(), src); err != nil || unlocked.Service("web").Config.Image != "busybox" {
		t.Errorf("unlocked, got error %v or a pinned image", err)
	}
}
