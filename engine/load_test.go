package engine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"galley/engine"
	"galley/imports"
)

// boxed is an image to be put into tarballs.
type boxed struct {
	tags []string
	// layers are texts, each of which is a file in a layer.
	layers []string
}

// digest is a content's.
func digest(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

// pack writes files into a tar, in order.
func pack(t *testing.T, names []string, contents map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range names {
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(contents[name]))}))
		_, err := w.Write(contents[name])
		must(t, err)
	}
	must(t, w.Close())
	return out.Bytes()
}

// parts are an image's layers, and its configuration.
func (b boxed) parts(t *testing.T) (layers [][]byte, config []byte) {
	ids := []string{}
	for _, text := range b.layers {
		layer := pack(t, []string{"file"}, map[string][]byte{"file": []byte(text)})
		layers, ids = append(layers, layer), append(ids, digest(layer))
	}
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": runtime.GOARCH, "config": map[string]any{"Cmd": []string{"/file"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	})
	must(t, err)
	return layers, config
}

// dockerArchive puts images into a docker-archive.
func dockerArchive(t *testing.T, images ...boxed) []byte {
	t.Helper()
	var names []string
	var manifest []map[string]any
	contents := map[string][]byte{}
	add := func(name string, content []byte) string {
		if contents[name] == nil {
			names = append(names, name)
		}
		contents[name] = content
		return name
	}
	for _, b := range images {
		layers, config := b.parts(t)
		files := []string{}
		for _, layer := range layers {
			files = append(files, add(strings.TrimPrefix(digest(layer), "sha256:")+".tar", layer))
		}
		manifest = append(manifest, map[string]any{"Config": add(digest(config)[7:]+".json", config), "RepoTags": b.tags, "Layers": files})
	}
	text, err := json.Marshal(manifest)
	must(t, err)
	add("manifest.json", text)
	return pack(t, names, contents)
}

// ociArchive puts an image into an OCI layout, its layers compressed.
func ociArchive(t *testing.T, b boxed, compress func([]byte) []byte, mediaType string) []byte {
	t.Helper()
	var names []string
	contents := map[string][]byte{}
	add := func(mediaType string, content []byte) map[string]any {
		name := "blobs/sha256/" + digest(content)[7:]
		names, contents[name] = append(names, name), content
		return map[string]any{"mediaType": mediaType, "digest": digest(content), "size": len(content)}
	}
	asJSON := func(v any) []byte {
		text, err := json.Marshal(v)
		must(t, err)
		return text
	}
	layers, config := b.parts(t)
	descriptors := []map[string]any{}
	for _, layer := range layers {
		descriptors = append(descriptors, add("application/vnd.oci.image.layer.v1.tar"+mediaType, compress(layer)))
	}
	manifest := add("application/vnd.oci.image.manifest.v1+json", asJSON(map[string]any{
		"schemaVersion": 2, "layers": descriptors, "config": add("application/vnd.oci.image.config.v1+json", config),
	}))
	manifest["annotations"] = map[string]string{"io.containerd.image.name": "docker.io/library/" + b.tags[0]}
	contents["index.json"] = asJSON(map[string]any{"schemaVersion": 2, "manifests": []any{manifest}})
	contents["oci-layout"] = []byte(`{"imageLayoutVersion":"1.0.0"}`)
	return pack(t, append(names, "index.json", "oci-layout"), contents)
}

func zipped(t *testing.T, content []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(content)
	must(t, errors.Join(err, w.Close()))
	return out.Bytes()
}

func zstandard(t *testing.T, content []byte) []byte {
	w, err := zstd.NewWriter(nil)
	must(t, err)
	return w.EncodeAll(content, nil)
}

// shelf is a directory with tarballs.
type shelf struct {
	*suite
	t       *testing.T
	dir     string
	scanner imports.Scanner
}

func (s *suite) shelf(t *testing.T) *shelf {
	dir := t.TempDir()
	return &shelf{suite: s, t: t, dir: dir, scanner: imports.Scanner{Record: imports.OpenRecord(filepath.Join(dir, "record"))}}
}

// put writes a tarball whose images go when the test ends.
func (s *shelf) put(name string, content []byte, tags ...string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	must(s.t, os.WriteFile(path, content, 0o644))
	s.t.Cleanup(func() {
		for _, tag := range tags {
			if _, err := s.docker.ImageRemove(context.Background(), tag, image.RemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
				s.t.Error(err)
			}
		}
	})
	return path
}

// plan scans tarballs and plans their load.
func (s *shelf) plan(paths ...string) *engine.Plan {
	s.t.Helper()
	archives, err := s.scanner.Scan(s.t.Context(), paths...)
	must(s.t, err)
	plan, err := s.engine.PlanLoad(s.t.Context(), archives, engine.LoadOptions{Scanner: s.scanner})
	must(s.t, err)
	return plan
}

// expectPlan compares a plan's text, in which tarballs are named without their directory.
func (s *shelf) expectPlan(plan *engine.Plan, want string) {
	s.t.Helper()
	if got := strings.ReplaceAll(plan.String(), s.dir+"/", ""); got != want {
		s.t.Errorf("got plan\n%swant\n%s", got, want)
	}
}

// id is an image's, "" if it is not there.
func (s *shelf) id(ref string) string {
	s.t.Helper()
	found, err := s.docker.ImageInspect(s.t.Context(), ref)
	if errdefs.IsNotFound(err) {
		return ""
	}
	must(s.t, err)
	return found.ID
}

func testLoad(t *testing.T, suite *suite) {
	s := suite.shelf(t)
	one := boxed{tags: []string{s.project + ":1", s.project + "-too:1"}, layers: []string{s.project, "one"}}
	two := boxed{tags: []string{s.project + ":2"}, layers: []string{s.project, "two"}}
	a := s.put("a.tgz", zipped(t, dockerArchive(t, one, two)), append(one.tags, two.tags...)...)
	b := s.put("b.tar", ociArchive(t, two, func(l []byte) []byte { return zipped(t, l) }, "+gzip"))
	three := boxed{tags: []string{s.project + ":3"}, layers: []string{s.project, "three"}}
	c := s.put("c.tar", ociArchive(t, three, func(l []byte) []byte { return zstandard(t, l) }, "+zstd"), three.tags...)

	plan := s.plan(a, b, c)
	s.expectPlan(plan, fmt.Sprintf("0 load tarball a.tgz (missing: %[1]s:1, %[1]s-too:1, %[1]s:2)\n1 load tarball c.tar (missing: %[1]s:3)\n", s.project))
	must(t, s.engine.Apply(t.Context(), plan))
	for _, b := range []boxed{one, two, three} {
		layers, _ := b.parts(t)
		for _, tag := range b.tags {
			found, err := s.docker.ImageInspect(t.Context(), tag)
			must(t, err)
			if len(found.RootFS.Layers) != 2 || found.RootFS.Layers[1] != digest(layers[1]) || found.Config.Cmd[0] != "/file" {
				t.Errorf("%s is %+v", tag, found)
			}
			if time.Since(found.Metadata.LastTagTime) > time.Hour { // pull_policy: daily goes by it
				t.Errorf("nothing tells when %s was loaded: %s", tag, found.Metadata.LastTagTime)
			}
		}
	}
	if plan := s.plan(a, b, c); !plan.Empty() {
		t.Errorf("what is there is planned again:\n%s", plan)
	}
	if _, err := s.docker.ImageRemove(t.Context(), s.project+"-too:1", image.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	must(t, s.docker.ImageTag(t.Context(), s.project+":2", s.project+":1"))
	plan = s.plan(a)
	s.expectPlan(plan, fmt.Sprintf("0 tag image %[1]s:1 (it is another image's)\n1 tag image %[1]s-too:1 (missing)\n", s.project))
	must(t, s.engine.Apply(t.Context(), plan))
	if plan := s.plan(a, b, c); !plan.Empty() {
		t.Errorf("what was tagged is planned again:\n%s", plan)
	}
	s.scanner.Record = nil // as where others loaded it
	if plan := s.plan(a, b, c); !plan.Empty() {
		t.Errorf("what was forgotten is planned again:\n%s", plan)
	}
}

func testLoadOnTop(t *testing.T, suite *suite) {
	s := suite.shelf(t)
	base := boxed{tags: []string{s.project + ":base"}, layers: []string{s.project + " is at the bottom"}}
	above := boxed{tags: []string{s.project + ":above"}, layers: append(slices.Clone(base.layers), "above")}
	a, b := s.put("a.tar", dockerArchive(t, base), base.tags...), s.put("b.tar", dockerArchive(t, above), above.tags...)
	must(t, s.engine.Apply(t.Context(), s.plan(a)))
	plan := s.plan(b)
	if loads := plan.Loads(); len(loads) != 1 || loads[0].Have != 1 && !s.containerd() {
		t.Errorf("got %+v, want the lowest layer left out", loads)
	}
	// What was there at the time of the plan goes before its walk.
	_, err := s.docker.ImageRemove(t.Context(), base.tags[0], image.RemoveOptions{})
	must(t, err)
	must(t, s.engine.Apply(t.Context(), plan))
	if s.id(above.tags[0]) == "" {
		t.Error("the image is not there")
	}
}

func (s *shelf) containerd() bool {
	store, err := s.engine.Store(s.t.Context())
	must(s.t, err)
	return store.Containerd
}

// testLoadBroken loads tarballs that were broken after their scan over an image that is there.
func testLoadBroken(t *testing.T, suite *suite) {
	s := suite.shelf(t)
	old := boxed{tags: []string{s.project + ":1"}, layers: []string{"old " + s.project}}
	must(t, s.engine.Apply(t.Context(), s.plan(s.put("old.tar", dockerArchive(t, old), old.tags...))))
	before := s.id(old.tags[0])
	for _, name := range []string{"plain", "zipped", "oci"} {
		fresh := boxed{tags: old.tags, layers: []string{s.project, name, strings.Repeat("new", 1000)}}
		content := dockerArchive(t, fresh)
		switch name {
		case "zipped":
			content = zipped(t, content)
		case "oci":
			content = ociArchive(t, fresh, func(l []byte) []byte { return zipped(t, l) }, "+gzip")
		}
		s.breakAndLoad(s.put(name+".tar", content), content, old.tags[0], before)
	}
}

// breakAndLoad breaks a tarball in several ways after its scan, and has it loaded: the tag must stay where it is, unless the
// image is what was scanned nevertheless.
func (s *shelf) breakAndLoad(path string, content []byte, tag, before string) {
	s.t.Helper()
	plan := s.plan(path)
	random := rand.New(rand.NewPCG(3, 4))
	for range 6 {
		broken := slices.Clone(content)
		if random.IntN(2) == 0 {
			broken = broken[:random.IntN(len(broken)*9/10)]
		} else {
			broken[random.IntN(len(broken)*9/10)] ^= 1 << random.IntN(8)
		}
		must(s.t, os.WriteFile(path, broken, 0o644))
		err := s.engine.Apply(s.t.Context(), plan)
		now := s.id(tag)
		switch faulty := (*imports.Error)(nil); {
		case err == nil: // what was flipped means nothing
			if now == before {
				s.t.Errorf("%s: the load succeeded and left the old image", path)
			}
			must(s.t, s.docker.ImageTag(s.t.Context(), before, tag))
		case !errors.As(err, &faulty) || faulty.Path != path:
			s.t.Errorf("%s: got error %v, want one about the tarball", path, err)
		case now != before:
			s.t.Errorf("%s: %v, and the image is %s", path, err, now)
		}
	}
}

// testSave has images saved twice, and loads them on an Engine that has lost them.
func testSave(t *testing.T, suite *suite) {
	s := suite.shelf(t)
	one := boxed{tags: []string{s.project + ":1"}, layers: []string{s.project, "one"}}
	two := boxed{tags: []string{s.project + ":2"}, layers: []string{s.project, "two"}}
	alone := boxed{tags: []string{"x" + s.project + ":1"}, layers: []string{"alone " + s.project}}
	tags := slices.Concat(one.tags, two.tags, alone.tags)
	must(t, s.engine.Apply(t.Context(), s.plan(s.put("in.tar", dockerArchive(t, one, two, alone), tags...))))
	digests := map[string]string{}
	for _, how := range []imports.Compression{imports.Plain, imports.Gzip, imports.Zstd, imports.Plain} {
		dir := t.TempDir()
		plan, err := s.engine.PlanSave(t.Context(), tags, engine.SaveOptions{Dir: dir, Compression: how})
		must(t, err)
		must(t, s.engine.Apply(t.Context(), plan))
		saved := plan.Saved()
		if len(saved) != 2 || !slices.Equal(saved[0].Tags, slices.Concat(one.tags, two.tags)) || !slices.Equal(saved[1].Tags, alone.tags) {
			t.Fatalf("got %+v, want what shares layers together", saved)
		}
		for _, file := range saved {
			content, err := os.ReadFile(filepath.Join(dir, file.File))
			must(t, err)
			if digest(content) != file.Digest {
				t.Errorf("%s has another digest than %s", file.File, file.Digest)
			}
			if before := digests[file.File]; before != "" && before != file.Digest {
				t.Errorf("%s came out differently the second time", file.File)
			}
			digests[file.File] = file.Digest
		}
		left, err := os.ReadDir(dir)
		must(t, err)
		if len(left) != 2 {
			t.Errorf("got %v, want the tarballs alone", left)
		}
		before := s.id(one.tags[0])
		for _, tag := range tags {
			_, err := s.docker.ImageRemove(t.Context(), tag, image.RemoveOptions{})
			must(t, err)
		}
		must(t, s.engine.Apply(t.Context(), s.plan(filepath.Join(dir, "*.tar*"))))
		if now := s.id(one.tags[0]); now != before {
			t.Errorf("%s is %s after its return, and was %s", one.tags[0], now, before)
		}
	}
}
