package enginetest

import (
	"net/http"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"
)

// mountPoint is a mount of a container.
type mountPoint struct {
	container.MountPoint
	// tmpfs mounts of HostConfig.Tmpfs are not among an inspect's Mounts; those of Mounts are.
	tmpfs, hidden bool
	// owned volumes are anonymous and this container's own, or inherited as such by volumes_from.
	owned bool
}

// planMounts makes the container's mounts out of Binds, Mounts, VolumesFrom, Tmpfs and the image's volumes, and the
// volumes that are new. Sources: daemon/volumes.go, registerMountPoints; daemon/create_unix.go.
func (e *Engine) planMounts(c *ctr) error {
	steps := []func(*ctr) error{e.mountFrom, e.mountBinds, e.mountMounts}
	for _, step := range steps {
		if err := step(c); err != nil {
			e.removeAnonymous(c)
			return err
		}
	}
	for _, dest := range sortedKeys(c.host.Tmpfs) {
		c.mounts = append(c.mounts, mountPoint{tmpfs: true, hidden: true, MountPoint: container.MountPoint{Type: mount.TypeTmpfs, Destination: path.Clean(dest), RW: true}})
	}
	for _, dest := range sortedKeys(c.config.Volumes) {
		dest = path.Clean(dest)
		if c.mountAt(dest) != nil {
			continue
		}
		v, err := e.makeVolume(volume.CreateOptions{})
		if err != nil {
			return err
		}
		c.mounts = append(c.mounts, volumeMount(v, dest, "", true))
	}
	slices.SortStableFunc(c.mounts, func(a, b mountPoint) int { return strings.Compare(a.Destination, b.Destination) })
	for _, m := range c.mounts {
		e.show(c, m)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// show makes a mount visible to the container's processes.
func (e *Engine) show(c *ctr, m mountPoint) {
	switch m.Type {
	case mount.TypeVolume:
		c.files.mounts[m.Destination] = e.volumes[m.Name].tree
		e.seed(c, m)
	case mount.TypeTmpfs, mount.TypeImage: // whose contents this Engine does not show
		c.files.mounts[m.Destination] = newTree()
	case mount.TypeBind:
		c.files.hosts[m.Destination] = m.Source
	}
	c.files.readOnly[m.Destination] = !m.RW
	c.files.readOnly["/"] = c.host.ReadonlyRootfs
}

// seed copies what the image has at the destination into an empty volume.
func (e *Engine) seed(c *ctr, m mountPoint) {
	t := e.volumes[m.Name].tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.files) > 0 {
		return
	}
	for name, f := range c.files.layer.files {
		if rest, ok := strings.CutPrefix(name, m.Destination+"/"); ok {
			copied := *f
			t.files["/"+rest] = &copied
		}
	}
}

func (c *ctr) mountAt(dest string) *mountPoint {
	for i := range c.mounts {
		if c.mounts[i].Destination == dest {
			return &c.mounts[i]
		}
	}
	return nil
}

func volumeMount(v *vol, dest, mode string, owned bool) mountPoint {
	return mountPoint{owned: owned, MountPoint: container.MountPoint{
		Type: mount.TypeVolume, Name: v.Name, Source: v.Mountpoint, Destination: dest, Driver: v.Driver, Mode: mode,
		RW: !slices.Contains(strings.Split(mode, ","), "ro"),
	}}
}

// mountFrom takes over the mounts of HostConfig.VolumesFrom.
func (e *Engine) mountFrom(c *ctr) error {
	for _, from := range c.host.VolumesFrom {
		ref, mode, _ := strings.Cut(from, ":")
		parent, err := e.container(ref)
		if err != nil {
			return fail(http.StatusBadRequest, "%s", err)
		}
		for _, m := range parent.mounts {
			if m.tmpfs {
				continue
			}
			m.Mode, m.owned = mode, false
			if mode == "ro" {
				m.RW = false
			}
			c.mounts = append(c.mounts, m)
		}
	}
	return nil
}

// mountBinds reads HostConfig.Binds: "source:destination[:mode]", or "destination" for an anonymous volume.
func (e *Engine) mountBinds(c *ctr) error {
	for _, spec := range c.host.Binds {
		source, dest, mode, err := splitBind(spec)
		if err != nil {
			return err
		}
		if err := c.takeOver(dest); err != nil {
			return err
		}
		if path.IsAbs(source) {
			if err := os.MkdirAll(source, 0o755); err != nil && !exists(source) {
				return fail(http.StatusInternalServerError, "error while creating mount source path '%s': %s", source, err)
			}
			c.mounts = append(c.mounts, bindMount(source, dest, mode))
			continue
		}
		v, err := e.makeVolume(volume.CreateOptions{Name: source, Driver: c.host.VolumeDriver})
		if err != nil {
			return err
		}
		if mode == "" && source != "" {
			mode = "z"
		}
		c.mounts = append(c.mounts, volumeMount(v, dest, mode, source == ""))
	}
	return nil
}

// takeOver lets an explicit mount win over one of volumes_from; two explicit ones are an error.
func (c *ctr) takeOver(dest string) error {
	for i, m := range c.mounts {
		if m.Destination == dest {
			if len(c.host.VolumesFrom) == 0 {
				return fail(http.StatusBadRequest, "Duplicate mount point: %s", dest)
			}
			c.mounts = slices.Delete(c.mounts, i, i+1)
			return nil
		}
	}
	return nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func splitBind(spec string) (source, dest, mode string, err error) {
	parts := strings.Split(spec, ":")
	switch len(parts) {
	case 1:
		dest = parts[0]
	case 2:
		source, dest = parts[0], parts[1]
		if !path.IsAbs(dest) && path.IsAbs(source) {
			source, dest, mode = "", source, dest
		}
	case 3:
		source, dest, mode = parts[0], parts[1], parts[2]
	}
	if dest == "" || len(parts) > 3 {
		return "", "", "", fail(http.StatusBadRequest, "invalid volume specification: '%s'", spec)
	}
	if !path.IsAbs(dest) {
		return "", "", "", fail(http.StatusInternalServerError, `invalid volume specification: '%s': invalid mount config for type "volume": invalid mount path: '%s' mount path must be absolute`, spec, dest)
	}
	return source, path.Clean(dest), mode, nil
}

func bindMount(source, dest, mode string) mountPoint {
	return mountPoint{MountPoint: container.MountPoint{
		Type: mount.TypeBind, Source: source, Destination: dest, Mode: mode,
		RW: !slices.Contains(strings.Split(mode, ","), "ro"), Propagation: mount.PropagationRPrivate,
	}}
}

// mountMounts reads HostConfig.Mounts.
func (e *Engine) mountMounts(c *ctr) error {
	for _, m := range c.host.Mounts {
		refuse := func(format string, args ...any) error {
			return fail(http.StatusBadRequest, `invalid mount config for type "`+string(m.Type)+`": `+format, args...)
		}
		if !path.IsAbs(m.Target) {
			return refuse("invalid mount path: '%s' mount path must be absolute", m.Target)
		}
		dest := path.Clean(m.Target)
		if err := c.takeOver(dest); err != nil {
			return err
		}
		mode := ""
		if m.ReadOnly {
			mode = "ro"
		}
		switch m.Type {
		case mount.TypeBind:
			create := m.BindOptions != nil && m.BindOptions.CreateMountpoint
			if create {
				if err := os.MkdirAll(m.Source, 0o755); err != nil {
					return refuse("%s", err)
				}
			}
			if !exists(m.Source) {
				return refuse("bind source path does not exist: %s", m.Source)
			}
			c.mounts = append(c.mounts, bindMount(m.Source, dest, mode))
		case mount.TypeVolume:
			v, err := e.makeVolume(mountedVolume(m))
			if err != nil {
				return err
			}
			point := volumeMount(v, dest, mode, m.Source == "")
			if mode == "" && m.Source != "" {
				point.Mode = "z"
			}
			c.mounts = append(c.mounts, point)
		case mount.TypeTmpfs:
			c.mounts = append(c.mounts, mountPoint{tmpfs: true, MountPoint: container.MountPoint{Type: mount.TypeTmpfs, Destination: dest, RW: !m.ReadOnly}})
		case mount.TypeImage:
			if _, err := e.imageOf(m.Source); err != nil {
				return err
			}
			c.mounts = append(c.mounts, mountPoint{tmpfs: true, MountPoint: container.MountPoint{Type: mount.TypeImage, Source: m.Source, Destination: dest}})
		default:
			return refuse("mount type unknown")
		}
	}
	return nil
}

func mountedVolume(m mount.Mount) volume.CreateOptions {
	opts := volume.CreateOptions{Name: m.Source}
	if m.VolumeOptions != nil {
		opts.Labels = m.VolumeOptions.Labels
		if m.VolumeOptions.DriverConfig != nil {
			opts.Driver, opts.DriverOpts = m.VolumeOptions.DriverConfig.Name, m.VolumeOptions.DriverConfig.Options
		}
	}
	return opts
}

// removeAnonymous takes the container's own anonymous volumes away, unless another container uses them.
func (e *Engine) removeAnonymous(c *ctr) {
	for _, m := range c.mounts {
		v := e.volumes[m.Name]
		if !m.owned || v == nil {
			continue
		}
		others := slices.DeleteFunc(e.users(m.Name), func(id string) bool { return id == c.id })
		if len(others) == 0 {
			e.dropVolume(v)
		}
	}
}
