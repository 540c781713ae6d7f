package engine

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"galley/compose"
)

// secret gives a service a secret.
func secret(name, text string) func(*compose.Service) {
	return func(s *compose.Service) {
		s.Files = append(s.Files, compose.File{
			Kind: compose.KindSecret, Name: name, Target: "/run/secrets/" + name, UID: -1, GID: -1, Mode: 0o444, Content: compose.Content(text),
		})
	}
}

func told(signal string) func(*compose.Service) {
	return func(s *compose.Service) { s.OnSecretChange = signal }
}

// stores puts files into a state: folder/name=content.
func stores(s *State, files ...string) *State {
	s.Files = &Files{Dir: "/run/files/shop", Have: map[string]StoredFile{}}
	for _, file := range files {
		name, text, _ := strings.Cut(file, "=")
		s.Files.Have[name] = StoredFile{Content: compose.Content(text), Mode: 0o444}
		s.Files.Folders = append(s.Files.Folders, filepath.Dir(name))
	}
	return s
}

// reads mounts a file of the store.
func reads(name, target string) func(*Container) {
	return func(c *Container) {
		c.Summary.Mounts = append(c.Summary.Mounts, container.MountPoint{
			Type: mount.TypeBind, Source: "/run/files/shop/" + name, Destination: target,
		})
	}
}

// TestDiffFiles holds what becomes of configs and secrets.
func TestDiffFiles(t *testing.T) {
	const kept = "web-1.web-spec/0-tls"
	has := reads(kept, "/run/secrets/tls")
	testDiff(t, map[string]diffTest{
		"writes before creating": {
			want: shop(service("web", secret("tls", "a"))),
			have: stores(observed()),
			plan: `
0 write secret tls for shop-web-1 (missing)
1 create container shop-web-1 (missing) needs 0
2 start container shop-web-1 (missing) needs 1
`},
		"is empty when everything is as wanted": {
			want: shop(service("web", secret("tls", "a"))),
			have: stores(observed(ran("web", has)), kept+"=a"),
		},
		"writes what a reboot took away before starting": {
			want: shop(service("web", secret("tls", "a"))),
			have: stores(observed(ran("web", has, exited(127)))),
			plan: `
0 write secret tls for shop-web-1 (missing)
1 start container shop-web-1 (exited with code 127) needs 0
`},
		"writes what a running container would miss when the engine starts it again": {
			want: shop(service("web", secret("tls", "a"))),
			have: stores(observed(ran("web", has))),
			plan: `
0 write secret tls for shop-web-1 (missing)
`},
		"leaves a completed one-shot alone": {
			want: shop(service("init", secret("tls", "a")), service("web", needs("init:service_completed_successfully"))),
			have: stores(observed(ran("init", reads("init-1.init-spe/0-tls", "/run/secrets/tls"), exited(0)), ran("web"))),
		},
		"changes in place and tells": {
			want: shop(service("web", secret("tls", "b"), told("SIGHUP"))),
			have: stores(observed(ran("web", has)), kept+"=a"),
			plan: `
0 write secret tls for shop-web-1 (content changed)
1 signal container shop-web-1 (secret tls content changed) needs 0
`},
		"replaces a container whose files are kept elsewhere, and drops them": {
			want: shop(service("web", secret("tls", "a"))),
			have: stores(observed(ran("web", reads("other/0-tls", "/run/secrets/tls"))), "other/0-tls=a"),
			plan: `
0 write secret tls for shop-web-1 (missing)
1 create container shop-web-1.web-spec (secret tls is kept elsewhere) needs 0
2 stop container shop-web-1 (replaced) needs 1
3 start container shop-web-1.web-spec (secret tls is kept elsewhere) needs 1 2
4 await container shop-web-1.web-spec (before the old one goes) needs 3
5 remove container shop-web-1 (replaced) needs 2 4
6 rename container shop-web-1.web-spec (takes the old one's place) needs 5
7 remove files other (used by nobody any more) needs 5
`},
		"drops what a crash left": {
			want: shop(service("web")),
			have: stores(observed(ran("web")), "gone-1.0123/0-tls=a"),
			plan: `
0 remove files gone-1.0123 (used by nobody any more)
`},
		"keeps what is stopped, and drops what goes": {
			want: shop(),
			have: stores(observed(ran("web", has), ran("db", reads("db-1.x/0-a", "/a"))), kept+"=a", "db-1.x/0-a=b"),
			opts: DiffOptions{Services: []string{"web"}, Down: &Down{}},
			plan: `
0 stop container shop-web-1 (not wanted)
1 remove container shop-web-1 (not wanted) needs 0
2 remove files web-1.web-spec (used by nobody any more) needs 1
`},
	})
}

func TestARemoteEngineCanHaveNoSecrets(t *testing.T) {
	want, have := shop(service("web", secret("tls", "a"))), observed()
	for _, files := range []*Files{nil, {Why: "the engine at tcp://there:2376 may be on another machine"}} {
		have.Files = files
		_, err := Diff(want, have, DiffOptions{})
		if err == nil || !strings.Contains(err.Error(), `service "web" has configs or secrets`) {
			t.Errorf("got error %v", err)
		}
	}
	have.Files = &Files{Dir: "/var/lib/files/shop", OnDisk: true}
	plan, err := Diff(want, have, DiffOptions{})
	if err != nil || len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], "written to a disk") {
		t.Errorf("got %v, %v; want a warning", plan, err)
	}
}

func TestARemoteEngineIsKnownByItsAddress(t *testing.T) {
	for _, host := range []string{"tcp://127.0.0.1:2375", "ssh://me@there", "npipe:////./pipe/docker"} {
		files, err := (&Engine{Host: host, opts: Options{FilesDir: t.TempDir()}}).Files("shop")
		if err != nil || files.Dir != "" || !strings.Contains(files.Why, host) {
			t.Errorf("%s: got %+v, %v", host, files, err)
		}
	}
}

func TestADirectoryOfSomebodyElseIsNotUsed(t *testing.T) {
	dir := t.TempDir()
	if err := private(filepath.Join(dir, "own")); err != nil {
		t.Errorf("a new directory: %v", err)
	}
	if err := private("/tmp"); err == nil {
		t.Error("a directory that everybody can write to is used")
	}
}
