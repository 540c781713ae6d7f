package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"galley/engine/enginetest/dockerd"
)

// importing measures how tarballs get into the Engine.
type importing struct {
	self, galley, dir string
	api               *client.Client
	host              string
	// images is how many there are, bytes how many they have together.
	images int
	bytes  int64
	files  []string
	tags   []string
}

// The ways into the Engine, in the order in which they are printed.
const (
	importCold = "galley import"
	importWarm = "galley import, all there already"
	loadLoop   = "for f in *.tar; do docker load < $f; done"
	loadBare   = "bare calls, one for each CPU at a time"
)

// run measures each way, rounds times, and prints a table of medians.
func (m *importing) run(ctx context.Context, rounds int, deadline time.Time) error {
	if err := m.pack(); err != nil {
		return err
	}
	results := map[string][]sample{}
	for round := range rounds {
		if round > 0 && time.Now().After(deadline) {
			break
		}
		for _, way := range []string{importCold, importWarm, loadLoop, loadBare} {
			command, env := m.way(way, round)
			if command == nil {
				continue
			}
			if way != importWarm {
				if err := m.clear(ctx); err != nil {
					return err
				}
			}
			fmt.Fprintf(os.Stderr, "round %d: %s\n", round+1, way)
			s, err := measure(ctx, m.self, append(os.Environ(), append(env, "DOCKER_HOST="+m.host)...), command)
			if err != nil {
				return err
			}
			results[way] = append(results[way], s)
		}
	}
	fmt.Printf("\n%d images in tarballs, %.1f MB; medians of %d rounds\n\n", m.images, float64(m.bytes)/1e6, len(results[importCold]))
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "\ttime\tthroughput\tpeak memory")
	for _, way := range []string{importCold, importWarm, loadLoop, loadBare} {
		if took := median(results[way], func(s sample) float64 { return s.Took.Seconds() }); took > 0 {
			peak := median(results[way], func(s sample) float64 { return float64(s.Peak) / 1e6 })
			fmt.Fprintf(table, "%s\t%.3f s\t%.0f MB/s\t%.1f MB\n", way, took, float64(m.bytes)/1e6/took, peak)
		}
	}
	return table.Flush()
}

// way is how the tarballs are loaded, nil if this machine lacks what that needs. What galley remembers is each round's own.
func (m *importing) way(way string, round int) (command, env []string) {
	switch way {
	case importCold, importWarm:
		state := filepath.Join(m.dir, fmt.Sprintf("state-%d", round))
		return []string{m.galley, "--progress", "quiet", "import", filepath.Join(m.dir, "*.tar")}, []string{"GALLEY_STATE_DIR=" + state}
	case loadLoop:
		if _, err := exec.LookPath("docker"); err != nil {
			return nil, nil
		}
		return []string{"sh", "-ec", `for f in "$0"/*.tar; do docker load -q < "$f"; done`, m.dir}, nil
	}
	return append([]string{m.self, "load"}, m.files...), nil
}

// clear takes the images away, in the order that lets layers go.
func (m *importing) clear(ctx context.Context) error {
	for _, tag := range m.tags {
		if _, err := m.api.ImageRemove(ctx, tag, image.RemoveOptions{Force: true}); err != nil && !client.IsErrNotFound(err) {
			return fmt.Errorf("removing image %q: %w", tag, err)
		}
	}
	return nil
}

// shareOf is how many images have a lowest layer in common, which has half of each one's bytes.
const shareOf = 4

// pack writes the tarballs: each an image of two layers, half of whose bytes can be compressed.
func (m *importing) pack() error {
	each := m.bytes / int64(m.images)
	for i := range m.images {
		tag := fmt.Sprintf("galley-bench:%d", i)
		path := filepath.Join(m.dir, fmt.Sprintf("%03d.tar", i))
		layers := []randomLayer{{uint64(i / shareOf), each / 2, each}, {uint64(1000 + i), each / 2, each}}
		if err := writeImage(path, tag, layers); err != nil {
			return fmt.Errorf("writing %q: %w", path, err)
		}
		m.files, m.tags = append(m.files, path), append(m.tags, tag)
	}
	return nil
}

// randomLayer is a layer with one file, told apart by its seed.
type randomLayer struct {
	seed  uint64
	bytes int64
	// repeats is after how many bytes the content begins anew, a multiple of a block's.
	repeats int64
}

// writeTo writes the layer's tar.
func (l randomLayer) writeTo(out io.Writer) error {
	w := tar.NewWriter(out)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("data-%d", l.seed), Mode: 0o644, Size: l.bytes}); err != nil {
		return err
	}
	seed := [32]byte{byte(l.seed), byte(l.seed >> 8)}
	random := rand.NewChaCha8(seed)
	block := make([]byte, 64<<10)
	for left := l.bytes; left > 0; {
		if (l.bytes-left)%l.repeats == 0 {
			random.Seed(seed)
		}
		n := min(left, int64(len(block)))
		random.Read(block[:len(block)/2])
		if _, err := w.Write(block[:n]); err != nil {
			return err
		}
		left -= n
	}
	return w.Close()
}

// counted takes a digest and a size.
type counted struct {
	hash.Hash
	size int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.size += int64(len(p))
	return c.Hash.Write(p)
}

// writeImage writes a docker-archive; each layer is made twice, since a tar tells a file's size before the file.
func writeImage(path, tag string, layers []randomLayer) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	w := tar.NewWriter(file)
	var ids, names []string
	for i, l := range layers {
		sum := &counted{Hash: sha256.New()}
		if err := l.writeTo(sum); err != nil {
			return err
		}
		ids, names = append(ids, fmt.Sprintf("sha256:%x", sum.Sum(nil))), append(names, fmt.Sprintf("%d/layer.tar", i))
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: names[i], Mode: 0o644, Size: sum.size}); err != nil {
			return err
		}
		if err := l.writeTo(w); err != nil {
			return err
		}
	}
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": runtime.GOARCH, "config": map[string]any{}, "rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%x.json", sha256.Sum256(config))
	manifest, err := json.Marshal([]map[string]any{{"Config": name, "RepoTags": []string{tag}, "Layers": names}})
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{name: config, "manifest.json": manifest} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			return err
		}
		if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), file.Close())
}

// bareLoad makes nothing but the Engine calls that load tarballs.
func bareLoad(ctx context.Context, files []string) error {
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return fmt.Errorf("preparing the client: %w", err)
	}
	defer api.Close()
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(runtime.NumCPU())
	for _, path := range slices.Sorted(slices.Values(files)) {
		work.Go(func() error {
			file, err := os.Open(path)
			if err != nil {
				return fmt.Errorf("loading %q: %w", path, err)
			}
			defer file.Close()
			return dockerd.LoadArchive(ctx, api, file)
		})
	}
	return work.Wait()
}
