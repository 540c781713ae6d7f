package engine

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"golang.org/x/sync/errgroup"

	"galley/imports"
)

// SaveOptions say where images are saved to.
type SaveOptions struct {
	// Dir is an empty directory. What is there after a failure is worth nothing.
	Dir string
	// Compression is that of the tarballs: none, gzip or zstd.
	Compression imports.Compression
}

// Saved is a tarball that was written.
type Saved struct {
	// File is its name in the directory, Digest its checksum, "sha256:…", Size its size in bytes.
	File, Digest string
	Size         int64
	// Tags are those that its images have in it.
	Tags []string
}

// PlanSave returns the plan that saves images as tarballs, which together hold each layer once: images that share layers
// are in one. Every tarball can be loaded by itself, and is the same bytes whenever its images are the same. Plan.Saved
// tells what was written. What a reference names by digest is saved under its [imports.DigestTag]. An image that is not
// there is an *ImageError, and so is an ID: it would be lost.
func (e *Engine) PlanSave(ctx context.Context, refs []string, opts SaveOptions) (*Plan, error) {
	found := make([]saving, len(refs))
	calls, asking := errgroup.WithContext(ctx)
	calls.SetLimit(e.opts.Parallel)
	errs := make([]error, len(refs))
	for i, ref := range refs {
		calls.Go(func() error {
			found[i], errs[i] = e.look(asking, ref)
			return nil
		})
	}
	if err := errors.Join(append(errs, calls.Wait())...); err != nil {
		return nil, err
	}
	var g graph
	taken := map[string]bool{}
	scanner := imports.Scanner{Memory: imports.NewMemory()}
	for _, images := range together(found) {
		file := fileName(images, taken)
		g.add(saveArchive{file: file + opts.Compression.Ext(), images: images, opts: opts, scanner: scanner, saved: &Saved{}}, "wanted")
	}
	return &Plan{Steps: g.steps(), parallel: newLoads(&Store{}, LoadOptions{}).parallel}, nil
}

// saving is an image to be saved, under a tag. byDigest says that the Engine here may not know it by that.
type saving struct {
	tag      string
	byDigest bool
	have     image.InspectResponse
}

// is tells whether an image of the Engine's archive is this one. The containerd image store tells no configuration's digest.
func (s saving) is(img imports.Image) bool {
	if !s.byDigest {
		return slices.Contains(img.Tags, s.tag)
	}
	return slices.Equal(img.DiffIDs, s.have.RootFS.Layers) &&
		(img.ID == s.have.ID || img.Digest == s.have.ID || img.Fingerprint != "" && img.Fingerprint == fingerprint(s.have))
}

// look finds an image to be saved, and the tag that it has in the tarball.
func (e *Engine) look(ctx context.Context, ref string) (saving, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	tag, digest := canonical(ref)
	have, err := e.api.ImageInspect(ctx, ref)
	if digest != "" {
		tag = imports.DigestTag(ref)
		if errdefs.IsNotFound(err) { // it came with a tarball itself
			have, err = e.api.ImageInspect(ctx, tag)
		}
	}
	switch {
	case errdefs.IsNotFound(err):
		return saving{}, &ImageError{Ref: ref, Err: errors.New("it is not on this machine"), Hint: "`galley pull` gets it"}
	case err != nil:
		return saving{}, e.reading(ctx, "image", err)
	case digest != "":
		return saving{tag, true, have}, nil
	case !slices.Contains(have.RepoTags, tag):
		return saving{}, &ImageError{Ref: ref, Err: errors.New("tarballs bring tags, and this is an ID"), Hint: "name the image by its tag"}
	}
	return saving{tag, false, have}, nil
}

// emptyLayer is what tools without a word for it write for a step that changes no file: sharing it is no reason to keep
// images together. Source: moby, layer/empty.go.
const emptyLayer = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

// together groups images that share layers, each once, by the order of their tags.
func together(all []saving) [][]saving {
	slices.SortFunc(all, func(a, b saving) int { return strings.Compare(a.tag, b.tag) })
	all = slices.CompactFunc(all, func(a, b saving) bool { return a.tag == b.tag })
	var groups [][]saving
	for _, one := range all {
		mine := []saving{one}
		groups = slices.DeleteFunc(groups, func(group []saving) bool {
			if !slices.ContainsFunc(group, func(other saving) bool { return shares(one, other) }) {
				return false
			}
			mine = append(group, mine...)
			return true
		})
		groups = append(groups, mine)
	}
	for _, group := range groups {
		slices.SortFunc(group, func(a, b saving) int { return strings.Compare(a.tag, b.tag) })
	}
	slices.SortFunc(groups, func(a, b []saving) int { return strings.Compare(a[0].tag, b[0].tag) })
	return groups
}

func shares(a, b saving) bool {
	return a.have.ID == b.have.ID || slices.ContainsFunc(a.have.RootFS.Layers, func(layer string) bool {
		return layer != emptyLayer && slices.Contains(b.have.RootFS.Layers, layer)
	})
}

// fileName names a tarball after its first image, without its extension: "nginx_1.25".
func fileName(images []saving, taken map[string]bool) string {
	tag := images[0].tag
	if named, err := reference.ParseNormalizedNamed(tag); err == nil {
		if tagged, ok := named.(reference.Tagged); ok {
			path := reference.Path(named)
			short := tagged.Tag()
			if images[0].byDigest {
				short = short[:len("sha256-")+12]
			}
			tag = path[strings.LastIndex(path, "/")+1:] + "_" + short
		}
	}
	name := tag
	for n := 2; taken[name]; n++ {
		name = fmt.Sprintf("%s_%d", tag, n)
	}
	taken[name] = true
	return name
}

// Saved are the tarballs that the plan writes; digests and sizes are there once it was carried out.
func (p *Plan) Saved() []Saved {
	var all []Saved
	for _, s := range p.Steps {
		if a, ok := s.Action.(saveArchive); ok {
			all = append(all, *a.saved)
		}
	}
	return all
}

// saveArchive saves images as a tarball.
type saveArchive struct {
	file   string
	images []saving
	opts   SaveOptions
	// scanner reads what the Engine saves.
	scanner imports.Scanner
	saved   *Saved
}

func (a saveArchive) Target() Target { return Target{Kind: KindTarball, Name: a.file} }
func (saveArchive) Verb() Verb       { return VerbSave }

// do takes the Engine's own archive first, since nothing tells its order, and packs it anew in one that is always the same.
func (a saveArchive) do(ctx context.Context, r *run) error {
	err := a.save(ctx, r)
	if ctx.Err() != nil {
		return errLeft
	}
	return err
}

func (a saveArchive) save(ctx context.Context, r *run) error {
	var tags, names []string
	var size int64
	for _, image := range a.images {
		tags = append(tags, image.tag)
		size += image.have.Size
		name := image.tag
		if image.byDigest {
			name = image.have.ID
		}
		names = append(names, name)
	}
	draft := filepath.Join(a.opts.Dir, "."+a.file+".draft")
	defer os.Remove(draft)
	m := &meter{total: size, tell: r.amount}
	if err := a.fetch(ctx, r, draft, names, m); err != nil {
		return err
	}
	archives, err := a.scanner.Scan(ctx, draft)
	if err != nil {
		return incomplete(tags, err)
	}
	wanted, err := a.find(archives[0].Images)
	if err != nil {
		return err
	}
	*a.saved = Saved{File: a.file, Tags: tags}
	return a.pack(ctx, archives[0], wanted, m)
}

// incomplete explains why the Engine's archive of some images is not whole. The containerd image store fetches no layer that
// it has unpacked already, for an image that came otherwise, and then saves neither that layer nor what belongs to it.
// Source: containerd, core/unpack/unpacker.go; moby, daemon/containerd/image_exporter.go.
func incomplete(tags []string, err error) error {
	var broken *imports.Error
	if !errors.As(err, &broken) || broken.Fault != imports.Corrupt {
		return fmt.Errorf("reading what the engine saved: %w", err)
	}
	return &ImageError{
		Ref:  strings.Join(tags, ", "),
		Err:  fmt.Errorf("the engine does not have all of it: %w", broken.Err),
		Hint: "remove it, and the images that share layers with it, and pull them again",
	}
}

// find gives the images of the Engine's archive the tags that they are saved under, each image once.
func (a saveArchive) find(images []imports.Image) ([]imports.Wanted, error) {
	var wanted []imports.Wanted
	at := map[string]int{} // in wanted, by the image's ID
	for _, one := range a.images {
		found := slices.IndexFunc(images, one.is)
		if found < 0 {
			return nil, fmt.Errorf("the engine did not save %q", one.tag)
		}
		img := images[found]
		i, known := at[img.ID]
		if !known {
			i = len(wanted)
			at[img.ID] = i
			img.Tags = nil
			wanted = append(wanted, imports.Wanted{Image: img})
		}
		wanted[i].Tags = append(wanted[i].Tags, one.tag)
		wanted[i].Image.Tags = wanted[i].Tags
	}
	return wanted, nil
}

// fetch writes the Engine's own archive of images to a file. An Engine that says nothing for too long is given up.
func (a saveArchive) fetch(ctx context.Context, r *run, path string, names []string, m *meter) error {
	ctx, patience := newPatience(ctx, r.opts.FinishWithin+time.Duration(m.total/(4<<20))*time.Second)
	patience.begin()
	defer patience.end()
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("saving images: %w", err)
	}
	defer file.Close()
	stream, err := r.api.ImageSave(ctx, names)
	if err != nil {
		return r.explain(ctx, err)
	}
	defer stream.Close()
	passed := int64(0)
	_, err = io.Copy(file, readerFunc(func(p []byte) (int, error) {
		n, err := stream.Read(p)
		passed += int64(n)
		patience.renew()
		m.passed(passed)
		return n, err
	}))
	if err != nil {
		return fmt.Errorf("saving images: %w", err)
	}
	return nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// pack writes the tarball and takes its digest.
func (a saveArchive) pack(ctx context.Context, archive imports.Archive, wanted []imports.Wanted, m *meter) error {
	file, err := os.Create(filepath.Join(a.opts.Dir, a.file))
	if err != nil {
		return fmt.Errorf("writing a tarball: %w", err)
	}
	defer file.Close()
	sum := sha256.New()
	buffer := bufio.NewWriterSize(io.MultiWriter(file, sum), 128<<10)
	compressed, err := imports.Compress(buffer, a.opts.Compression)
	if err == nil {
		err = a.scanner.Repack(ctx, compressed, archive, wanted, func(written int64) { m.packed(written, archive.Size) })
	}
	if err == nil {
		err = errors.Join(compressed.Close(), buffer.Flush(), file.Sync())
	}
	if err != nil {
		return fmt.Errorf("writing tarball %q: %w", a.file, err)
	}
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("writing tarball %q: %w", a.file, err)
	}
	a.saved.Digest, a.saved.Size = "sha256:"+hex.EncodeToString(sum.Sum(nil)), info.Size()
	return nil
}
