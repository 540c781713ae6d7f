package enginetest

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// file is a file or a directory of a container.
type file struct {
	data     []byte
	mode     fs.FileMode
	uid, gid int
	changed  time.Time
}

// tree is a set of files by absolute path: a container's own layer, or a volume.
type tree struct {
	mu    sync.Mutex
	files map[string]*file
}

func newTree() *tree { return &tree{files: map[string]*file{}} }

func (t *tree) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.files)
}

// files is what a container sees: its layer with volumes and host paths mounted over it.
type files struct {
	layer *tree
	// mounts are volumes by destination, hosts are bind-mounted host paths.
	mounts map[string]*tree
	hosts  map[string]string
	// readOnly are the destinations that can't be written.
	readOnly map[string]bool
}

func newFiles() *files {
	f := &files{layer: newTree(), mounts: map[string]*tree{}, hosts: map[string]string{}, readOnly: map[string]bool{}}
	for _, dir := range []string{"/bin", "/etc", "/tmp", "/root", "/run", "/var", "/usr", "/dev"} {
		f.layer.files[dir] = &file{mode: fs.ModeDir | 0o755, changed: time.Now()}
	}
	return f
}

func (f *files) copyFrom(contents map[string]string) {
	for name, text := range contents {
		f.layer.files[path.Clean(name)] = &file{data: []byte(text), mode: 0o755, changed: time.Now()}
	}
}

// clearTmpfs empties the tmpfs mounts, as each start does.
func (f *files) clearTmpfs(c *ctr) {
	for _, m := range c.mounts {
		if m.tmpfs {
			f.mounts[m.Destination].clear()
		}
	}
}

// place finds the mount that a path is on: a tree with the path in it, or a path of the host.
func (f *files) place(name string) (t *tree, inner, host string, readOnly bool) {
	name = path.Clean("/" + name)
	best := ""
	for _, dest := range slices.Concat(slices.Collect(maps.Keys(f.mounts)), slices.Collect(maps.Keys(f.hosts))) {
		if (name == dest || strings.HasPrefix(name, strings.TrimSuffix(dest, "/")+"/")) && len(dest) > len(best) {
			best = dest
		}
	}
	rest := path.Clean("/" + strings.TrimPrefix(name, best))
	if t, ok := f.mounts[best]; ok {
		return t, rest, "", f.readOnly[best]
	}
	if source, ok := f.hosts[best]; ok {
		return nil, "", filepath.Join(source, rest), f.readOnly[best]
	}
	return f.layer, name, "", f.readOnly["/"]
}

// get returns a copy of the file, or nil.
func (f *files) get(name string) *file {
	t, inner, host, _ := f.place(name)
	if t == nil {
		return hostFile(host)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if found := t.files[inner]; found != nil {
		copied := *found
		return &copied
	}
	if inner == "/" || t.hasBelow(inner) {
		return &file{mode: fs.ModeDir | 0o755}
	}
	return nil
}

func hostFile(name string) *file {
	info, err := os.Stat(name)
	if err != nil {
		return nil
	}
	found := &file{mode: info.Mode(), changed: info.ModTime()}
	if info.Mode().IsRegular() {
		if found.data, err = os.ReadFile(name); err != nil {
			return nil
		}
	}
	return found
}

func (t *tree) hasBelow(dir string) bool {
	for name := range t.files {
		if strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/") {
			return true
		}
	}
	return false
}

func (f *files) exists(name string) bool { return f.get(name) != nil }

func (f *files) isDir(name string) bool {
	found := f.get(name)
	return found != nil && found.mode.IsDir()
}

// find looks a program up in the container's own files, and returns its path.
func (f *files) find(program string) string {
	for _, dir := range binDirs() {
		if full := path.Join(dir, program); f.exists(full) && !f.isDir(full) {
			return full
		}
	}
	return ""
}

// put writes a file, and returns why it can't as a shell says it; "" if it could.
func (f *files) put(name string, written *file) string {
	t, inner, host, readOnly := f.place(name)
	if readOnly {
		return "Read-only file system"
	}
	if !f.isDir(path.Dir(path.Clean("/" + name))) {
		return "nonexistent directory"
	}
	written.changed = time.Now()
	if t == nil {
		if written.mode.IsDir() {
			if err := os.MkdirAll(host, 0o755); err != nil {
				return "Permission denied"
			}
			return ""
		}
		if err := os.WriteFile(host, written.data, written.mode.Perm()); err != nil {
			return "Permission denied"
		}
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.files[inner]; old != nil && old.mode.IsDir() && !written.mode.IsDir() {
		return "Is a directory"
	}
	t.files[inner] = written
	return ""
}

// remove takes a file away, with what is below it, and tells whether it was there.
func (f *files) remove(name string) bool {
	there := f.exists(name)
	t, inner, host, readOnly := f.place(name)
	if readOnly {
		return false
	}
	if t == nil {
		return there && os.Remove(host) == nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for other := range t.files {
		if other == inner || strings.HasPrefix(other, inner+"/") {
			delete(t.files, other)
		}
	}
	return there
}

// below lists the paths under a directory, itself left out, sorted.
func (f *files) below(dir string) []string {
	dir = path.Clean("/" + dir)
	seen := map[string]bool{}
	collect := func(t *tree, at string) {
		t.mu.Lock()
		defer t.mu.Unlock()
		for name := range t.files {
			full := path.Join(at, name)
			if strings.HasPrefix(full, strings.TrimSuffix(dir, "/")+"/") {
				seen[full] = true
			}
		}
	}
	collect(f.layer, "/")
	for dest, t := range f.mounts {
		collect(t, dest)
	}
	for dest, source := range f.hosts {
		for _, name := range hostBelow(source) {
			if full := path.Join(dest, name); strings.HasPrefix(full, strings.TrimSuffix(dir, "/")+"/") {
				seen[full] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// hostBelow lists what a bind-mounted directory has.
func hostBelow(dir string) []string {
	var names []string
	// What can't be read is not seen, as by a process without the right to.
	_ = filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil || len(names) > 10000 {
			return filepath.SkipDir
		}
		if rel, err := filepath.Rel(dir, name); err == nil && rel != "." {
			names = append(names, filepath.ToSlash(rel))
		}
		return nil
	})
	return names
}
