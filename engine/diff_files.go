package engine

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"galley/compose"
)

// placed is a config or secret at its place on this machine, by the path below [Files.Dir].
type placed struct {
	file compose.File
	name string
}

// filesOf are the configs and secrets of a replica. Their place depends on the hash: what an old container sees stays as it
// is while a new one with other contents comes up beside it.
func filesOf(s *compose.Service, number int) []placed {
	return placeFiles(folderOf(s, number), "", s.Files)
}

func folderOf(s *compose.Service, number int) string {
	return fmt.Sprintf("%s-%d.%s", s.Name, number, shortHash(s.Hash))
}

func placeFiles(folder, prefix string, files []compose.File) []placed {
	var all []placed
	for i, file := range files {
		all = append(all, placed{file, filepath.Join(folder, fmt.Sprintf("%s%d-%s", prefix, i, file.Name))})
	}
	return all
}

// fileMounts binds configs and secrets into a container.
func fileMounts(dir string, files []placed) []mount.Mount {
	var mounts []mount.Mount
	for _, f := range files {
		mounts = append(mounts, mount.Mount{
			Type: mount.TypeBind, Source: filepath.Join(dir, f.name), Target: f.file.Target, ReadOnly: true,
		})
	}
	return mounts
}

// requireFiles refuses configs and secrets that can't be brought to the Engine, before anything is touched.
func (d *differ) requireFiles(services []*compose.Service) {
	for _, s := range services {
		if !hasFiles(s) {
			continue
		}
		switch {
		case d.files.Dir == "":
			d.fail("service %q has configs or secrets, which are files: %s", s.Name, d.files.Why)
		case d.files.OnDisk:
			d.warn("configs and secrets are written to a disk: %s is not in memory", d.files.Dir)
			return
		}
	}
}

func hasFiles(s *compose.Service) bool {
	return len(s.Files) > 0 || slices.ContainsFunc(s.PreStart, func(init compose.Init) bool { return len(init.Files) > 0 })
}

// misplaced tells whether a container has a config or secret from where it is not kept now.
func (d *differ) misplaced(s *compose.Service, c *Container) string {
	for _, f := range filesOf(s, c.Number) {
		source := filepath.Join(d.files.Dir, f.name)
		if !slices.ContainsFunc(c.Summary.Mounts, func(m container.MountPoint) bool {
			return m.Destination == f.file.Target && m.Source == source
		}) {
			return fmt.Sprintf("%s %s is kept elsewhere", f.file.Kind, f.file.Name)
		}
	}
	return ""
}

// planFiles writes the configs and secrets of a replica that are not as wanted, and returns what its container, yet to be
// created or started, waits for.
func (d *differ) planFiles(p *servicePlan, r *replica, files []placed) []*node {
	var written []*node
	for _, f := range files {
		if why := d.files.differs(f.name, f.file); why != "" || d.files.Have[f.name].Unsignalled {
			written = append(written, d.writeFile(p, r, f, cmp.Or(why, "the container was not told"), false))
		}
	}
	return written
}

func (d *differ) writeFile(p *servicePlan, r *replica, f placed, why string, signal bool) *node {
	return d.add(writeFile{
		file: f.file, path: filepath.Join(d.files.Dir, f.name), signal: signal,
		container: d.want.ContainerName(p.spec, r.number), service: p.spec.Name,
	}, why)
}

// refreshFiles keeps the configs and secrets of a running container as they shall be: in place, where that is how changes
// are told, and there for the Engine to start it again.
func (d *differ) refreshFiles(p *servicePlan, r *replica) {
	if !r.keep.Running() || !d.keepsFiles(p, r) {
		return
	}
	tell := p.spec.OnSecretChange
	var written []*node
	var paths, why, lost []string
	for _, f := range filesOf(p.spec, r.number) {
		change := d.files.differs(f.name, f.file)
		what := fmt.Sprintf("%s %s", f.file.Kind, f.file.Name)
		switch gone := change == "missing"; {
		case gone && tell != "" && r.keep.Phase == container.StateRunning: // what it has may be older, and is out of reach
			lost = append(lost, what+" was gone")
		case tell != "" && (change != "" || d.files.Have[f.name].Unsignalled):
			paths = append(paths, filepath.Join(d.files.Dir, f.name))
			why = append(why, what+" "+cmp.Or(change, "content changed"))
		}
		if change != "" {
			written = append(written, d.writeFile(p, r, f, change, tell != "" && change != "missing"))
		}
	}
	switch {
	case len(lost) > 0:
		d.restart(p, r, strings.Join(lost, ", "), d.gatesOf(p.spec).and(gates{needs: written}))
	case len(paths) > 0:
		d.add(signalContainer{subject{r.ref, p.spec.Name}, tell, paths}, strings.Join(why, ", "), written...)
	}
}

// keepsFiles tells whether a kept container is one of the spec, whose files are known; what is put back, or left although
// outdated, is of another one.
func (d *differ) keepsFiles(p *servicePlan, r *replica) bool {
	return len(p.spec.Files) > 0 && r.keep.Hash == p.spec.Hash && d.misplaced(p.spec, r.keep) == ""
}

// dropFiles removes the folders of containers that are gone, or go.
func (d *differ) dropFiles() {
	for _, folder := range d.files.Folders {
		if removals, unused := d.unread(folder); unused && !d.writesInto(folder) {
			d.add(removeFiles{d.files.Dir, folder, d.opts.Down != nil}, "used by nobody any more", removals...)
		}
	}
}

// unread tells whether every container that has files of a folder is removed, and by which steps.
func (d *differ) unread(folder string) (removals []*node, unused bool) {
	below := filepath.Join(d.files.Dir, folder) + string(filepath.Separator)
	for _, c := range d.have.Containers {
		if !slices.ContainsFunc(c.Summary.Mounts, func(m container.MountPoint) bool { return strings.HasPrefix(m.Source, below) }) {
			continue
		}
		if d.removals[c.ID] == nil {
			return nil, false
		}
		removals = append(removals, d.removals[c.ID])
	}
	return removals, true
}

// writesInto tells whether a container that this plan creates or keeps has its files in a folder.
func (d *differ) writesInto(folder string) bool {
	for _, p := range d.services {
		for _, r := range p.replicas {
			if hasFiles(p.spec) && folderOf(p.spec, r.number) == folder && (r.keep == nil || r.keep.Hash == p.spec.Hash) {
				return true
			}
		}
	}
	return false
}
