package compose

import (
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/mount"
)

// storage lowers volumes, tmpfs and volumes_from.
func (s *serviceLowering) storage() {
	h := &s.out.Host
	h.StorageOpt = s.src.StorageOpt
	if s.src.UseAPISocket {
		// Unlike docker compose, the user's credentials for registries stay outside.
		s.addMount(mount.Mount{Type: mount.TypeBind, Source: APISocket, Target: "/var/run/docker.sock"})
	}
	for i, v := range s.src.Volumes {
		s.mount(item("volumes", i), v)
	}
	for i, entry := range s.src.Tmpfs {
		target, options, _ := strings.Cut(entry, ":")
		s.checkTarget(item("tmpfs", i), target)
		if h.Tmpfs == nil {
			h.Tmpfs = map[string]string{}
		}
		h.Tmpfs[target] = options
	}
	for i, entry := range s.src.VolumesFrom {
		h.VolumesFrom = append(h.VolumesFrom, s.volumesFrom(item("volumes_from", i), entry))
	}
}

// volumesFrom lowers an entry of volumes_from to a name with an access mode. That of a container loses its prefix, as the
// Engine's own notation has none.
func (s *serviceLowering) volumesFrom(attribute, entry string) string {
	prefix, rest := ServicePrefix, entry
	if outside, ok := strings.CutPrefix(entry, types.ContainerPrefix); ok {
		prefix, rest = "", outside
	}
	name, mode, _ := strings.Cut(rest, ":")
	if mode == "" {
		return prefix + name
	}
	for option := range strings.SplitSeq(mode, ",") {
		if !contains("ro rw z Z", option) {
			s.refuse(attribute, codeInvalid, "use ro or rw", "%q is no access mode", mode)
			break
		}
	}
	return prefix + name + ":" + mode
}

// mount lowers one entry of volumes.
func (s *serviceLowering) mount(attribute string, v types.ServiceVolumeConfig) {
	if v.Type != types.VolumeTypeNamedPipe {
		s.checkTarget(attribute, v.Target)
	}
	s.checkMountOptions(attribute, v)
	switch v.Type {
	case types.VolumeTypeBind:
		s.bind(attribute, v)
	case types.VolumeTypeVolume:
		s.namedVolume(attribute, v)
	case types.VolumeTypeImage:
		s.require(attribute+".type", "1.48")
		m := mountOf(v, v.Source)
		if v.Image != nil && v.Image.SubPath != "" {
			m.ImageOptions = &mount.ImageOptions{Subpath: v.Image.SubPath}
		}
		s.addMount(m)
	case types.VolumeTypeTmpfs:
		if v.Source != "" {
			s.refuse(attribute+".source", codeConflict, "remove it, or make it a mount of type volume", "a mount of type tmpfs has no source")
		}
		m := mountOf(v, "")
		if t := v.Tmpfs; t != nil && (t.Size != 0 || t.Mode != 0) {
			// The Engine prints the mode in octal as it comes, hence no translation into Go's bits.
			m.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: int64(t.Size), Mode: os.FileMode(t.Mode)}
		}
		s.addMount(m)
	case types.VolumeTypeCluster:
		m := mountOf(v, v.Source) // a name of the cluster, not of the project
		s.require(attribute+".type", "1.42")
		m.ClusterOptions = &mount.ClusterOptions{}
		s.addMount(m)
	case types.VolumeTypeNamedPipe:
		s.addMount(mountOf(v, v.Source))
	default:
		s.refuse(attribute+".type", codeInvalid, "use bind, volume, tmpfs, image or cluster", "%q is no type of mount", v.Type)
	}
}

func (s *serviceLowering) checkTarget(attribute, target string) {
	if !path.IsAbs(target) || path.Clean(target) == "/" {
		hint := "mount it at an absolute path below /"
		if contains("ro rw z Z", target) {
			hint = "write SOURCE:TARGET:" + target + "; a volume without a source has no mode"
		}
		if drive, rest, ok := strings.Cut(target, ":"); ok && len(drive) == 1 && strings.HasPrefix(rest, "/") {
			hint = fmt.Sprintf("a single letter is taken for a drive: write {type: volume, source: %s, target: %s}", drive, rest)
		}
		s.refuse(attribute, codeInvalid, hint, "%q is no place to mount something at", target)
	}
}

// mountOf is what all types of mount have in common.
func mountOf(v types.ServiceVolumeConfig, source string) mount.Mount {
	return mount.Mount{Type: mount.Type(v.Type), Source: source, Target: v.Target, ReadOnly: v.ReadOnly}
}

func (s *serviceLowering) addMount(m mount.Mount) {
	s.out.Host.Mounts = append(s.out.Host.Mounts, m)
}

// checkMountOptions finds options of another type of mount: the loader takes them, and they would do nothing.
func (s *serviceLowering) checkMountOptions(attribute string, v types.ServiceVolumeConfig) {
	b := deref(v.Bind)
	relabelled := v.Type == types.VolumeTypeVolume && b.SELinux != "" && b.Propagation == "" && b.Recursive == ""
	options := []struct {
		name string
		set  bool
	}{
		{types.VolumeTypeBind, v.Bind != nil && !relabelled},
		{types.VolumeTypeVolume, v.Volume != nil && (v.Volume.NoCopy || v.Volume.Subpath != "" || len(v.Volume.Labels) > 0)},
		{types.VolumeTypeTmpfs, v.Tmpfs != nil && (v.Tmpfs.Size != 0 || v.Tmpfs.Mode != 0)},
		{types.VolumeTypeImage, v.Image != nil && v.Image.SubPath != ""},
	}
	for _, o := range options {
		if o.set && o.name != v.Type {
			s.warn(attribute, codeIgnored, "remove them, or make it a mount of type "+o.name,
				"the %s options of %q mean nothing to a mount of type %s", o.name, v.Target, v.Type)
		}
	}
}

// bind lowers a bind mount. The older notation of HostConfig.Binds is used where it can say the same: it alone creates
// a missing folder on every Engine and knows SELinux's labels. A mount can do so from API 1.42 on, by CreateMountpoint.
func (s *serviceLowering) bind(attribute string, v types.ServiceVolumeConfig) {
	b := deref(v.Bind)
	if v.Bind == nil {
		b.CreateHostPath = true // the default (compose-spec, services: volumes, long syntax)
	}
	if b.Propagation != "" && !contains(propagations, b.Propagation) {
		near := nearest(b.Propagation, propagations, "use "+alternatives(strings.Fields(propagations)))
		s.refuse(attribute+".bind.propagation", codeInvalid, near, "%q is no propagation", b.Propagation)
	}
	if bool(b.CreateHostPath) && b.Recursive == "" && !strings.Contains(v.Source+v.Target, ":") {
		s.addBind(v.Source, v.Target, v.ReadOnly, b.SELinux, b.Propagation)
		return
	}
	if b.SELinux != "" {
		s.refuse(attribute+".bind.selinux", codeConflict, "leave out create_host_path and recursive",
			"the Engine can't relabel %q for SELinux together with create_host_path: false, recursive or a path with a colon", v.Source)
	}
	m := mountOf(v, v.Source)
	m.BindOptions = &mount.BindOptions{Propagation: mount.Propagation(b.Propagation), CreateMountpoint: bool(b.CreateHostPath)}
	if b.CreateHostPath {
		s.require(attribute+".bind", "1.42")
	}
	s.recursive(attribute, b.Recursive, m.BindOptions)
	s.addMount(m)
}

// propagations are those of a bind mount (moby api/types/mount, Propagation).
const propagations = "private rprivate shared rshared slave rslave"

// recursive lowers what happens to mounts below the source (compose-spec, services: volumes, bind.recursive).
func (s *serviceLowering) recursive(attribute, how string, options *mount.BindOptions) {
	switch how {
	case "disabled":
		options.NonRecursive = true
	case "writable":
		options.ReadOnlyNonRecursive = true
		s.require(attribute+".bind.recursive", "1.44")
	case "readonly":
		options.ReadOnlyForceRecursive = true
		s.require(attribute+".bind.recursive", "1.44")
	}
}

// addBind writes an entry of HostConfig.Binds: source:target[:options].
func (s *serviceLowering) addBind(source, target string, readOnly bool, options ...string) {
	var mode []string
	if readOnly {
		mode = append(mode, "ro")
	}
	for _, o := range options {
		if o != "" {
			mode = append(mode, o)
		}
	}
	entry := source + ":" + target
	if len(mode) > 0 {
		entry += ":" + strings.Join(mode, ",")
	}
	s.out.Host.Binds = append(s.out.Host.Binds, entry)
}

// namedVolume lowers a mount of type volume, named or anonymous.
func (s *serviceLowering) namedVolume(attribute string, v types.ServiceVolumeConfig) {
	o := deref(v.Volume)
	if o.Subpath != "" {
		s.require(attribute+".volume.subpath", "1.45")
	}
	if v.Source == "" && (v.ReadOnly || o.Subpath != "") {
		s.refuse(attribute, codeConflict, "name the volume with source", "an anonymous volume can be neither read-only nor mounted in part")
	}
	if v.Source != "" && len(o.Labels) > 0 { // it is there before the container, and stays as it is
		s.warn(attribute+".volume.labels", codeIgnored, "write them under volumes."+v.Source+".labels",
			"labels of a mount count for an anonymous volume only, and %q has a name", v.Source)
	}
	plain := !v.ReadOnly && !o.NoCopy && o.Subpath == "" && len(o.Labels) == 0
	switch {
	case v.Source == "" && plain:
		// The Engine makes an anonymous volume here unless something is mounted: a replacement can bring the old one.
		if s.out.Config.Volumes == nil {
			s.out.Config.Volumes = map[string]struct{}{}
		}
		s.out.Config.Volumes[v.Target] = struct{}{}
	case v.Bind != nil && v.Bind.SELinux != "" && v.Source != "":
		if o.Subpath != "" || len(o.Labels) > 0 {
			s.refuse(attribute, codeConflict, "", "the Engine can't relabel a volume for SELinux together with subpath or labels")
		}
		noCopy := ""
		if o.NoCopy {
			noCopy = "nocopy"
		}
		s.addBind(s.volumeName(v.Source), v.Target, v.ReadOnly, v.Bind.SELinux, noCopy)
	default:
		m := mountOf(v, s.volumeName(v.Source))
		if o.NoCopy || o.Subpath != "" || len(o.Labels) > 0 {
			m.VolumeOptions = &mount.VolumeOptions{NoCopy: o.NoCopy, Subpath: o.Subpath, Labels: o.Labels}
		}
		s.addMount(m)
	}
}

// volumeName is the Engine's name of one of the project's volumes.
func (l *lowering) volumeName(key string) string {
	if v, ok := l.src.Volumes[key]; ok {
		return v.Name
	}
	return key
}
