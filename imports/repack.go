package imports

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Repack writes some images of an archive without compression to w, as a docker-archive that is the same bytes whenever the
// images are the same, each layer once, and that tells at its beginning what it holds. Memory is bounded, but for the
// images' configurations. Layers are compared with their digests. progress, if set, is told how many bytes of layers were
// written.
func (s Scanner) Repack(ctx context.Context, w io.Writer, a Archive, wanted []Wanted, progress func(written int64)) error {
	s.Platform = s.machine()
	counted := &counter{w: w, progress: progress}
	p := newPour(counted, wanted)
	p.kept = map[string][]byte{}
	for file := range p.files {
		p.files[file] = false // the first reading is for the configurations
	}
	if _, err := s.readAgain(ctx, a, p, nil); err != nil {
		return err
	}
	layers := map[string]string{} // the digests of their content, by file
	manifest := []savedImage{}
	for _, image := range wanted {
		saved := savedImage{Config: configName(image.Image.ID), RepoTags: append(list[string]{}, image.Tags...), Layers: list[string]{}}
		for i, l := range image.Image.Layers {
			layers[l.File] = image.Image.DiffIDs[i]
			p.names[l.File] = strings.TrimPrefix(image.Image.DiffIDs[i], "sha256:") + ".tar"
			saved.Layers = append(saved.Layers, p.names[l.File])
		}
		manifest = append(manifest, saved)
	}
	if err := p.addHead(manifest); err != nil {
		return err
	}
	for _, image := range wanted {
		for _, l := range image.Image.Layers {
			if err := s.repackLayer(ctx, a, p, l.File, layers[l.File]); err != nil {
				return err
			}
		}
	}
	return p.out.Close()
}

// addHead writes what the archive holds: its manifest, and the images' configurations.
func (p *pour) addHead(manifest []savedImage) error {
	text, err := json.Marshal(manifest)
	if err != nil {
		return fmt.Errorf("writing %q: %w", manifestName, err)
	}
	if err := p.add(manifestName, text); err != nil {
		return err
	}
	for _, image := range p.wanted {
		config, ok := p.kept[image.Image.ID]
		if !ok {
			return flawf(Corrupt, "image %q is no longer in it", image.Image.Name())
		}
		if p.written[image.Image.ID] {
			continue
		}
		p.written[image.Image.ID] = true
		if err := p.add(configName(image.Image.ID), config); err != nil {
			return err
		}
	}
	return nil
}

// repackLayer copies one layer, unless it was written already: the archive is read as often as it has layers, seeking over
// the others, because its own order is not always the same.
func (s Scanner) repackLayer(ctx context.Context, a Archive, p *pour, file, diffID string) error {
	if p.written[p.names[file]] {
		return nil
	}
	p.written[p.names[file]] = true
	p.files = map[string]bool{file: true}
	c, err := s.readAgain(ctx, a, p, nil)
	if err != nil {
		return err
	}
	switch f := c.files[file]; {
	case f == nil:
		return flawf(Corrupt, "layer %q is no longer in it", file)
	case f.err != nil:
		return fmt.Errorf("in %q: %w", file, f.err)
	case f.diffID != diffID:
		return flawf(Corrupt, "layer %q does not have the content that the configuration names", file)
	}
	return nil
}

// counter tells how much was written.
type counter struct {
	w        io.Writer
	written  int64
	progress func(int64)
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.written += int64(n)
	if c.progress != nil {
		c.progress(c.written)
	}
	return n, err
}

// Compress returns a writer that compresses to w; none, gzip and zstd can be written. Its Close ends the compressed stream
// and leaves w open.
func Compress(w io.Writer, how Compression) (io.WriteCloser, error) {
	switch how {
	case Plain:
		return unclosed{w}, nil
	case Gzip:
		return gzip.NewWriter(w), nil
	case Zstd:
		// One goroutine each, as when reading.
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	}
	return nil, fmt.Errorf("compressing with %q: only gzip and zstd are written", how)
}

// Ext is how the name of an archive ends.
func (c Compression) Ext() string {
	switch c {
	case Gzip:
		return ".tar.gz"
	case Bzip2:
		return ".tar.bz2"
	case Xz:
		return ".tar.xz"
	case Zstd:
		return ".tar.zst"
	}
	return ".tar"
}

type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }
