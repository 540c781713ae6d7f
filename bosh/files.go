package bosh

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// File is an entry of the property files, as the template config/files.json.erb renders it.
type File struct {
	// Name is the path below the project's directory.
	Name string `json:"name"`
	// Content is all of it, byte by byte (base64 in JSON).
	Content []byte `json:"content"`
	// Mode are the permissions in octal digits.
	Mode string `json:"mode"`
}

// defaultMode is that of the original release.
const defaultMode = 0o644

// ReadFiles reads the rendered files and checks their names and modes. What is wrong names the property.
func (v VM) ReadFiles() ([]File, error) {
	var files []File
	if err := readJSON(v.Files(), &files); err != nil {
		return nil, fmt.Errorf("reading the job's files: %w", err)
	}
	var wrong []error
	for _, f := range files {
		if err := checkName(f.Name); err != nil {
			wrong = append(wrong, fmt.Errorf("property %q: %q: %w", "files", f.Name, err))
		}
		if _, err := f.mode(); err != nil {
			wrong = append(wrong, fmt.Errorf("property %q: %q: %w", "file_modes", f.Name, err))
		}
	}
	return files, errors.Join(append(wrong, checkClashes(files)...)...)
}

// checkName refuses what could leave the project's directory, or take the recipe's place.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a file needs a name")
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("the name has a control character")
	case strings.HasPrefix(name, "/"):
		return errors.New("the path is absolute: it must be relative to the recipe's $PWD")
	case slices.Contains(strings.Split(name, "/"), ".."):
		return errors.New(`the path has a "..": it must stay below the recipe's $PWD`)
	case path.Clean(name) == "." || strings.HasSuffix(name, "/"):
		return errors.New("the path names a directory")
	case path.Clean(name) == "docker-compose.yml":
		return errors.New("the recipe itself has that name")
	}
	return nil
}

// checkClashes refuses files of one name, and a file where another one needs a directory.
func checkClashes(files []File) (wrong []error) {
	known := map[string]bool{}
	for _, f := range files {
		name := path.Clean(f.Name)
		if known[name] {
			wrong = append(wrong, fmt.Errorf("property %q: there are two files %q", "files", name))
		}
		known[name] = true
	}
	for _, f := range files {
		for dir := path.Dir(path.Clean(f.Name)); dir != "." && dir != "/"; dir = path.Dir(dir) {
			if known[dir] {
				wrong = append(wrong, fmt.Errorf("property %q: %q is a file, and %q needs a directory of that name", "files", dir, f.Name))
			}
		}
	}
	return wrong
}

func (f File) mode() (uint32, error) {
	if f.Mode == "" {
		return defaultMode, nil
	}
	mode, err := strconv.ParseUint(f.Mode, 8, 32)
	if err != nil || mode > 0o777 {
		return 0, fmt.Errorf(`%q are no permissions: three octal digits, as "0755"`, f.Mode)
	}
	return uint32(mode), nil
}

// Digest tells one content and mode of a file from another.
func (f File) Digest() string {
	mode, _ := f.mode() // checked when the file was read
	sum := sha256.New()
	fmt.Fprintf(sum, "%o %d ", mode, len(f.Content))
	sum.Write(f.Content)
	return hex.EncodeToString(sum.Sum(nil))
}

// Unpack writes files below dir: each as a whole or not at all, only where something is to be changed, and never through a
// symbolic link, which a container that has the directory mounted could have put there.
func Unpack(dir string, files []File) error {
	root, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening the directory of files, %q: %w", dir, err)
	}
	defer unix.Close(root)
	var failed []error
	for _, f := range files {
		if err := f.unpack(root); err != nil {
			failed = append(failed, fmt.Errorf("property %q: writing %q: %w", "files", f.Name, err))
		}
	}
	return errors.Join(failed...)
}

func (f File) unpack(root int) error {
	if err := checkName(f.Name); err != nil {
		return err
	}
	mode, err := f.mode()
	if err != nil {
		return err
	}
	dir, name := path.Split(path.Clean(f.Name))
	parent, err := openParents(root, dir)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	same, err := f.isThere(parent, name, mode)
	if same || err != nil {
		return err
	}
	return f.write(parent, name, mode)
}

// openParents opens, and makes where they are missing, the directories in which a file stands.
func openParents(root int, dir string) (int, error) {
	at, err := unix.Dup(root)
	if err != nil {
		return -1, err
	}
	for name := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		if name == "" {
			continue
		}
		next, err := openDirectory(at, name)
		unix.Close(at)
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
			return -1, fmt.Errorf("%q is a symbolic link or no directory", name)
		}
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

func openDirectory(at int, name string) (int, error) {
	if err := unix.Mkdirat(at, name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	return unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// isThere tells whether the file is as it shall be. What stands in its place must be a file.
func (f File) isThere(parent int, name string, mode uint32) (bool, error) {
	var info unix.Stat_t
	err := unix.Fstatat(parent, name, &info, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err != nil:
		return false, err
	case info.Mode&unix.S_IFMT != unix.S_IFREG:
		return false, errors.New("what has that name is a symbolic link, a directory or a device")
	case info.Mode&0o7777 != mode || info.Size != int64(len(f.Content)):
		return false, nil
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, info.Size+1))
	return bytes.Equal(content, f.Content), err
}

// write writes the file under another name and renames it. The rename replaces what is there, whatever it has become.
func (f File) write(parent int, name string, mode uint32) error {
	draft := "." + name + ".galley"
	if err := unix.Unlinkat(parent, draft, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	fd, err := unix.Openat(parent, draft, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), draft)
	_, err = file.Write(f.Content)
	err = errors.Join(err, unix.Fchmod(fd, mode), file.Sync(), file.Close())
	if err == nil {
		err = unix.Renameat(parent, draft, parent, name)
	}
	if err != nil {
		return errors.Join(err, unix.Unlinkat(parent, draft, 0))
	}
	return nil
}
