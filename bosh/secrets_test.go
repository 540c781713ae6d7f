package bosh

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// memory is a directory in memory, which the test leaves empty.
func memory(t *testing.T) string {
	t.Helper()
	if !isInMemory("/dev/shm") {
		t.Skip("/dev/shm is not in memory here")
	}
	dir, err := os.MkdirTemp("/dev/shm", "galley-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestFilesAreKeptInMemory(t *testing.T) {
	shared := memory(t)
	if isInMemory(t.TempDir()) {
		t.Skip("the temporary directory is in memory here, and so is no example of a disk")
	}
	disk := t.TempDir()
	tests := map[string]struct {
		run, shared string
		dir         string
		inMemory    bool
	}{
		"the run directory":             {shared, disk, filepath.Join(shared, "files"), true},
		"a run directory yet to be":     {filepath.Join(shared, "a", "b"), disk, filepath.Join(shared, "a", "b", "files"), true},
		"shared memory":                 {disk, shared, shared + "/galley-7-", true},
		"a disk, if there is no memory": {disk, disk, filepath.Join(disk, "files"), false},
		"a disk, if nothing is shared":  {disk, filepath.Join(shared, "missing"), filepath.Join(disk, "files"), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir, inMemory := Paths{Run: test.run}.filesIn(7, test.shared)
			if !strings.HasPrefix(dir, test.dir) || inMemory != test.inMemory {
				t.Errorf("got %q, in memory: %v; want %q, %v", dir, inMemory, test.dir, test.inMemory)
			}
		})
	}
	one, _ := Paths{Run: disk}.filesIn(7, shared)
	two, _ := Paths{Run: filepath.Join(disk, "two")}.filesIn(7, shared)
	if one == two {
		t.Errorf("two run directories share %q", one)
	}
}

func TestAKeyIsMadeOnce(t *testing.T) {
	paths := Paths{State: filepath.Join(t.TempDir(), "state")}
	first, err := paths.Key()
	if err != nil {
		t.Fatal(err)
	}
	second, err := paths.Key()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) || len(first) != keySize {
		t.Errorf("got keys of %d and %d bytes, equal: %v", len(first), len(second), bytes.Equal(first, second))
	}
	entries, err := os.ReadDir(paths.State)
	if err != nil || len(entries) != 1 {
		t.Errorf("the state directory has %v, %v; want the key alone", entries, err)
	}
	if info, err := os.Stat(filepath.Join(paths.State, "key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v; want mode 0600", info.Mode(), err)
	}
}

func TestTheFirstOfTwoKeysIsKept(t *testing.T) {
	paths := Paths{State: t.TempDir()}
	first, err := paths.Key()
	if err != nil {
		t.Fatal(err)
	}
	if err := makeKey(filepath.Join(paths.State, "key")); err != nil {
		t.Fatal(err)
	}
	if second, err := paths.Key(); err != nil || !bytes.Equal(first, second) {
		t.Errorf("the key changed: %v", err)
	}
}

func TestABrokenKeyIsAnError(t *testing.T) {
	paths := Paths{State: t.TempDir()}
	if err := os.WriteFile(filepath.Join(paths.State, "key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := paths.Key(); err == nil || !strings.Contains(err.Error(), "5 bytes") {
		t.Errorf("got error %v", err)
	}
}
