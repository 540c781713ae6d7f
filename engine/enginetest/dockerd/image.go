package dockerd

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// Image is an image that is made without a registry and without a build: one layer, and what the image says of itself.
type Image struct {
	// Names are the names with tags, such as "galley-test/web:1".
	Names []string
	// Config is what a Dockerfile would set: Env, Cmd, Entrypoint, User, WorkingDir, Volumes, ExposedPorts, StopSignal,
	// Healthcheck, Labels.
	Config container.Config
	Root   Rootfs
}

// WriteArchive writes the image as "docker save" does. The same image always gives the same bytes, and so the same id.
func (i Image) WriteArchive(w io.Writer) error {
	layer, err := os.CreateTemp("", "galley-layer")
	if err != nil {
		return fmt.Errorf("writing a layer: %w", err)
	}
	defer os.Remove(layer.Name())
	defer layer.Close()
	digest := sha256.New()
	if err := i.Root.write(io.MultiWriter(layer, digest)); err != nil {
		return err
	}
	config, err := i.config("sha256:" + hex.EncodeToString(digest.Sum(nil)))
	if err != nil {
		return err
	}
	id := sha256.Sum256(config)
	configName := hex.EncodeToString(id[:]) + ".json"
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": i.Names, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return fmt.Errorf("writing an image's manifest: %w", err)
	}
	size, err := layer.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = layer.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("reading a layer again: %w", err)
	}
	return writeTar(w, []part{
		{configName, int64(len(config)), bytes.NewReader(config)},
		{"layer.tar", size, layer},
		{"manifest.json", int64(len(manifest)), bytes.NewReader(manifest)},
	})
}

// config is the image's JSON as the docker-archive format has it; its hash is the image's id.
func (i Image) config(diffID string) ([]byte, error) {
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"created":      "1970-01-01T00:00:00Z",
		"config":       i.Config,
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{diffID}},
	})
	if err != nil {
		return nil, fmt.Errorf("writing an image's configuration: %w", err)
	}
	return config, nil
}

type part struct {
	name    string
	size    int64
	content io.Reader
}

func writeTar(w io.Writer, parts []part) error {
	out := tar.NewWriter(w)
	for _, p := range parts {
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: p.name, Size: p.size, Mode: 0o644}); err != nil {
			return fmt.Errorf("writing an image: %w", err)
		}
		if _, err := io.Copy(out, p.content); err != nil {
			return fmt.Errorf("writing an image: %w", err)
		}
	}
	return out.Close()
}

// LoadImage makes an image and loads it into the Engine that api talks to, which need not be private.
func LoadImage(ctx context.Context, api client.ImageAPIClient, image Image) error {
	read, write := io.Pipe()
	go func() { write.CloseWithError(image.WriteArchive(write)) }()
	return errors.Join(LoadArchive(ctx, api, read), read.Close())
}

// LoadArchive loads an archive of images, in the format of "docker save".
func LoadArchive(ctx context.Context, api client.ImageAPIClient, archive io.Reader) error {
	answer, err := api.ImageLoad(ctx, archive, client.ImageLoadWithQuiet(true))
	if err != nil {
		return fmt.Errorf("loading an image: %w", err)
	}
	defer answer.Body.Close()
	// The Engine reports a failure inside of its answer, as a message of its own.
	for lines := json.NewDecoder(answer.Body); ; {
		var message struct{ Error string }
		switch err := lines.Decode(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("loading an image: %w", err)
		case message.Error != "":
			return fmt.Errorf("loading an image: %s", message.Error)
		}
	}
}
