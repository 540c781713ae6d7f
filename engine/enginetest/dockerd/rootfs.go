package dockerd

import (
	"archive/tar"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Rootfs is the file system of an image in the making. Paths are absolute, as they will be in the image. The zero value
// is empty and ready to use; methods that read the disk keep only the path until the image is written.
type Rootfs struct {
	entries map[string]entry
}

type entry struct {
	header  tar.Header
	content []byte
	source  string // the file on disk that has the content; empty for content
}

func (r *Rootfs) put(name string, e entry) {
	if r.entries == nil {
		r.entries = make(map[string]entry)
	}
	e.header.Name = strings.TrimPrefix(path.Clean(name), "/")
	r.entries[e.header.Name] = e
}

// Dir adds a folder with these permissions, that belongs to the user and group with this number.
func (r *Rootfs) Dir(name string, mode fs.FileMode, owner int) {
	r.put(name, entry{header: tar.Header{Typeflag: tar.TypeDir, Mode: tarMode(mode), Uid: owner, Gid: owner}})
}

// File adds a file with this content. A script, which begins with #!, becomes executable.
func (r *Rootfs) File(name, content string) {
	mode := int64(0o644)
	if strings.HasPrefix(content, "#!") {
		mode = 0o755
	}
	r.put(name, entry{header: tar.Header{Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(content))}, content: []byte(content)})
}

// Link adds a symbolic link.
func (r *Rootfs) Link(name, target string) {
	r.put(name, entry{header: tar.Header{Typeflag: tar.TypeSymlink, Mode: 0o777, Linkname: target}})
}

// Copy adds the file at source, and follows symbolic links to it.
func (r *Rootfs) Copy(name, source string) error {
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("copying into an image: %w", err)
	}
	r.put(name, entry{header: tar.Header{Typeflag: tar.TypeReg, Mode: int64(info.Mode().Perm()), Size: info.Size()}, source: source})
	return nil
}

// Tree adds the folder or file NAME of the unpacked packages under root, with all that is in it.
func (r *Rootfs) Tree(root, name string) error {
	return filepath.WalkDir(filepath.Join(root, name), func(source string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("copying into an image: %w", err)
		}
		inside := strings.TrimPrefix(source, root)
		switch d.Type() {
		case fs.ModeDir:
			r.Dir(inside, 0o755, 0)
		case fs.ModeSymlink:
			target, err := os.Readlink(source)
			if err != nil {
				return fmt.Errorf("copying into an image: %w", err)
			}
			r.Link(inside, target)
		default:
			return r.Copy(inside, source)
		}
		return nil
	})
}

// Program adds the program (or plug-in) NAME of the unpacked packages under root, with the loader and all the libraries
// that it needs: what ldd finds, but without running it and without the machine's own libraries.
func (r *Rootfs) Program(root, name string) error {
	source, err := filepath.EvalSymlinks(filepath.Join(root, name))
	if err != nil {
		return fmt.Errorf("copying a program: %w", err)
	}
	return r.program(root, name, source)
}

// program adds the file at source under this name, and what it needs.
func (r *Rootfs) program(root, name, source string) error {
	if err := r.Copy(name, source); err != nil {
		return err
	}
	program, err := elf.Open(source)
	if err != nil {
		return fmt.Errorf("reading the program %q: %w", name, err)
	}
	defer program.Close()
	if err := r.loader(root, program); err != nil {
		return err
	}
	needed, err := program.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("reading what %q needs: %w", name, err)
	}
	for _, library := range needed {
		where, err := findLibrary(root, library)
		if err != nil {
			return fmt.Errorf("finding what %q needs: %w", name, err)
		}
		// One folder, of those that the loader searches without a cache: see ld.so(8).
		place := path.Join("/lib", filepath.Base(filepath.Dir(where)), library)
		if _, there := r.entries[place[1:]]; there {
			continue
		}
		if err := r.program(root, place, where); err != nil {
			return err
		}
	}
	return nil
}

// loader adds the program that the kernel starts a dynamic program with.
func (r *Rootfs) loader(root string, program *elf.File) error {
	for _, segment := range program.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		name, err := io.ReadAll(segment.Open())
		if err != nil {
			return fmt.Errorf("reading a program's loader: %w", err)
		}
		interpreter := strings.TrimRight(string(name), "\x00")
		where, err := findLibrary(root, path.Base(interpreter))
		if err != nil {
			return err
		}
		return r.Copy(interpreter, where)
	}
	return nil
}

func findLibrary(root, name string) (string, error) {
	for _, pattern := range []string{"lib/*-linux-gnu*", "usr/lib/*-linux-gnu*"} {
		found, err := filepath.Glob(filepath.Join(root, pattern, name))
		if err == nil && len(found) > 0 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("no package brought the library %q", name)
}

// write writes the file system as a tar that depends on nothing but what is in it: sorted, and without times.
func (r *Rootfs) write(w io.Writer) error {
	r.addParents()
	out := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(r.entries)) {
		e := r.entries[name]
		if e.header.Typeflag == tar.TypeDir {
			e.header.Name += "/"
		}
		if err := out.WriteHeader(&e.header); err != nil {
			return fmt.Errorf("writing a layer: %w", err)
		}
		if err := e.writeContent(out); err != nil {
			return fmt.Errorf("writing a layer: %w", err)
		}
	}
	return out.Close()
}

func (e entry) writeContent(w io.Writer) error {
	if e.source == "" {
		_, err := w.Write(e.content)
		return err
	}
	file, err := os.Open(e.source)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, file)
	return errors.Join(err, file.Close())
}

// addParents adds the folders that files stand in.
func (r *Rootfs) addParents() {
	for name := range maps.Clone(r.entries) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, there := r.entries[dir]; !there {
				r.Dir(dir, 0o755, 0)
			}
		}
	}
}

func tarMode(mode fs.FileMode) int64 {
	bits := int64(mode.Perm())
	if mode&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return bits
}
