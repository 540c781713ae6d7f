package engine_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"galley/compose"
	"galley/engine"
	"galley/engine/enginetest/dockerd"
)

// peerVersion is the docker compose that galley is held against.
const peerVersion = "2.40."

// peer finds docker compose, or skips the test.
func peer(t *testing.T) string {
	t.Helper()
	program, version, err := dockerd.DockerCompose(t.Context(), os.Stderr)
	if reason := (*dockerd.UnavailableError)(nil); errors.As(err, &reason) {
		t.Skip(reason)
	}
	must(t, err)
	if !strings.HasPrefix(version, peerVersion) {
		t.Skipf("galley is held against docker compose %sx, not %s", peerVersion, version)
	}
	return program
}

// TestRecipesAsDockerComposeMakesThem holds what is created of each recipe of testdata against what docker compose creates of
// it: all of an inspect of each container, network and volume.
func TestRecipesAsDockerComposeMakesThem(t *testing.T) {
	host, program := dockerd.ForTest(t).Host(), peer(t)
	recipes, err := filepath.Glob("../testdata/recipes/*/project.json")
	if err != nil || len(recipes) == 0 {
		t.Fatalf("no recipes: %v", err)
	}
	images := newStandIns(t, host)
	for i, path := range recipes {
		dir := filepath.Dir(path)
		if reason := unlike()[filepath.Base(dir)]; reason != "" {
			t.Logf("left out: %s: %s", filepath.Base(dir), reason)
			continue
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			s := newSuite(t, host, fmt.Sprintf("peer%d", i), "")
			s.copyRecipe(t, dir)
			projects, _, err := compose.LoadAll(t.Context(), s.source())
			must(t, err)
			s.skipTooOld(t, neededAPI(filepath.Base(dir), projects[0]))
			images.provide(t, projects[0])
			testRecipeBeside(t, s, program, projects[0])
		})
	}
}

// unlike are the recipes that docker compose 2.40 refuses, and why.
func unlike() map[string]string {
	const attribute, manifest = "it doesn't know all of the attributes", "it reads no manifests"
	return map[string]string{
		"bosh-vault": manifest, "manifest": manifest, "manifest-words": manifest,
		"every-attribute": attribute, "hooks": attribute, "mastodon": attribute,
		"no-services": "there is nothing in it",
		"kafka-kraft": "it refuses mem_limit beside other limits of deploy.resources",
		"locked":      "it knows no locks",
	}
}

// copyRecipe puts a recipe's folder into the suite's, without the digests of images that are nowhere.
func (s *suite) copyRecipe(t *testing.T, dir string) {
	t.Helper()
	must(t, os.CopyFS(s.dir, os.DirFS(dir)))
	files, err := filepath.Glob(filepath.Join(s.dir, "*.y*ml"))
	must(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		must(t, os.WriteFile(file, regexp.MustCompile(`@sha256:[0-9a-f]{64}`).ReplaceAll(text, nil), 0o600))
	}
}

// neededAPI is the least Engine API that both can make the recipe with.
func neededAPI(name string, p *compose.Project) string {
	if name == "pihole" {
		return "1.44" // docker compose gives no older Engine a hardware address
	}
	need := engine.MinAPI
	for _, service := range p.Services {
		for _, r := range service.Requires {
			if versions.LessThan(need, r.API) {
				need = r.API
			}
		}
	}
	return need
}

func (s *suite) skipTooOld(t *testing.T, need string) {
	t.Helper()
	if versions.LessThan(s.engine.API, need) {
		t.Skipf("the Engine is too old for it: it needs API %s", need)
	}
}

func (s *suite) source() compose.Source {
	return compose.Source{Dir: s.dir, Name: s.project, Environ: []string{"PWD=" + s.dir}, Key: func() ([]byte, error) { return []byte("key"), nil }}
}

func testRecipeBeside(t *testing.T, s *suite, program string, p *compose.Project) {
	for _, v := range p.Volumes {
		if v.External {
			_, err := s.docker.VolumeCreate(t.Context(), volume.CreateOptions{Name: v.Name})
			must(t, err)
			defer func() {
				s.cleanUp(t) // what uses it
				must(t, s.docker.VolumeRemove(context.Background(), v.Name, false))
			}()
		}
	}
	s.peer(t, program, "create", "--pull", "never", "--no-build")
	theirs := s.look(t, p, "")
	s.cleanUp(t)
	must(t, s.up(t, p, engine.DiffOptions{NoStart: true}))
	ours := s.look(t, p, "")
	report(t, theirs, ours, meant())
}

// meant are the differences that are meant.
func meant() []difference {
	return []difference{
		{`\.Labels\.(io\.galley\.|com\.docker\.compose\.(config-hash|version)$)`, "identity is each one's own"},
		{`\.Networks\..*\.Links$`, "a service's alias finds all of its replicas, and their replacements; it links to the first one"},
	}
}

// standIns are images that recipes name, of which each is busybox.
type standIns struct {
	docker *client.Client
	mu     sync.Mutex
	tags   map[string]bool
}

// newStandIns removes them at the end of the test.
func newStandIns(t *testing.T, host string) *standIns {
	t.Helper()
	docker, err := client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation())
	must(t, err)
	images := &standIns{docker: docker, tags: map[string]bool{"busybox": true, "busybox:latest": true}}
	t.Cleanup(func() {
		delete(images.tags, "busybox")
		delete(images.tags, "busybox:latest")
		for tag := range images.tags {
			_, err := docker.ImageRemove(context.Background(), tag, image.RemoveOptions{})
			if err != nil && !errdefs.IsNotFound(err) { // as removed under another spelling
				t.Error(err)
			}
		}
		docker.Close()
	})
	return images
}

func (i *standIns) provide(t *testing.T, p *compose.Project) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, service := range p.Services {
		service.Pull.Policy = compose.PullNever
		for _, ref := range service.Images() {
			if !i.tags[ref] {
				must(t, i.docker.ImageTag(t.Context(), "busybox:latest", ref))
				i.tags[ref] = true
			}
		}
	}
}

// peer has docker compose do something with the recipe in the suite's folder.
func (s *suite) peer(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append([]string{"-p", s.project}, args...)...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "DOCKER_CONFIG=" + s.files, "DOCKER_HOST=" + s.host}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("docker compose %s: %v\n%s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
}

func report(t *testing.T, theirs, ours shown, meant []difference) {
	t.Helper()
	if len(theirs) == 0 {
		t.Error("there is nothing to compare")
	}
	for _, line := range differences(theirs, ours, meant) {
		t.Errorf("not the same, theirs and ours: %s", line)
	}
}

// TestFamiliesAsDockerComposeMakesThem holds what runs of each family against what docker compose runs of it, from outside
// and from inside.
func TestFamiliesAsDockerComposeMakesThem(t *testing.T) {
	host, program := dockerd.ForTest(t).Host(), peer(t)
	all := families()
	for i, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t, host, fmt.Sprintf("peer%d", i), fmt.Sprintf("10.233.%d", i))
			f := all[name]
			if f.alone != "" {
				t.Skipf("docker compose %sx can't be held against it: %s", peerVersion, f.alone)
			}
			s.skipTooOld(t, cmp.Or(f.api, engine.MinAPI))
			testFamilyBeside(t, s, program, f, i)
		})
	}
}

func testFamilyBeside(t *testing.T, s *suite, program string, f family, number int) {
	fill := f.prepare(t, s, number)
	recipe := fill.Replace(f.recipe)
	s.write(t, "compose.yaml", recipe)
	p := s.load(t, recipe)
	if !f.comesUp(t, s, p) {
		return
	}
	f.looksRightInside(t, s, fill)
	how := []string{"up", "-d"}
	if f.refused != "" {
		s.cleanUp(t)
		must(t, s.up(t, p, engine.DiffOptions{NoStart: true}))
		how = []string{"create"}
	}
	ours := s.look(t, p, recipe)
	s.cleanUp(t)
	s.peer(t, program, append(how, "--pull", "never")...)
	f.looksRightInside(t, s, fill)
	known := append(meant(), f.unlike...)
	known = append(known, difference{`\.Labels\.com\.docker\.compose\.project\.config_files$`, "one has read a file, the other standard input"})
	report(t, s.look(t, p, recipe), ours, known)
}
