package imports

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// The names of what an archive begins to be understood with.
const (
	manifestName = "manifest.json"
	indexName    = "index.json"
	layoutName   = "oci-layout"
)

// found is an image with what is needed to check it.
type found struct {
	Image
	layers []layer
	// ids are the configurations' digests on all platforms.
	ids []string
}

// layer is a file that holds a layer.
type layer struct {
	name string
	// digest and size are what a manifest says; empty where it does not.
	digest string
	size   int64
	// elsewhere allows it to be missing: it may not be distributed, only downloaded.
	elsewhere bool
}

// variant is an image on one platform.
type variant struct {
	platform Platform
	config   *file
	layers   []layer
	// digests are those of its manifest and of the indexes that lead to it.
	digests []string
}

// resolve makes images out of the documents that are there. An *absent error says which further one is needed.
func (c *contents) resolve(machine Platform) (Format, []*found, error) {
	manifest, index := c.lookup(manifestName), c.lookup(indexName)
	if manifest == nil && index == nil {
		return "", nil, &absent{either(c.likely(), manifestName)}
	}
	var all []*found
	var err error
	if index != nil {
		if all, err = c.fromIndex(machine); err != nil {
			return "", nil, err
		}
	}
	if manifest == nil {
		if c.lookup(layoutName) == nil && !c.ended {
			return "", nil, &absent{layoutName}
		}
		return OCIArchive, all, nil
	}
	all, err = c.fromManifest(machine, all)
	return DockerArchive, all, err
}

// likely is the document that an archive without any should have had, by its other files.
func (c *contents) likely() string {
	if c.dirs["blobs"] {
		return indexName
	}
	return ""
}

// fromManifest reads a docker-archive's manifest.json, and adds to what an index named already.
func (c *contents) fromManifest(machine Platform, all []*found) ([]*found, error) {
	f, err := c.document(manifestName)
	if err != nil {
		return nil, err
	}
	if f.doc.saved == nil && f.doc.Layers != nil {
		return nil, flawf(NotImage, "it holds an image as skopeo's dir: has it: `skopeo copy dir:DIRECTORY docker-archive:TARBALL:NAME` makes a tarball of that")
	}
	if f.doc.saved == nil {
		return nil, flawf(NotImage, "%q is not a list of images", manifestName)
	}
	for _, saved := range f.doc.saved {
		if strings.HasPrefix(clean(saved.Config), "blobs/") && c.lookup(indexName) == nil && !c.ended {
			return nil, &absent{indexName} // it comes later, and knows more
		}
		config, err := c.document(saved.Config)
		if err != nil {
			return nil, err
		}
		if name := clean(saved.Config); config.digest != digestInName(name, config.digest) {
			return nil, flawf(Corrupt, "%q does not have the digest that it is named by", name)
		}
		v := variant{config: config}
		for _, name := range saved.Layers {
			v.layers = append(v.layers, layer{name: clean(name)})
		}
		tags, err := savedTags(saved.RepoTags)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(have *found) bool { return slices.Contains(have.ids, config.digest) })
		if i < 0 {
			image, err := choose([]variant{v}, machine)
			if err != nil {
				return nil, err
			}
			all = append(all, image)
			i = len(all) - 1
		}
		all[i].tag(tags)
	}
	return all, nil
}

// digestInName is the digest that a configuration's or a layer's name tells, or otherwise.
func digestInName(name, otherwise string) string {
	base, _, _ := strings.Cut(name[strings.LastIndex(name, "/")+1:], ".")
	if digest := "sha256:" + strings.TrimPrefix(base, "sha256:"); isDigest(digest) {
		return digest
	}
	return otherwise
}

func savedTags(names []string) ([]string, error) {
	var tags []string
	for _, name := range names {
		tag, ok := familiar(name)
		if !ok {
			return nil, flawf(Corrupt, "%.300q is no tag", name)
		}
		tags = append(tags, tag)
	}
	return tags, nil
}

// familiar is a reference as the Engine shows it.
func familiar(name string) (string, bool) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", false
	}
	if tag := DigestTag(name); tag != "" {
		return tag, true
	}
	return reference.FamiliarString(reference.TagNameOnly(named)), true
}

func (f *found) tag(tags []string) {
	for _, tag := range tags {
		if !slices.Contains(f.Tags, tag) {
			f.Tags = append(f.Tags, tag)
		}
	}
}

// choose makes an image of the variant that suits the machine best. Of equals the first counts.
func choose(variants []variant, machine Platform) (*found, error) {
	best, bestFit := variants[0], -1
	f := &found{}
	for _, v := range variants {
		p := v.own()
		if fit := p.fit(machine); fit >= 0 && (bestFit < 0 || fit < bestFit) {
			best, bestFit = v, fit
		}
		if !slices.Contains(f.Platforms, p) {
			f.Platforms = append(f.Platforms, p)
		}
		f.ids = append(f.ids, v.config.digest)
	}
	doc := best.config.doc
	if doc.RootFS == nil {
		return nil, flawf(NotImage, "%q describes no image", best.config.digest)
	}
	if len(doc.RootFS.DiffIDs) != len(best.layers) {
		return nil, flawf(Corrupt, "an image of %d layers is said to have %d", len(best.layers), len(doc.RootFS.DiffIDs))
	}
	for _, id := range doc.RootFS.DiffIDs {
		if _, err := blobName(id); err != nil {
			return nil, err
		}
	}
	f.layers = best.layers
	f.Image = Image{
		ID: best.config.digest, Fingerprint: doc.fingerprint, Platform: best.own(), Platforms: f.Platforms, Runs: bestFit >= 0,
		Digests: best.digests,
		Tags:    []string{}, DiffIDs: append([]string{}, doc.RootFS.DiffIDs...), Layers: []Layer{},
	}
	if s := doc.Config; s != nil {
		f.Entrypoint, f.Cmd, f.Healthcheck = s.Entrypoint, s.Cmd, s.Healthcheck.export()
	}
	return f, nil
}

// own is the platform that a configuration tells, completed with what the index says of it.
func (v variant) own() Platform {
	d := v.config.doc
	p := Platform{either(d.OS, v.platform.OS), either(d.Arch, v.platform.Architecture), either(d.Variant, v.platform.Variant)}
	return p.normal()
}

func (s *healthSection) export() *Healthcheck {
	if s == nil || len(s.Test) == 0 {
		return nil
	}
	return &Healthcheck{
		Test: s.Test, Interval: s.Interval, Timeout: s.Timeout, StartPeriod: s.StartPeriod, StartInterval: s.StartInterval,
		Retries: s.Retries,
	}
}

// finish turns what an archive that was read to its end, or as far as needed, holds into images.
func (c *contents) finish(machine Platform) (Format, []Image, error) {
	format, all, err := c.resolve(machine)
	var missing *absent
	if errors.As(err, &missing) {
		return "", nil, c.explain(missing)
	}
	if err != nil {
		return "", nil, err
	}
	if len(all) == 0 {
		return "", nil, flawf(Empty, "it holds no image")
	}
	images := make([]Image, 0, len(all))
	for _, f := range all {
		if err := c.weighLayers(f); err != nil {
			return "", nil, err
		}
		images = append(images, f.Image)
	}
	return format, images, nil
}

// explain says what an archive is that lacks a document.
func (c *contents) explain(missing *absent) error {
	switch {
	case c.lookup(manifestName) != nil || c.lookup(indexName) != nil:
		return flawf(Corrupt, "%w", missing)
	case c.entries == 0:
		return flawf(Empty, "an archive without entries")
	case c.dirs["repositories"]:
		return flawf(NotImage, "it was saved by Docker before 1.10, and no Engine loads that")
	case c.dirs["etc"] && (c.dirs["bin"] || c.dirs["usr"]):
		return flawf(NotImage, "it holds a file system, as `docker export` writes them, and no image; `docker save` writes images")
	case c.wrapped() != "":
		return flawf(NotImage, "what belongs at its top lies in its folder %q: `tar -C %[1]s` packs it", c.wrapped())
	case c.dirs["blobs"] || c.hasLayers():
		return flawf(Truncated, "it ends before its %s", missing.name)
	}
	return flawf(NotImage, "neither %s nor %s is in it", manifestName, indexName)
}

// hasLayers tells whether there are files that only images have: configurations, and layers as tools name them.
func (c *contents) hasLayers() bool {
	for name, f := range c.files {
		if f.doc != nil && f.doc.RootFS != nil || strings.HasSuffix(name, "/layer.tar") || digestInName(name, "") != "" {
			return true
		}
	}
	return false
}

// weighLayers adds up the layers' sizes, and checks what of them was read.
func (c *contents) weighLayers(f *found) error {
	known := true
	for i, l := range f.layers {
		file := c.locate(l.name)
		have := c.files[file]
		if have == nil {
			if c.ended && !l.elsewhere {
				return flawf(Corrupt, "%w", &absent{l.name})
			}
			size := l.size
			if size < 0 || size > maxFile {
				size = 0
			}
			known = known && size > 0
			f.Layers = append(f.Layers, Layer{File: file, Size: size})
			f.Size += size
			continue
		}
		if err := have.is(l.name, l.digest, l.size); err != nil {
			return err
		}
		f.Layers = append(f.Layers, Layer{File: file, Size: have.size, Compression: have.how})
		f.Size += have.size
		if !c.verify {
			continue
		}
		if have.err != nil {
			return fmt.Errorf("in %q: %w", l.name, have.err)
		}
		if have.diffID != "" && isDigest(f.DiffIDs[i]) && have.diffID != f.DiffIDs[i] {
			return flawf(Corrupt, "layer %q does not have the content that the configuration names", l.name)
		}
	}
	if !known {
		f.Size = 0
	}
	return nil
}
