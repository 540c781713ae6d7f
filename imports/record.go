package imports

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Record remembers what scans found, so that archives which did not change are not read again. It is a cache alone: what is
// lost or damaged costs another look. A nil one remembers nothing; the methods may be called from several goroutines.
type Record struct {
	path string
	now  func() time.Time

	mu      sync.Mutex
	content recordContent
	changed bool
}

// recordContent is what the file holds, as JSON, behind a line with its checksum.
type recordContent struct {
	// Archives are by path. The key is another one whenever more is found in them than before.
	Archives map[string]recordedArchive `json:"archives.2"`
	// Manifests are by the configuration's digest; see [Record.Manifest].
	Manifests map[string]string `json:"manifests"`
}

// recordedArchive is an archive with all by which its file is known to be the same.
type recordedArchive struct {
	Inode   uint64    `json:"inode"`
	Changed time.Time `json:"changed"`
	// Verified says that its layers were compared with their digests.
	Verified bool     `json:"verified"`
	Machine  Platform `json:"machine"`
	Archive  Archive  `json:"archive"`
}

// maxRecord is far more than thousands of archives take, in bytes.
const maxRecord = 64 << 20

// OpenRecord reads what earlier scans left at path. What can't be read, or is not whole, counts as nothing.
func OpenRecord(path string) *Record {
	r := &Record{path: path, now: time.Now}
	if info, err := os.Stat(path); err == nil && info.Size() <= maxRecord {
		text, _ := os.ReadFile(path)
		sum, body, _ := bytes.Cut(text, []byte("\n"))
		if string(sum) != checksum(body) || json.Unmarshal(body, &r.content) != nil {
			r.content = recordContent{}
		}
	}
	if r.content.Archives == nil {
		r.content.Archives = map[string]recordedArchive{}
	}
	if r.content.Manifests == nil {
		r.content.Manifests = map[string]string{}
	}
	return r
}

func checksum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Save writes what is new, whole or not at all. What is recorded of files that are gone is dropped.
func (r *Record) Save() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for path := range r.content.Archives {
		if _, err := os.Stat(path); err != nil {
			delete(r.content.Archives, path)
			r.changed = true
		}
	}
	if !r.changed {
		return nil
	}
	body, err := json.Marshal(r.content)
	if err == nil {
		err = replaceFile(r.path, append([]byte(checksum(body)+"\n"), body...))
	}
	if err != nil {
		return fmt.Errorf("recording what the tarballs hold: %w", err)
	}
	r.changed = false
	return nil
}

// replaceFile writes a file that only its owner reads, by renaming: nobody sees half of it.
func replaceFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	draft, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name())
	_, err = draft.Write(content)
	if closing := draft.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return os.Rename(draft.Name(), path)
}

// Manifest is the digest of the manifest that an image's configuration came under when it was loaded into the containerd
// image store: the image's ID there. "" if nothing is known. It can't be untrue of another Engine: a manifest's digest names
// its configuration.
func (r *Record) Manifest(id string) string {
	if r == nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.content.Manifests[id]
}

// SetManifest remembers what [Record.Manifest] gives.
func (r *Record) SetManifest(id, manifest string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.content.Manifests[id] != manifest {
		r.content.Manifests[id], r.changed = manifest, true
	}
}

// find gives what was recorded of a file, if it did not change and what was found then says as much as is asked now.
func (r *Record) find(path string, info fs.FileInfo, machine Platform, verify, summed bool) *Archive {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	had, ok := r.content.Archives[absolute(path)]
	inode, changed := identity(info)
	if !ok || had.Inode != inode || !had.Changed.Equal(changed) || had.Archive.Size != info.Size() ||
		!had.Archive.Modified.Equal(info.ModTime()) || had.Machine != machine || verify && !had.Verified || summed && had.Archive.Digest == "" {
		return nil
	}
	a := had.Archive
	return &a
}

// keep records what was found in a file. One that changed just now may change again without a trace: a clock's tick is as
// fine as file systems tell. Then it is read once more the next time.
func (r *Record) keep(a Archive, info fs.FileInfo, machine Platform, verified bool) {
	if r == nil {
		return
	}
	inode, changed := identity(info)
	tick := 50 * time.Millisecond
	if changed.Nanosecond() == 0 {
		tick = 2 * time.Second // a file system that counts seconds
	}
	if r.now().Sub(changed) < tick {
		return
	}
	a.Listed = nil
	r.mu.Lock()
	defer r.mu.Unlock()
	r.content.Archives[absolute(a.Path)] = recordedArchive{inode, changed, verified, machine, a}
	r.changed = true
}

// absolute is a path that means the same wherever the process is.
func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// identity is what tells a file from another with the same name, size and time of modification.
func identity(info fs.FileInfo) (inode uint64, changed time.Time) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino, time.Unix(s.Ctim.Unix()).UTC()
	}
	return 0, time.Time{}
}
