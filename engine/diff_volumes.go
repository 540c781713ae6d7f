package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"

	"galley/compose"
)

// planVolumes creates the volumes that are missing. A volume is never removed or made anew, since data would be lost,
// unless that was asked for by its name. What the recipe defines under several keys alike is one.
func (d *differ) planVolumes(services []*compose.Service) {
	seen := map[string]bool{}
	for _, v := range d.want.Volumes {
		if seen[v.Name] {
			continue
		}
		seen[v.Name] = true
		if !slices.ContainsFunc(services, func(s *compose.Service) bool { return usesVolume(s, v.Name) }) {
			continue
		}
		found := d.have.volume(v.Name)
		switch {
		case v.External && found == nil:
			d.fail("volume %q is external and does not exist: create it with `docker volume create %s`", v.Name, v.Name)
		case v.External:
		case found == nil:
			d.volumes[v.Name] = d.add(createVolume{v}, "missing")
		case found.Labels[compose.LabelProject] != d.want.Name:
			d.warn("volume %s was not made for project %s and is used as it is; `external: true` says so", v.Name, d.want.Name)
		case d.remakes(v.Name):
			d.remakeVolume(v)
		case d.volumeChanged(v) && d.opts.Pins != nil:
			d.warn("the definition of volume %s changed since, and it stays as it is now", v.Name)
		case d.volumeChanged(v):
			d.errs = append(d.errs, &VolumeChangedError{Key: v.Key, Volume: v.Name})
		}
	}
}

// VolumeChangedError says that a volume would have to be made anew to be as wanted.
type VolumeChangedError struct {
	// Key is the volume's key in the recipe, Volume its name on the Engine.
	Key, Volume string
}

func (e *VolumeChangedError) Error() string {
	return fmt.Sprintf("the definition of volume %q changed, and a volume with data in it is not made anew: put the definition back, "+
		"give the volume another name, or save its data and let it go with --recreate-volumes %s", e.Volume, e.Key)
}

// volumeChanged compares by hash. What docker compose made has none.
func (d *differ) volumeChanged(v *compose.Volume) bool {
	found := d.have.volume(v.Name)
	return found != nil && found.Labels[compose.LabelProject] == d.want.Name &&
		found.Labels[compose.LabelHash] != "" && found.Labels[compose.LabelHash] != v.Hash
}

// checkRecreated refuses volumes that the recipe doesn't have, or has from elsewhere.
func (d *differ) checkRecreated() {
	for _, name := range d.opts.RecreateVolumes {
		i := slices.IndexFunc(d.want.Volumes, func(v *compose.Volume) bool { return v.Key == name || v.Name == name })
		switch {
		case i < 0:
			d.fail("--recreate-volumes: no such volume: %q", name)
		case d.want.Volumes[i].External:
			d.fail("--recreate-volumes: volume %q is external: its data is not this project's", name)
		}
	}
}

// remakes tells whether a volume is made anew: it is still used, its definition changed, and that was asked for.
func (d *differ) remakes(volume string) bool {
	return slices.ContainsFunc(d.want.Volumes, func(v *compose.Volume) bool {
		asked := slices.Contains(d.opts.RecreateVolumes, v.Key) || slices.Contains(d.opts.RecreateVolumes, v.Name)
		return v.Name == volume && asked && !v.External && d.volumeChanged(v) &&
			slices.ContainsFunc(d.users, func(s *compose.Service) bool { return usesVolume(s, volume) })
	})
}

// loses is the volume that a container mounts and that is made anew; "" if there is none.
func (d *differ) loses(c *Container) string {
	if len(d.opts.RecreateVolumes) == 0 {
		return ""
	}
	for _, m := range c.Summary.Mounts {
		if m.Type == mount.TypeVolume && d.remakes(m.Name) {
			return m.Name
		}
	}
	return ""
}

// remakeVolume removes a volume, with its data and the containers that mount it, and creates it. The containers are created
// again by the steps of their services; those of nobody's would be lost, and are a reason not to begin.
func (d *differ) remakeVolume(v *compose.Volume) {
	const why = "VOLUME MADE ANEW, ITS DATA IS LOST"
	if d.have.Outsiders == nil {
		d.fail("volume %q is made anew, but it is not known who else uses it", v.Name)
	}
	for _, user := range d.have.Outsiders[v.Name] {
		d.fail("volume %q is made anew, but container %s of another project uses it: remove that one first", v.Name, user)
	}
	var removals []*node
	for _, c := range d.have.Containers {
		switch {
		case !slices.ContainsFunc(c.Summary.Mounts, func(m container.MountPoint) bool { return m.Name == v.Name }):
			continue
		case d.removals[c.ID] != nil:
		case d.services[c.Service] == nil || c.OneOff:
			d.fail("volume %q is made anew, but container %s uses it, which this plan would not create again: remove that one first", v.Name, c.Name)
		default:
			d.remove(c, d.stop(c, "volume "+v.Name+" is made anew"), "volume "+v.Name+" is made anew")
		}
		removals = append(removals, d.removals[c.ID])
	}
	removed := d.add(removeVolume{v.Name}, why, removals...)
	d.volumes[v.Name] = d.add(createVolume{v}, why, removed)
}

// Complete adds to a state what only some plans need, and asks for nothing where this one doesn't: who else uses the volumes
// that the options ask to make anew and the networks that are made anew, at which paths images declare volumes, and what the
// Engine can do of what not every one can.
func (e *Engine) Complete(ctx context.Context, want *compose.Project, have *State, opts DiffOptions) error {
	if err := e.findOutsiders(ctx, want, have, opts); err != nil {
		return err
	}
	if err := e.findGuests(ctx, want, have, opts); err != nil {
		return err
	}
	if err := e.findAbilities(ctx, want, have, opts); err != nil {
		return err
	}
	return e.findDeclared(ctx, want, have, opts)
}

// findOutsiders fills in [State.Outsiders].
func (e *Engine) findOutsiders(ctx context.Context, want *compose.Project, have *State, opts DiffOptions) error {
	if len(opts.RecreateVolumes) == 0 || have.Outsiders != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	outsiders := map[string][]string{}
	for _, v := range want.Volumes {
		if !slices.Contains(opts.RecreateVolumes, v.Key) && !slices.Contains(opts.RecreateVolumes, v.Name) {
			continue
		}
		list, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("volume", v.Name))})
		if err != nil {
			return e.reading(ctx, "containers", err)
		}
		for _, c := range list {
			if c.Labels[compose.LabelProject] != want.Name {
				outsiders[v.Name] = append(outsiders[v.Name], ownName(c.Names))
			}
		}
	}
	have.Outsiders = outsiders
	return nil
}

// LosesData tells whether the step removes a volume that has a name: what somebody wanted to keep.
func (s Step) LosesData() bool {
	a, ok := s.Action.(removeVolume)
	return ok && !anonymous.MatchString(a.name)
}
