package imports

import (
	"errors"
	"slices"
	"strings"
)

// maxDepth is how deep indexes nest: the layout's own, an image's, and room for one of one.
const maxDepth = 4

// fromIndex reads an OCI layout's index.json.
func (c *contents) fromIndex(machine Platform) ([]*found, error) {
	index, err := c.document(indexName)
	if err != nil {
		return nil, err
	}
	if index.doc.Manifests == nil {
		return nil, flawf(NotImage, "%q lists no manifests", indexName)
	}
	groups, err := c.group(index.doc.Manifests)
	if err != nil {
		return nil, err
	}
	var all []*found
	for _, g := range groups {
		image, err := choose(g.variants, machine)
		if err != nil {
			return nil, err
		}
		image.Digest = g.digest
		i := slices.IndexFunc(all, func(have *found) bool { return have.ID == image.ID && have.Digest == image.Digest })
		if i < 0 {
			all = append(all, image)
			i = len(all) - 1
		}
		all[i].tag(g.tags)
	}
	if len(all) == 0 && len(index.doc.Manifests) > 0 {
		return nil, flawf(NotImage, "what it holds are artifacts, not images")
	}
	return all, nil
}

// group is what belongs to one image: an index, a manifest, or manifests under the same name for different platforms.
type group struct {
	tags     []string
	digest   string
	variants []variant
}

// has tells whether a platform of some variants is the group's already.
func (g *group) has(variants []variant) bool {
	return slices.ContainsFunc(variants, func(v variant) bool {
		return slices.ContainsFunc(g.variants, func(own variant) bool { return own.own() == v.own() })
	})
}

func (c *contents) group(descriptors []descriptor) ([]*group, error) {
	var groups []*group
	for _, d := range descriptors {
		if d.isAttestation() {
			continue
		}
		variants, err := c.expand(d, 1)
		if err != nil {
			return nil, err
		}
		if len(variants) == 0 {
			continue // an artifact
		}
		tags := d.tags()
		i := slices.IndexFunc(groups, func(g *group) bool { return slices.Equal(g.tags, tags) && !g.has(variants) })
		if i < 0 {
			groups = append(groups, &group{tags: tags, digest: d.Digest, variants: variants})
			continue
		}
		// Each has an ID of its own under the containerd image store, so none is the whole image's.
		groups[i].variants, groups[i].digest = append(groups[i].variants, variants...), ""
	}
	return groups, nil
}

// tags are the image's names by the annotations. Without a repository a name is but a tag: tools write "latest" there.
// Source: containerd, images/archive/reference.go.
func (d descriptor) tags() []string {
	name := d.Annotations.ImageName
	if name == "" && strings.ContainsAny(d.Annotations.RefName, "/:@") {
		name = d.Annotations.RefName
	}
	if tag, ok := familiar(name); ok {
		return []string{tag}
	}
	return nil
}

// expand finds what a descriptor stands for: nothing if that is no image.
func (c *contents) expand(d descriptor, depth int) ([]variant, error) {
	f, err := c.blob(d)
	if err != nil {
		return nil, err
	}
	switch {
	case f.doc.Manifests != nil && depth > maxDepth:
		return nil, flawf(Corrupt, "indexes nest deeper than %d", maxDepth)
	case f.doc.Manifests != nil:
		return c.expandIndex(d.Digest, f.doc.Manifests, depth)
	case f.doc.Config == nil || !describesImage(f.doc.Config.MediaType):
		return nil, nil
	}
	v := variant{digests: []string{d.Digest}}
	if v.config, err = c.blob(descriptor{Digest: f.doc.Config.Digest, Size: f.doc.Config.Size}); err != nil {
		return nil, err
	}
	if p := d.Platform; p != nil {
		v.platform = Platform{p.OS, p.Arch, p.Variant}
	}
	for _, l := range f.doc.Layers {
		name, err := blobName(l.Digest)
		if err != nil {
			return nil, err
		}
		v.layers = append(v.layers, layer{name: name, digest: l.Digest, size: l.Size, elsewhere: len(l.URLs) > 0})
	}
	return []variant{v}, nil
}

// isAttestation marks what BuildKit says of an image beside it.
func (d descriptor) isAttestation() bool {
	return d.Annotations.Kind != "" || d.Platform != nil && d.Platform.OS == "unknown"
}

// describesImage tells an image's configuration from an artifact's.
func describesImage(mediaType string) bool {
	return mediaType == "" || mediaType == "application/vnd.oci.image.config.v1+json" ||
		mediaType == "application/vnd.docker.container.image.v1+json"
}

// expandIndex leaves out the platforms that are not in the archive: tools write the whole index, whatever was asked for.
func (c *contents) expandIndex(digest string, descriptors []descriptor, depth int) ([]variant, error) {
	var variants []variant
	var missing *absent
	for _, d := range descriptors {
		if d.isAttestation() {
			continue
		}
		more, err := c.expand(d, depth+1)
		if errors.As(err, &missing) && c.ended {
			continue
		}
		if err != nil {
			return nil, err
		}
		for i := range more {
			more[i].digests = append(more[i].digests, digest)
		}
		variants = append(variants, more...)
	}
	if len(variants) == 0 && missing != nil {
		return nil, missing
	}
	return variants, nil
}
