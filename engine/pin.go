package engine

import (
	"errors"
	"slices"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"

	"galley/compose"
	"galley/imports"
)

// Pin is the image that a reference stood for at some time.
type Pin struct {
	// ID is the image's ID on the Engine, Digest name@digest in the registry that it came from, "" if it came from none.
	ID, Digest string
}

// Pins are the images that the project's containers run from, by reference.
func (s *State) Pins(p *compose.Project) map[string]Pin {
	pins := map[string]Pin{}
	pin := func(ref, id string) {
		if img := s.image(ref); id == "" && img != nil {
			id = img.ID
		}
		if id != "" {
			pins[ref] = Pin{ID: id, Digest: s.digestOf(ref, id)}
		}
	}
	for _, service := range p.Services {
		for _, ref := range service.Images() {
			pin(ref, "")
		}
	}
	for _, c := range s.Containers {
		if service := p.Service(c.Service); service != nil && !c.OneOff {
			pin(service.Config.Image, c.ImageID)
		}
	}
	return pins
}

// digestOf is the digest under which an image can be pulled again by the name that a reference gives it. Where it came with a
// tarball, a tag of its own tells: see [imports.DigestTag].
func (s *State) digestOf(ref, id string) string {
	name := repository(ref)
	for _, img := range s.Images {
		if img.ID != id {
			continue
		}
		digests := slices.Clone(img.RepoDigests)
		for _, tag := range img.RepoTags {
			digests = append(digests, imports.TaggedDigest(tag))
		}
		for _, digest := range digests {
			if name != "" && repository(digest) == name {
				return digest
			}
		}
	}
	return ""
}

// pinned is a project whose references stand for the images that they once stood for: by the reference itself, where it
// still does, by ID, or by the digest to pull. It adds an *ImageError for each image that is gone for good.
func (d *differ) pinned(p *compose.Project) *compose.Project {
	other := *p
	other.Services = slices.Clone(p.Services)
	for i, s := range other.Services {
		service := *s
		service.Config.Image = d.pin(s.Config.Image)
		service.Host.Mounts = d.pinMounts(s.Host.Mounts)
		service.PreStart = slices.Clone(s.PreStart)
		for at := range service.PreStart {
			service.PreStart[at].Config.Image = d.pin(s.PreStart[at].Config.Image)
			service.PreStart[at].Host.Mounts = d.pinMounts(s.PreStart[at].Host.Mounts)
		}
		other.Services[i] = &service
	}
	return &other
}

// pinMounts pins the images among mounts.
func (d *differ) pinMounts(mounts []mount.Mount) []mount.Mount {
	pinned := slices.Clone(mounts)
	for i := range pinned {
		if m := &pinned[i]; m.Type == mount.TypeImage {
			m.Source = d.pin(m.Source)
		}
	}
	return pinned
}

func (d *differ) pin(ref string) string {
	pin, ok := d.opts.Pins[ref]
	if !ok {
		return ref
	}
	there := func(img image.Summary) bool { return img.ID == pin.ID }
	switch img := d.have.image(ref); {
	case img != nil && img.ID == pin.ID:
		return ref
	case slices.ContainsFunc(d.have.Images, there):
		return pin.ID
	case pin.Digest != "":
		if d.have.image(pin.Digest) == nil {
			d.absent[pin.Digest] = true
		}
		return pin.Digest
	}
	d.errs = append(d.errs, &ImageError{
		Ref:  ref,
		Err:  errors.New("what it stood for then, " + pin.ID + ", is no longer on this machine, and came from no registry"),
		Hint: "import that image again",
	})
	return ref
}
