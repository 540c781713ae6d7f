package bosh

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Files is the directory for the configs and secrets of containers, which are to stay off disks: below Run if that is in
// memory, else a directory of the user's own in shared memory. inMemory is false where neither is to be had; the directory
// then is below Run. None of them is made here.
func (p Paths) Files(uid int) (dir string, inMemory bool) {
	return p.filesIn(uid, "/dev/shm")
}

func (p Paths) filesIn(uid int, shared string) (dir string, inMemory bool) {
	dir = filepath.Join(p.Run, "files")
	if isInMemory(dir) {
		return dir, true
	}
	if info, err := os.Stat(shared); err == nil && info.IsDir() && isInMemory(shared) {
		sum := fnv.New64a()
		io.WriteString(sum, p.Run)
		return filepath.Join(shared, fmt.Sprintf("galley-%d-%x", uid, sum.Sum64())), true
	}
	return dir, false
}

// isInMemory tells whether a path is, or would be, on a file system that is not on a disk.
func isInMemory(path string) bool {
	var fs unix.Statfs_t
	for {
		err := unix.Statfs(path, &fs)
		if err == nil {
			return fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC
		}
		parent := filepath.Dir(path)
		if !errors.Is(err, unix.ENOENT) || parent == path {
			return false
		}
		path = parent
	}
}

// keySize is how many random bytes the machine's key has.
const keySize = 32

// Key is the machine's own key, with which secrets are digested. It is made when it is first asked for. Who loses it finds
// every secret changed, once.
func (p Paths) Key() ([]byte, error) {
	path := filepath.Join(p.State, "key")
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path); err != nil {
			return nil, fmt.Errorf("making the key %q: %w", path, err)
		}
		key, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	if len(key) != keySize {
		return nil, fmt.Errorf("reading the key %q: it has %d bytes, not %d", path, len(key), keySize)
	}
	return key, nil
}

// makeKey makes a key, unless another process was quicker: then that one's is kept.
func makeKey(path string) error {
	key := make([]byte, keySize)
	rand.Read(key) // never fails
	draft := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := WriteFile(draft, key); err != nil {
		return err
	}
	defer os.Remove(draft)
	if err := os.Link(draft, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
