package imports

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Wanted is an image to be taken out of an archive.
type Wanted struct {
	// Image is what the scan found.
	Image Image
	// Tags are the names to give it, instead of those in the archive.
	Tags []string
	// Have is how many of the lowest layers are left out, because the Engine has them.
	Have int
}

// StreamOptions say how an archive is streamed.
type StreamOptions struct {
	// Unpack tells which compressions of layers the Engine can't undo; nil is none. To unpack them the archive is read once
	// more, since a tar says how long a file is before the file.
	Unpack func(Compression) bool
	// Progress, if set, is told how many bytes of the archive's file were passed, from the goroutine of Stream.
	Progress func(passed int64)
}

// Stream writes some images of an archive to w, as a docker-archive without compression, which every Engine loads: an OCI
// layout is converted, and of several platforms only the one that the scan chose is there. Layers stay compressed as they
// are, but for those that options.Unpack names. Memory is bounded, whatever the archive holds.
//
// Everything is compared with its digests on its way, and what the images are called is written last: a w that acts on it
// only at its end, as the Engine does, never sees an image that is not whole. An archive that is faulty, or not what the
// scan found, is an [*Error]; any other error is that of w or of ctx.
func (s Scanner) Stream(ctx context.Context, w io.Writer, a Archive, wanted []Wanted, options StreamOptions) error {
	s.Platform = s.machine()
	s.Verify = true
	out := &outlet{w: w}
	err := s.stream(ctx, out, a, wanted, options)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case out.err != nil:
		return out.err
	}
	place := Position{}
	if len(a.Listed) > 0 {
		place = a.Listed[0]
	}
	return &Error{Fault: faultOf(err), Listed: place, Path: a.Path, Err: inWords(err)}
}

func (s Scanner) stream(ctx context.Context, out io.Writer, a Archive, wanted []Wanted, options StreamOptions) error {
	p := newPour(out, wanted)
	if options.Unpack != nil {
		if err := s.measure(ctx, a, wanted, p, options.Unpack); err != nil {
			return err
		}
	}
	c, err := s.readAgain(ctx, a, p, options.Progress)
	if err != nil {
		return err
	}
	_, images, err := c.finish(s.Platform)
	if err != nil {
		return err
	}
	return p.finish(images)
}

// readAgain reads an archive that was scanned before, to its end.
func (s Scanner) readAgain(ctx context.Context, a Archive, p *pour, progress func(int64)) (*contents, error) {
	file, err := openRegular(a.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	source := &source{ctx: ctx, file: file, progress: progress}
	c := newContents(true, &share{ctx: ctx, memory: s.Memory})
	c.pour = p
	if a.Compression == Plain {
		err = c.judge(c.read(tar.NewReader(source), nil)) // it seeks over what is not wanted
	} else {
		err = s.decode(c, a.Compression, source, nil)
	}
	if source.err != nil {
		return nil, source.err
	}
	return c, err
}

// measure finds out how long the layers are in clear that the Engine could not unpack.
func (s Scanner) measure(ctx context.Context, a Archive, wanted []Wanted, p *pour, unpack func(Compression) bool) error {
	layers := newPour(io.Discard, wanted)
	for _, image := range wanted {
		for _, l := range image.Image.Layers {
			if l.Compression != "" && !unpack(l.Compression) {
				layers.files[l.File] = false
			}
		}
	}
	if !slices.Contains(slices.Collect(maps.Values(layers.files)), true) {
		return nil
	}
	c, err := s.readAgain(ctx, a, layers, nil)
	if err != nil {
		return err
	}
	p.clear = map[string]int64{}
	for name := range layers.written {
		if f := c.files[name]; f != nil && f.err == nil && unpack(f.how) {
			p.clear[name] = f.clear
		}
	}
	return nil
}

// pour copies what is wanted of an archive into a docker-archive. A nil one wants nothing.
type pour struct {
	out    *tar.Writer
	wanted []Wanted
	// names are those of the layers' files in the new archive, files those that are to be copied, and clear the sizes of
	// those that are to be unpacked.
	names map[string]string
	files map[string]bool
	clear map[string]int64
	// kept, if set, takes the wanted configurations, which then are not written.
	kept map[string][]byte
	// written are the layers and configurations that the new archive has.
	written map[string]bool
}

func newPour(w io.Writer, wanted []Wanted) *pour {
	p := &pour{out: tar.NewWriter(w), wanted: wanted, names: map[string]string{}, files: map[string]bool{}, written: map[string]bool{}}
	for _, image := range wanted {
		for i, l := range image.Image.Layers {
			if p.names[l.File] == "" {
				p.names[l.File] = fmt.Sprintf("layer-%d.tar", len(p.names))
			}
			p.files[l.File] = p.files[l.File] || i >= image.Have
		}
	}
	return p
}

func (p *pour) wants(name string) bool { return p != nil && p.files[name] }

// layer copies a layer's file. read reads it and writes what it has read, and what that is in clear.
func (p *pour) layer(name string, f *file, read func(raw, clear io.Writer) error) error {
	if p.written[name] {
		return read(io.Discard, io.Discard) // a second file of the name; whether it is the same, others see to
	}
	p.written[name] = true
	size, unpack := p.clear[name]
	if !unpack {
		size = f.size
	}
	if err := p.begin(p.names[name], size); err != nil {
		return err
	}
	if unpack {
		return read(io.Discard, p.out)
	}
	return read(p.out, io.Discard)
}

func (p *pour) begin(name string, size int64) error {
	return p.out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644})
}

func (p *pour) add(name string, content []byte) error {
	if err := p.begin(name, int64(len(content))); err != nil {
		return err
	}
	_, err := p.out.Write(content)
	return err
}

// document copies an image's configuration, if it is wanted.
func (p *pour) document(f *file, text []byte) error {
	if p != nil && p.kept != nil {
		p.keep(f, text)
		return nil
	}
	if p == nil || p.written[f.digest] || !p.wantsConfig(f.digest) {
		return nil
	}
	p.written[f.digest] = true
	return p.add(configName(f.digest), text)
}

// keep takes a configuration, if it is wanted.
func (p *pour) keep(f *file, text []byte) {
	if p.kept[f.digest] == nil && p.wantsConfig(f.digest) {
		p.kept[f.digest] = bytes.Clone(text)
	}
}

func (p *pour) wantsConfig(id string) bool {
	return slices.ContainsFunc(p.wanted, func(w Wanted) bool { return w.Image.ID == id })
}

func configName(id string) string { return strings.TrimPrefix(id, "sha256:") + ".json" }

// finish compares what was read with what was scanned, and says at last what the images are.
func (p *pour) finish(images []Image) error {
	manifest := []savedImage{}
	for _, w := range p.wanted {
		same := func(i Image) bool { return i.ID == w.Image.ID && slices.Equal(i.DiffIDs, w.Image.DiffIDs) }
		if !p.written[w.Image.ID] || !slices.ContainsFunc(images, same) {
			return flawf(Corrupt, "image %q is no longer in it", w.Image.Name())
		}
		saved := savedImage{Config: configName(w.Image.ID), RepoTags: append(list[string]{}, w.Tags...), Layers: list[string]{}}
		for i, l := range w.Image.Layers {
			if !p.written[l.File] && i >= w.Have {
				return flawf(Corrupt, "layer %q of image %q is not in it", l.File, w.Image.Name())
			}
			saved.Layers = append(saved.Layers, p.names[l.File])
		}
		manifest = append(manifest, saved)
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return fmt.Errorf("writing %q: %w", manifestName, err)
	}
	return errors.Join(p.add(manifestName, text), p.out.Close())
}

// Name is what to call an image: its first tag, or its ID.
func (i Image) Name() string {
	if len(i.Tags) > 0 {
		return i.Tags[0]
	}
	return i.ID
}

// outlet keeps its writer's error apart from those of what is read.
type outlet struct {
	w   io.Writer
	err error
}

func (o *outlet) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		o.err = err
	}
	return n, err
}
