package engine

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/mount"

	"galley/compose"
)

// anonymous matches the names that the Engine makes up for volumes without one.
var anonymous = regexp.MustCompile(`^[0-9a-f]{64}$`)

// inherited are the anonymous volumes of the container that is replaced, by destination: the new one goes on with those
// that it has a declaration for, in its recipe or its image.
func (d *differ) inherited(s *compose.Service, r *replica) map[string]string {
	inherit := map[string]string{}
	before := r.before()
	if len(before) == 0 || d.opts.RenewAnonymous {
		return inherit
	}
	for _, m := range anonymousMounts(ranBefore(before)) {
		if !mountsAt(s, m.Destination) && d.mayDeclare(s, m.Destination) {
			inherit[m.Destination] = m.Name
		}
	}
	return inherit
}

// mayDeclare tells whether a service has an anonymous volume at a path, by its recipe or its image. What an image that is
// still to be pulled declares is not known: data is rather kept than lost, then.
func (d *differ) mayDeclare(s *compose.Service, destination string) bool {
	if declares(s, destination) {
		return true
	}
	img := d.have.image(s.Config.Image)
	if img == nil {
		return true
	}
	declared, known := d.have.Declared[img.ID]
	return !known || slices.Contains(declared, path.Clean(destination))
}

// declares tells whether a service's recipe has an anonymous volume at a path.
func declares(s *compose.Service, destination string) bool {
	for declared := range s.Config.Volumes {
		if path.Clean(declared) == path.Clean(destination) {
			return true
		}
	}
	return slices.ContainsFunc(s.Host.Mounts, func(m mount.Mount) bool {
		return m.Type == mount.TypeVolume && m.Source == "" && path.Clean(m.Target) == path.Clean(destination)
	})
}

// kept says, behind a creation's reason, what the new container goes on with.
func kept(inherit map[string]string) string {
	if len(inherit) == 0 {
		return ""
	}
	return "; keeps the anonymous volume at " + strings.Join(slices.Sorted(maps.Keys(inherit)), ", ")
}

// findDeclared fills in [State.Declared], of the images that replace a container with an anonymous volume at a path of which
// the recipe says nothing.
func (e *Engine) findDeclared(ctx context.Context, want *compose.Project, have *State, opts DiffOptions) error {
	if opts.Down != nil || opts.OneOff != nil || opts.RenewAnonymous {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	// Another reader may have the map; what an ID's image declares never changes.
	if have.Declared = maps.Clone(have.Declared); have.Declared == nil {
		have.Declared = map[string][]string{}
	}
	d := newDiffer(want, have, opts)
	for _, s := range d.want.Services {
		img := have.image(s.Config.Image)
		if img == nil || have.Declared[img.ID] != nil || !slices.ContainsFunc(have.Containers, func(c *Container) bool { return d.dependsOnImage(s, c) }) {
			continue
		}
		inspected, err := e.api.ImageInspect(ctx, img.ID)
		if errdefs.IsNotFound(err) {
			continue // it went between the list and this
		}
		if err != nil {
			return e.reading(ctx, "image "+s.Config.Image, err)
		}
		declared := []string{}
		if inspected.Config != nil {
			for destination := range inspected.Config.Volumes {
				declared = append(declared, path.Clean(destination))
			}
		}
		have.Declared[img.ID] = declared
	}
	return nil
}

// dependsOnImage tells whether it is the image's to say if a volume of a container that is replaced is carried over.
func (d *differ) dependsOnImage(s *compose.Service, c *Container) bool {
	return c.Service == s.Name && slices.ContainsFunc(anonymousMounts(c), func(m mountPoint) bool {
		return !declares(s, m.Destination) && !mountsAt(s, m.Destination)
	}) && d.outdated(s, c) != ""
}

// labelForsaken names, on the container that takes a place, the anonymous volumes that those before it leave behind:
// after a crash between the removal of a container and that of its volumes, nothing else tells whose they were.
const labelForsaken = "io.galley.forsaken-volumes"

// forsaken are the anonymous volumes of those that stand in a replica's place, or stood there before, that are not carried
// over.
func forsaken(r *replica, inherit map[string]string) []string {
	var names []string
	carried := slices.Collect(maps.Values(inherit))
	for _, c := range r.before() {
		for _, m := range anonymousMounts(c) {
			names = append(names, m.Name)
		}
		names = append(names, parseForsaken(c)...)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(carried, name) })
	slices.Sort(names)
	return slices.Compact(names)
}

func parseForsaken(c *Container) []string {
	return slices.DeleteFunc(strings.Split(c.Summary.Labels[labelForsaken], ","), func(name string) bool {
		return !anonymous.MatchString(name)
	})
}

// dropVolumes removes the anonymous volumes of those that go, and what is left of those that went before, but for what
// somebody still mounts.
func (d *differ) dropVolumes(p *servicePlan) {
	names := map[string]string{} // with the reason
	for _, r := range p.replicas {
		left := forsaken(r, nil)
		if r.created != nil {
			left = r.created.action.(createContainer).forsaken
		} else {
			left = append(left, parseForsaken(r.keep)...)
		}
		for _, name := range left {
			names[name] = d.whyDropped(p.spec, r, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		gone, unused := d.unmounted(name)
		if there := len(gone) > 0 || d.have.volume(name) != nil; unused && there {
			d.add(removeVolume{name}, names[name], gone...)
		}
	}
}

// whyDropped tells why an anonymous volume of those that stood in a replica's place goes.
func (d *differ) whyDropped(s *compose.Service, r *replica, name string) string {
	for _, c := range r.before() {
		for _, m := range anonymousMounts(c) {
			switch {
			case m.Name != name:
			case mountsAt(s, m.Destination):
				return fmt.Sprintf("anonymous, the recipe has something else at %s now", m.Destination)
			case d.opts.RenewAnonymous:
				return fmt.Sprintf("anonymous, made anew at %s: ITS DATA IS LOST", m.Destination)
			case !d.mayDeclare(s, m.Destination):
				return fmt.Sprintf("anonymous, neither recipe nor image declares a volume at %s any more: ITS DATA IS LOST", m.Destination)
			}
		}
	}
	return "anonymous, used by nobody any more"
}

// unmounted tells whether every container that mounts an anonymous volume is removed, and by which steps.
func (d *differ) unmounted(volume string) (removals []*node, unused bool) {
	for _, c := range d.have.Containers {
		if !slices.ContainsFunc(anonymousMounts(c), func(m mountPoint) bool { return m.Name == volume }) {
			continue
		}
		if d.removals[c.ID] == nil {
			return nil, false
		}
		removals = append(removals, d.removals[c.ID])
	}
	return removals, true
}

// mountPoint is a volume at its place in a container.
type mountPoint struct {
	Name, Destination string
}

func anonymousMounts(c *Container) []mountPoint {
	var mounts []mountPoint
	for _, m := range c.Summary.Mounts {
		if m.Type == mount.TypeVolume && anonymous.MatchString(m.Name) {
			mounts = append(mounts, mountPoint{m.Name, m.Destination})
		}
	}
	return mounts
}

// mountsAt tells whether a service puts something of its own at a path.
func mountsAt(s *compose.Service, destination string) bool {
	_, tmpfs := s.Host.Tmpfs[destination]
	return tmpfs || slices.ContainsFunc(s.Host.Mounts, func(m mount.Mount) bool {
		return m.Target == destination && !(m.Type == mount.TypeVolume && m.Source == "")
	}) || slices.ContainsFunc(s.Host.Binds, func(bind string) bool {
		return bindTarget(bind) == destination
	})
}
