package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/containerd/errdefs"

	"galley/compose"
)

// writeFile writes a config or secret for a container, before that is created or started.
type writeFile struct {
	file compose.File
	path string
	// container is whose it is, for people.
	container, service string
	// signal notes beside the file that a running container has to be told.
	signal bool
}

func (a writeFile) Target() Target {
	return Target{Kind: Kind(a.file.Kind), Name: fmt.Sprintf("%s for %s", a.file.Name, a.container), Service: a.service}
}

func (writeFile) Verb() Verb { return VerbWrite }

func (a writeFile) do(_ context.Context, r *run) error {
	err := private(r.opts.FilesDir)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(a.path), 0o700)
	}
	if err != nil {
		return fmt.Errorf("making a private directory: %w", err)
	}
	err = a.mark()
	if err == nil {
		err = a.rewrite(r)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = a.create(r)
	}
	return err
}

// private makes a directory that nobody else can look or write into. It may be in one that everybody can write to: what is
// there under that name, and is another's, is not used.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if uid, _ := ownerOf(info); !info.IsDir() || uid != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%q is there already and is not private: remove it", dir)
	}
	return nil
}

// mark makes sure that a container is told of a change also when this process doesn't live to tell it.
func (a writeFile) mark() error {
	name := markOf(a.path)
	if !a.signal {
		return ignoring(fs.ErrNotExist, os.Remove(name))
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("noting a change: %w", err)
	}
	return file.Close()
}

// rewrite changes a file that is there in place: a bind mount shows the file that it was made with, not one that takes its
// name.
func (a writeFile) rewrite(r *run) error {
	open := func() (*os.File, error) { return os.OpenFile(a.path, os.O_WRONLY|syscall.O_NOFOLLOW, 0) }
	file, err := open()
	if errors.Is(err, fs.ErrPermission) { // not even its owner may write it, but for root
		if err = os.Chmod(a.path, fs.FileMode(a.file.Mode)|0o200); err == nil {
			file, err = open()
		}
	}
	if err != nil {
		return err
	}
	_, err = file.WriteAt(a.file.Content, 0) // first the text: a reader between the two finds no empty file
	if err == nil {
		err = file.Truncate(int64(len(a.file.Content)))
	}
	return errors.Join(err, a.own(r, file), file.Close())
}

// create makes the file under another name, so that under its own it is whole.
func (a writeFile) create(r *run) error {
	file, err := os.CreateTemp(filepath.Dir(a.path), ".new-*")
	if err != nil {
		return err
	}
	_, err = file.Write(a.file.Content)
	err = errors.Join(err, a.own(r, file), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), a.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// own gives an open file its owner and mode. Who isn't root can't give files away: what everybody may read is left so.
func (a writeFile) own(r *run, file *os.File) error {
	err := file.Chown(a.file.UID, a.file.GID)
	switch {
	case errors.Is(err, fs.ErrPermission) && a.file.Mode&0o004 != 0:
		r.warn("only root can give it to another owner: everybody may read it")
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("giving it to uid %d and gid %d, which only root can do: %w", a.file.UID, a.file.GID, err)
	case err != nil:
		return fmt.Errorf("giving it to uid %d and gid %d: %w", a.file.UID, a.file.GID, err)
	}
	return file.Chmod(fs.FileMode(a.file.Mode))
}

// ownerOf are the numeric owner and group of a file.
func ownerOf(info fs.FileInfo) (uid, gid int) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid), int(stat.Gid)
	}
	return -1, -1
}

func ignoring(target, err error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}

// signalContainer tells a running container that configs or secrets of its changed in place.
type signalContainer struct {
	subject
	signal string
	// paths are the files whose marks it takes away.
	paths []string
}

func (signalContainer) Verb() Verb { return VerbSignal }

func (a signalContainer) do(ctx context.Context, r *run) error {
	err := r.call(ctx, func(ctx context.Context) error {
		err := r.api.ContainerKill(ctx, r.id(a.ref), a.signal)
		if errdefs.IsConflict(err) {
			return nil // it stopped meanwhile, and reads the new text when it starts
		}
		return gone(err)
	})
	for _, path := range a.paths {
		if err == nil {
			err = ignoring(fs.ErrNotExist, os.Remove(markOf(path)))
		}
	}
	return err
}

// removeFiles removes the folder of a container that is gone; with last, that of the project too.
type removeFiles struct {
	dir, name string
	last      bool
}

func (a removeFiles) Target() Target { return Target{Kind: KindFiles, Name: a.name} }
func (removeFiles) Verb() Verb       { return VerbRemove }

func (a removeFiles) do(context.Context, *run) error {
	if err := os.RemoveAll(filepath.Join(a.dir, a.name)); err != nil {
		return fmt.Errorf("removing configs and secrets: %w", err)
	}
	if a.last {
		_ = os.Remove(a.dir) // unless there is another folder in it
	}
	return nil
}
