package enginetest

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

// importImage makes an image of a file system's tar; of its changes CMD and ENTRYPOINT in JSON form, and ENV.
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
	Architecture string
	Config       container.Config
	RootFS       struct {
		DiffIDs []string `json:"diff_ids"`
	}
}

// loadImages answers POST /images/load with a docker-archive. It answers 200 and puts an error into the stream.
func (e *Engine) loadImages(r *request) error {
	images, err := readArchive(r.Body)
	out := json.NewEncoder(r.stream("application/json"))
	if err != nil {
		return gone(out.Encode(map[string]any{"errorDetail": map[string]string{"message": err.Error()}, "error": err.Error()}))
	}
	for _, i := range images {
		id := e.AddImage(i)
		loaded := "Loaded image: " + i.Ref
		if i.Ref == "" {
			loaded = "Loaded image ID: " + id
		}
		e.mu.Lock()
		e.tellImage(events.ActionLoad, id, id)
		e.mu.Unlock()
		_ = out.Encode(map[string]string{"stream": loaded + "\n"})
	}
	return nil
}

// readArchive reads a docker-archive's images: one for each tag.
func readArchive(body io.Reader) ([]Image, error) {
	contents := map[string][]byte{}
	archive := tar.NewReader(body)
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(head.Name, ".json") || head.Size < 64<<10 {
			if contents[strings.TrimPrefix(head.Name, "./")], err = io.ReadAll(archive); err != nil {
				return nil, err
			}
		}
	}
	var manifest []struct {
		Config   string
		RepoTags []string
	}
	raw, ok := contents["manifest.json"]
	if !ok {
		return nil, errors.New("open /var/lib/docker/tmp/docker-import/repositories: no such file or directory")
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return nil, err
	}
	var images []Image
	for _, entry := range manifest {
		raw, ok := contents[strings.TrimPrefix(entry.Config, "./")]
		if !ok {
			return nil, fmt.Errorf("open /var/lib/docker/tmp/docker-import/%s: no such file or directory", entry.Config)
		}
		var config archiveConfig
		if err := json.Unmarshal(raw, &config); err != nil {
			return nil, err
		}
		for _, tag := range orNameless(entry.RepoTags) {
			images = append(images, config.image(tag, raw))
		}
	}
	return images, nil
}

func orNameless(tags []string) []string {
	if len(tags) == 0 {
		return []string{""}
	}
	return tags
}

func (a archiveConfig) image(tag string, raw []byte) Image {
	sum := sha256.Sum256(raw)
	c := a.Config
	i := Image{
		Ref: tag, ID: "sha256:" + hex.EncodeToString(sum[:]), Architecture: a.Architecture, Cmd: c.Cmd, Entrypoint: c.Entrypoint, Env: c.Env,
		Labels: c.Labels, Healthcheck: c.Healthcheck, User: c.User, WorkingDir: c.WorkingDir, StopSignal: c.StopSignal,
		Volumes: sortedKeys(c.Volumes), Layers: a.RootFS.DiffIDs,
	}
	for port := range c.ExposedPorts {
		i.ExposedPorts = append(i.ExposedPorts, string(port))
	}
	return i
}
