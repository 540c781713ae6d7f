package imports

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// part is an entry of a tar: a file, or a symbolic link if it has a target.
type part struct {
	name, content, target string
}

// tarOf writes a tar.
func tarOf(t testing.TB, parts ...part) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, p := range parts {
		header := &tar.Header{Name: p.name, Mode: 0o644, Size: int64(len(p.content)), Typeflag: tar.TypeReg}
		switch {
		case p.target != "":
			header.Typeflag, header.Linkname = tar.TypeSymlink, p.target
		case strings.HasSuffix(p.name, "/"):
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, p.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func sum(content string) string {
	s := sha256.Sum256([]byte(content))
	return hex.EncodeToString(s[:])
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

type object = map[string]any

// sample is an image to be written into archives.
type sample struct {
	tags   []string
	layers []string
	// config has all of the configuration but the layers; its default is for linux/amd64.
	config object
}

func (s sample) configJSON() string {
	config := object{"os": "linux", "architecture": "amd64"}
	for key, value := range s.config {
		config[key] = value
	}
	ids := []string{}
	for _, l := range s.layers {
		ids = append(ids, "sha256:"+sum(l))
	}
	config["rootfs"] = object{"type": "layers", "diff_ids": ids}
	return asJSON(config)
}

// dockerParts are the entries of a docker-archive as skopeo and podman write them, manifest.json last.
func dockerParts(images ...sample) []part {
	var parts []part
	var manifest []object
	seen := map[string]bool{}
	for _, image := range images {
		config := image.configJSON()
		names := []string{}
		for _, l := range image.layers {
			name := sum(l) + ".tar"
			if names = append(names, name); !seen[name] {
				parts = append(parts, part{name: name, content: l})
			}
			seen[name] = true
		}
		parts = append(parts, part{name: sum(config) + ".json", content: config})
		manifest = append(manifest, object{"Config": sum(config) + ".json", "RepoTags": image.tags, "Layers": names})
	}
	return append(parts, part{name: manifestName, content: asJSON(manifest)})
}

// layout is an OCI layout in the making.
type layout struct {
	parts []part
	index []object
}

// blob adds a blob and returns its descriptor.
func (l *layout) blob(mediaType, content string) object {
	name := "blobs/sha256/" + sum(content)
	known := false
	for _, p := range l.parts {
		known = known || p.name == name
	}
	if !known {
		l.parts = append(l.parts, part{name: name, content: content})
	}
	return object{"mediaType": mediaType, "digest": "sha256:" + sum(content), "size": len(content)}
}

// manifest adds an image and returns its manifest's descriptor.
func (l *layout) manifest(s sample) object {
	layers := []object{}
	for _, content := range s.layers {
		layers = append(layers, l.blob("application/vnd.oci.image.layer.v1.tar", content))
	}
	return l.blob("application/vnd.oci.image.manifest.v1+json", asJSON(object{
		"schemaVersion": 2,
		"config":        l.blob("application/vnd.oci.image.config.v1+json", s.configJSON()),
		"layers":        layers,
	}))
}

// list adds an index over manifests and returns its descriptor.
func (l *layout) list(manifests ...object) object {
	return l.blob("application/vnd.oci.image.index.v1+json", asJSON(object{"schemaVersion": 2, "manifests": manifests}))
}

// name makes a descriptor one of the layout's own index, under a full name.
func (l *layout) name(d object, name string) {
	named := object{"annotations": object{"io.containerd.image.name": name}}
	for key, value := range d {
		named[key] = value
	}
	l.index = append(l.index, named)
}

// ociParts are the layout's entries as `docker save` sorts them, without manifest.json.
func (l *layout) ociParts() []part {
	return append(append([]part{}, l.parts...),
		part{name: indexName, content: asJSON(object{"schemaVersion": 2, "manifests": l.index})},
		part{name: layoutName, content: `{"imageLayoutVersion":"1.0.0"}`})
}

// platform completes a descriptor with its platform.
func platform(d object, os, arch string) object {
	d["platform"] = object{"os": os, "architecture": arch}
	return d
}

// packed compresses. There is no bzip2 writer in Go: [TestBzip2] reads what the tool wrote.
func packed(t testing.TB, how Compression, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch how {
	case Plain:
		return content
	case Gzip:
		w = gzip.NewWriter(&out)
	case Zstd:
		w, err = zstd.NewWriter(&out)
	case Xz:
		w, err = xz.NewWriter(&out)
	default:
		t.Fatalf("no writer for %s", how)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// write makes a file in a directory, and returns its path.
func write(t testing.TB, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// onAMD64 scans for a machine that is the same wherever the tests run.
func onAMD64() Scanner { return Scanner{Platform: Platform{OS: "linux", Architecture: "amd64"}} }

// web and db are images with all that is read of them.
func web() sample {
	return sample{
		tags:   []string{"web:1", "docker.io/library/web:latest"},
		layers: []string{"base layer", "web layer"},
		config: object{"config": object{
			"Entrypoint": []string{"/web"}, "Cmd": []string{"serve"},
			"Healthcheck": object{"Test": []string{"CMD", "probe"}, "Interval": 3e9, "Retries": 4},
		}},
	}
}

func db() sample {
	return sample{tags: []string{"registry.example:5000/team/db:15"}, layers: []string{"base layer", "db layer"}}
}
