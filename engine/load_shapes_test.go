package engine_test

import (
	"encoding/json"
	"strings"
	"testing"

	"galley/compose"
	"galley/engine"
)

// shaped is an OCI layout in the making.
type shaped struct {
	t        *testing.T
	names    []string
	contents map[string][]byte
}

type descriptor = map[string]any

func (s *shaped) add(name string, content []byte) {
	if s.contents[name] == nil {
		s.names = append(s.names, name)
	}
	s.contents[name] = content
}

// blob adds a blob, as JSON unless it is bytes, and returns its descriptor.
func (s *shaped) blob(mediaType string, v any) descriptor {
	content, ok := v.([]byte)
	if !ok {
		content = s.json(v)
	}
	s.add("blobs/sha256/"+digest(content)[7:], content)
	return descriptor{"mediaType": mediaType, "digest": digest(content), "size": len(content)}
}

func (s *shaped) json(v any) []byte {
	text, err := json.Marshal(v)
	must(s.t, err)
	return text
}

// manifest adds an image, with its layers as they are.
func (s *shaped) manifest(b boxed) descriptor {
	layers, config := b.parts(s.t)
	all := []descriptor{}
	for _, layer := range layers {
		all = append(all, s.blob("application/vnd.oci.image.layer.v1.tar", layer))
	}
	return s.blob("application/vnd.oci.image.manifest.v1+json", map[string]any{
		"schemaVersion": 2, "layers": all, "config": s.blob("application/vnd.oci.image.config.v1+json", config),
	})
}

// attested adds an index of an image and of what BuildKit says of it.
func (s *shaped) attested(b boxed) descriptor {
	statement := s.blob("application/vnd.oci.image.manifest.v1+json", map[string]any{
		"schemaVersion": 2, "config": s.blob("application/vnd.oci.image.config.v1+json", map[string]any{"os": "unknown"}),
		"layers": []descriptor{s.blob("application/vnd.in-toto+json", map[string]any{"_type": "statement"})},
	})
	statement["platform"] = map[string]string{"os": "unknown", "architecture": "unknown"}
	statement["annotations"] = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	return s.blob("application/vnd.oci.image.index.v1+json", map[string]any{
		"schemaVersion": 2, "manifests": []descriptor{s.manifest(b), statement},
	})
}

// pack ends the layout with its index, under a name of that annotation unless it is "".
func (s *shaped) pack(d descriptor, annotation, name string) []byte {
	if annotation != "" {
		d["annotations"] = map[string]string{annotation: name}
	}
	s.add("index.json", s.json(map[string]any{"schemaVersion": 2, "manifests": []descriptor{d}}))
	s.add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return pack(s.t, s.names, s.contents)
}

// testLoadShapes has a recipe that names its image by digest come up from what several tools write, without a registry.
func testLoadShapes(t *testing.T, suite *suite) {
	const refName, containerd = "org.opencontainers.image.ref.name", "io.containerd.image.name"
	s := suite.shelf(t)
	for name, write := range map[string]func(l *shaped, b boxed) (content []byte, digest any){
		"nameless": func(l *shaped, b boxed) ([]byte, any) {
			m := l.manifest(b)
			return l.pack(m, "", ""), m["digest"]
		},
		"tag": func(l *shaped, b boxed) ([]byte, any) {
			m := l.manifest(b)
			return l.pack(m, refName, "1"), m["digest"]
		},
		"named": func(l *shaped, b boxed) ([]byte, any) {
			m := l.manifest(b)
			return l.pack(m, refName, "docker.io/library/"+b.tags[0]), m["digest"]
		},
		"attested": func(l *shaped, b boxed) ([]byte, any) {
			index := l.attested(b)
			return l.pack(index, containerd, "docker.io/library/"+b.tags[0]), index["digest"]
		},
		"nested": func(l *shaped, b boxed) ([]byte, any) {
			inner := l.attested(b)
			outer := l.blob("application/vnd.oci.image.index.v1+json", map[string]any{"schemaVersion": 2, "manifests": []descriptor{inner}})
			return l.pack(outer, "", ""), inner["digest"]
		},
		"both": func(l *shaped, b boxed) ([]byte, any) {
			m := l.manifest(b)
			layers, config := b.parts(t)
			l.add("manifest.json", l.json([]map[string]any{{
				"Config": "blobs/sha256/" + digest(config)[7:], "RepoTags": b.tags, "Layers": []string{"blobs/sha256/" + digest(layers[0])[7:]},
			}}))
			return l.pack(m, "", ""), m["digest"]
		},
	} {
		repository := s.project + "-" + name
		b := boxed{tags: []string{repository + ":1"}, layers: []string{repository}}
		content, by := write(&shaped{t: t, contents: map[string][]byte{}}, b)
		ref := repository + ":1@" + by.(string)
		path := s.put(name+".tar", content, b.tags[0], repository+":"+strings.Replace(by.(string), ":", "-", 1))
		s.createFrom(path, ref)
	}
}

// createFrom loads a tarball for a recipe that names an image, and has its container created.
func (s *shelf) createFrom(path, ref string) {
	s.t.Helper()
	p := s.recipe(svc("web", func(w *compose.Service) { w.Config.Image, w.Pull.Policy = ref, compose.PullNever }))
	archives, err := s.scanner.Scan(s.t.Context(), path)
	must(s.t, err)
	opts := engine.LoadOptions{Scanner: s.scanner, Refs: p.Images()}
	plan, err := s.engine.PlanLoad(s.t.Context(), archives, opts)
	must(s.t, err)
	must(s.t, s.engine.Apply(s.t.Context(), plan))
	if again, err := s.engine.PlanLoad(s.t.Context(), archives, opts); err != nil || !again.Empty() {
		s.t.Errorf("%s is planned again, error %v:\n%s", path, err, again)
	}
	_, err = s.engine.Converge(s.t.Context(), p, s.state(s.t), engine.DiffOptions{NoStart: true})
	must(s.t, err)
	if have := s.state(s.t).Containers; len(have) != 1 || len(s.state(s.t).MissingImages(p)) > 0 {
		s.t.Errorf("%s: got containers %+v", ref, have)
	}
	s.cleanUp(s.t)
}
