package engine

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"galley/compose"
)

// Files is what is on this machine of the configs and secrets of a project: containers have them by bind mounts, so the
// Engine must be on the machine too. Each container has a folder of its own, which an old and a new container never share
// unless they want the same.
type Files struct {
	// Dir is the project's folder, absolute. Without it Why says why there can be none.
	Dir, Why string
	// OnDisk: the folder is not in memory.
	OnDisk bool
	// Have are the files by their path below Dir, as "web-1.0c0f5c23/0-tls".
	Have map[string]StoredFile
	// Folders are those of containers, with files or without.
	Folders []string
	// Owned: owners can be set, and so are compared.
	Owned bool
}

// StoredFile is a config or secret as it is stored.
type StoredFile struct {
	Content  compose.Content
	UID, GID int
	Mode     uint32
	// Unsignalled: it was changed in place, and its container has not been told yet.
	Unsignalled bool
}

// markOf is the name of an empty file beside one that was changed, which is there until the container is told.
func markOf(path string) string {
	return filepath.Join(filepath.Dir(path), signalMark+filepath.Base(path))
}

// signalMark begins the names of marks; those of configs and secrets never begin with a point.
const signalMark = ".signal-"

// Files reads what is there for a project.
func (e *Engine) Files(project string) (*Files, error) {
	f := &Files{OnDisk: e.opts.FilesOnDisk, Owned: os.Geteuid() == 0}
	host, err := client.ParseHostURL(e.Host)
	switch {
	case err != nil || host.Scheme != "unix":
		f.Why = fmt.Sprintf("the engine at %s may be on another machine, where this one can't write files: run galley there, on its socket", e.Host)
		return f, nil
	case e.opts.FilesDir == "":
		f.Why = "there is no directory for them"
		return f, nil
	}
	f.Dir = filepath.Join(e.opts.FilesDir, engineKey(host.Host+host.Path), project)
	return f, f.read()
}

// engineKey tells the Engines of a machine apart, by the socket itself.
func engineKey(socket string) string {
	if real, err := filepath.EvalSymlinks(socket); err == nil {
		socket = real
	}
	sum := fnv.New64a()
	io.WriteString(sum, socket)
	return fmt.Sprintf("%x", sum.Sum64())
}

// FilesGone tells whether configs or secrets of a container are gone, as those in memory are after a reboot.
func (s *State) FilesGone() bool { return slices.ContainsFunc(s.Containers, s.filesGone) }

func (s *State) filesGone(c *Container) bool {
	if s.Files == nil || s.Files.Dir == "" {
		return false
	}
	return slices.ContainsFunc(c.Summary.Mounts, func(m container.MountPoint) bool {
		name, ours := strings.CutPrefix(m.Source, s.Files.Dir+string(filepath.Separator))
		_, there := s.Files.Have[name]
		return ours && !there
	})
}

func (f *Files) read() error {
	folders, err := os.ReadDir(f.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the configs and secrets that are there: %w", err)
	}
	f.Have = map[string]StoredFile{}
	for _, folder := range folders {
		f.Folders = append(f.Folders, folder.Name())
		files, err := os.ReadDir(filepath.Join(f.Dir, folder.Name()))
		if err != nil {
			return fmt.Errorf("reading the configs and secrets that are there: %w", err)
		}
		marked := map[string]bool{}
		for _, file := range files { // sorted: marks come first
			name, isMark := strings.CutPrefix(file.Name(), signalMark)
			switch {
			case isMark:
				marked[name] = true
				continue
			case strings.HasPrefix(name, "."): // left by a crash
				continue
			}
			if err := f.readFile(filepath.Join(folder.Name(), name), marked[name]); err != nil {
				return fmt.Errorf("reading the configs and secrets that are there: %w", err)
			}
		}
	}
	return nil
}

func (f *Files) readFile(name string, unsignalled bool) error {
	full := filepath.Join(f.Dir, name)
	info, err := os.Lstat(full)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	text, err := os.ReadFile(full)
	if err != nil {
		return err
	}
	uid, gid := ownerOf(info)
	f.Have[name] = StoredFile{Content: text, UID: uid, GID: gid, Mode: uint32(info.Mode().Perm()), Unsignalled: unsignalled}
	return nil
}

// differs tells what is wrong with a stored file; "" if it is as wanted.
func (f *Files) differs(name string, want compose.File) string {
	have, there := f.Have[name]
	switch {
	case !there:
		return "missing"
	case string(have.Content) != string(want.Content):
		return "content changed"
	case have.Mode != want.Mode, f.Owned && (want.UID >= 0 && want.UID != have.UID || want.GID >= 0 && want.GID != have.GID):
		return "owner or mode changed"
	}
	return ""
}
