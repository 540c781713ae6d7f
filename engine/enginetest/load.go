package enginetest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/klauspost/compress/zstd"
)

// importImage makes an image of a file system's tar; of its changes CMD, ENTRYPOINT and VOLUME in JSON form, and ENV.
func (e *Engine) importImage(r *request) error {
	i := Image{Ref: r.query.Get("repo")}
	if tag := r.query.Get("tag"); tag != "" {
		i.Ref += ":" + tag
	}
	content := sha256.New()
	if _, err := io.Copy(content, r.Body); err != nil {
		return fail(http.StatusInternalServerError, "%s", err)
	}
	for _, change := range r.query["changes"] {
		instruction, rest, _ := strings.Cut(strings.TrimSpace(change), " ")
		var list []string
		_ = json.Unmarshal([]byte(rest), &list) // what is no list stays nil
		switch strings.ToUpper(instruction) {
		case "CMD":
			i.Cmd = list
		case "ENTRYPOINT":
			i.Entrypoint = list
		case "VOLUME":
			i.Volumes = list
		case "ENV":
			i.Env = append(i.Env, rest)
		}
	}
	fmt.Fprint(content, i)
	i.ID = "sha256:" + hex.EncodeToString(content.Sum(nil))
	e.AddImage(i)
	return json.NewEncoder(r.stream("application/json")).Encode(map[string]string{"status": i.ID})
}

// archiveConfig is an image's config in a docker-archive.
type archiveConfig struct {
	Architecture string           `json:"architecture"`
	OS           string           `json:"os"`
	Config       container.Config `json:"config"`
	RootFS       struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// savedImage is an entry of a docker-archive's manifest.json.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// configJSON is the image's configuration as archives have it. Its digest is the image's ID.
func (i Image) configJSON() []byte {
	c := archiveConfig{Architecture: i.Architecture, OS: "linux", Config: i.config()}
	if c.Architecture == "" {
		c.Architecture = "amd64"
	}
	c.RootFS.Type, c.RootFS.DiffIDs = "layers", i.Layers
	raw, err := json.Marshal(c)
	if err != nil {
		panic(err) // plain data
	}
	return raw
}

// layer is the content of the layer that an image is given if it has none.
func (i Image) layer() []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	names := append(sortedKeys(i.Files), "/.image")
	for _, name := range names {
		content := i.Files[name]
		if name == "/.image" {
			content = i.Ref // so that two images without files differ
		}
		if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: 0o755, Size: int64(len(content))}); err != nil {
			panic(err) // names and sizes are plain data, and a buffer takes all
		}
		io.WriteString(w, content)
	}
	w.Close()
	return out.Bytes()
}

// loadImages answers POST /images/load with a docker-archive, as dockerd does with graph drivers: it unpacks all of it
// before it looks at anything, and tags an image when all its layers are there. It answers 200 and puts an error into the
// stream (api/server/router/image, image/tarexport/load.go).
func (e *Engine) loadImages(r *request) error {
	files, err := e.untar(r.Body)
	out := json.NewEncoder(r.stream("application/json"))
	if err == nil {
		err = e.loadAll(files, out)
	}
	if err != nil {
		return gone(out.Encode(map[string]any{"errorDetail": map[string]string{"message": err.Error()}, "error": err.Error()}))
	}
	return nil
}

// spool is where dockerd unpacks an archive, as its errors name it.
const spool = "/var/lib/docker/tmp/docker-import-000000000/"

func (e *Engine) loadAll(files map[string][]byte, out *json.Encoder) error {
	raw, ok := files["manifest.json"]
	if !ok {
		return errors.New("open " + spool + "repositories: no such file or directory")
	}
	var manifest []savedImage
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return err
	}
	for _, saved := range manifest {
		raw, ok := files[path.Clean(saved.Config)]
		if !ok {
			return fmt.Errorf("open %s%s: no such file or directory", spool, saved.Config)
		}
		var config archiveConfig
		if err := json.Unmarshal(raw, &config); err != nil {
			return err
		}
		if have, want := len(saved.Layers), len(config.RootFS.DiffIDs); have != want {
			return fmt.Errorf("invalid manifest, layers length mismatch: expected %d, got %d", want, have)
		}
		if err := e.loadLayers(config.RootFS.DiffIDs, saved.Layers, files, out); err != nil {
			return err
		}
		e.loadImage(config, raw, saved.RepoTags, out)
	}
	return nil
}

// loadLayers takes in those layers that the Engine does not have: each counts together with those below it.
func (e *Engine) loadLayers(diffIDs, names []string, files map[string][]byte, out *json.Encoder) error {
	for i, want := range diffIDs {
		if e.hasLayers(diffIDs[:i+1]) {
			continue
		}
		packed, ok := files[path.Clean(names[i])]
		if !ok {
			return fmt.Errorf("open %s%s: no such file or directory", spool, names[i])
		}
		layer, err := e.decompress(bytes.NewReader(packed))
		if err != nil {
			return err
		}
		content, err := io.ReadAll(layer)
		if err != nil {
			return err
		}
		got := digestOf(content)
		_ = out.Encode(map[string]any{
			"status": "Loading layer", "id": short(want), "progress": "[====>]",
			"progressDetail": map[string]int{"current": len(packed), "total": len(packed)},
		})
		if got != want {
			return fmt.Errorf("invalid diffID for layer %d: expected %q, got %q", i, want, got)
		}
		e.mu.Lock()
		e.layers[want] = content
		e.mu.Unlock()
	}
	return nil
}

// hasLayers tells whether an image has just these at its bottom.
func (e *Engine) hasLayers(diffIDs []string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.images {
		if len(m.layers) >= len(diffIDs) && slices.Equal(m.layers[:len(diffIDs)], diffIDs) {
			return true
		}
	}
	return false
}

// loadImage keeps an image under its tags.
func (e *Engine) loadImage(config archiveConfig, raw []byte, tags []string, out *json.Encoder) {
	i := config.image(raw)
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.keep(i)
	for _, ref := range tags {
		tag, _ := canonical(ref)
		if old := e.findImage(tag); old != nil && old != m {
			_ = out.Encode(map[string]string{"stream": fmt.Sprintf("The image %s already exists, renaming the old one with ID %s to empty string\n", tag, old.id)})
		}
		e.tag(m, tag)
		_ = out.Encode(map[string]string{"stream": "Loaded image: " + tag + "\n"})
	}
	if len(tags) == 0 {
		_ = out.Encode(map[string]string{"stream": "Loaded image ID: " + m.id + "\n"})
	}
	e.tellImage(events.ActionLoad, m.id, m.id)
}

func (a archiveConfig) image(raw []byte) Image {
	c := a.Config
	i := Image{
		ID: digestOf(raw), Architecture: a.Architecture, Cmd: c.Cmd, Entrypoint: c.Entrypoint, Env: c.Env,
		Labels: c.Labels, Healthcheck: c.Healthcheck, User: c.User, WorkingDir: c.WorkingDir, StopSignal: c.StopSignal,
		Volumes: sortedKeys(c.Volumes), Layers: append([]string{}, a.RootFS.DiffIDs...), raw: raw,
	}
	for port := range c.ExposedPorts {
		i.ExposedPorts = append(i.ExposedPorts, string(port))
	}
	return i
}

// untar reads an archive whole, following its links.
func (e *Engine) untar(body io.Reader) (map[string][]byte, error) {
	plain, err := e.decompress(body)
	if err != nil {
		return nil, err
	}
	files, links := map[string][]byte{}, map[string]string{}
	for archive := tar.NewReader(plain); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("Error processing tar file(exit status 1): %w", err)
		}
		name := path.Clean(head.Name)
		switch head.Typeflag {
		case tar.TypeLink:
			links[name] = path.Clean(head.Linkname)
		case tar.TypeSymlink:
			links[name] = path.Join(path.Dir(name), head.Linkname)
		case tar.TypeReg:
			if files[name], err = io.ReadAll(archive); err != nil {
				return nil, fmt.Errorf("Error processing tar file(exit status 1): %w", err)
			}
		}
	}
	for name, target := range links {
		if content, ok := files[target]; ok {
			files[name] = content
		}
	}
	return files, nil
}

// decompress takes off what the Engine knows: gzip, bzip2, and from 23.0 on zstd. What it doesn't know is no tar to it.
func (e *Engine) decompress(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(r)
	head, _ := buffered.Peek(4)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(buffered)
	case bytes.HasPrefix(head, []byte("BZh")):
		return bzip2.NewReader(buffered), nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) && e.atLeast("1.42"):
		return zstd.NewReader(buffered)
	}
	return buffered, nil
}

// saveImages answers GET /images/get with a docker-archive of the images that the names stand for, as Engines before 25
// lay it out.
func (e *Engine) saveImages(r *request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var body bytes.Buffer
	w := tar.NewWriter(&body)
	written := map[string]bool{}
	add := func(name string, content []byte) {
		if !written[name] {
			_ = w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}) // a buffer takes all
			_, _ = w.Write(content)
		}
		written[name] = true
	}
	var manifest []savedImage
	for _, name := range r.query["names"] {
		m := e.findImage(name)
		if m == nil {
			return fail(http.StatusNotFound, "reference does not exist: %s", name)
		}
		config := strings.TrimPrefix(digestOf(m.raw), "sha256:") + ".json"
		i := slices.IndexFunc(manifest, func(s savedImage) bool { return s.Config == config })
		if i < 0 {
			saved := savedImage{Config: config}
			add(config, m.raw)
			for _, layer := range m.layers {
				content, ok := e.layers[layer]
				if !ok {
					return fail(http.StatusInternalServerError, "the layer %s was given to this Engine by name alone", layer)
				}
				file := strings.TrimPrefix(layer, "sha256:") + "/layer.tar"
				add(file, content)
				saved.Layers = append(saved.Layers, file)
			}
			manifest = append(manifest, saved)
			i = len(manifest) - 1
		}
		if tag, _ := canonical(name); slices.Contains(m.tags, tag) {
			manifest[i].RepoTags = append(manifest[i].RepoTags, tag)
		}
	}
	raw, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	add("manifest.json", raw)
	_ = w.Close()
	_, err = r.stream("application/x-tar").Write(body.Bytes())
	return gone(err)
}
