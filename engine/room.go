package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"
)

// SpaceError says that what is to be pulled or loaded does not fit where the Engine keeps its data.
type SpaceError struct {
	// Path is a directory of the file system in question; Need and Free are bytes.
	Path       string
	Need, Free int64
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("the images need %s in %q, and %s are free", size(e.Need), e.Path, size(e.Free))
}

// TellsFullDisk tells whether a failure's text is of a full disk, this machine's own or, in the Engine's words, the Engine's.
func TellsFullDisk(text string) bool { return strings.Contains(text, unix.ENOSPC.Error()) }

func isFullDisk(err error) bool { return TellsFullDisk(err.Error()) }

func size(bytes int64) string { return units.HumanSizeWithPrecision(float64(bytes), 3) }

// free is the space that is left for the Engine's data, in bytes; ok is false where it can't be known: the Engine is on
// another machine, or in a container of its own.
func free(root string) (bytes int64, ok bool) {
	var fs unix.Statfs_t
	if root == "" || unix.Statfs(filepath.Join(root, "tmp"), &fs) != nil && unix.Statfs(root, &fs) != nil {
		return 0, false
	}
	return int64(fs.Bavail) * fs.Bsize, true
}

// dataRoot asks where the Engine keeps its data; "" where it is on another machine, or does not tell.
func (e *Engine) dataRoot() string {
	ctx, cancel := context.WithTimeout(context.Background(), e.opts.AnswerWithin)
	defer cancel()
	info, err := e.api.Info(ctx)
	if err != nil || !strings.HasPrefix(e.Host, "unix://") {
		return ""
	}
	return info.DockerRootDir
}

// fits checks that there is room for what the plan loads. It counts no more than what is needed at least: every layer that
// is not there once, and once more the largest archive's, which the Engine spools before it unpacks them. An empty plan needs
// no room at all.
func (s *Store) fits(plan *Plan) error {
	have, ok := free(s.Root)
	if !ok || len(plan.Loads()) == 0 {
		return nil
	}
	var layers, spool int64
	seen := map[string]bool{}
	for _, step := range plan.Steps {
		a, ok := step.Action.(loadArchive)
		if !ok {
			continue
		}
		spool = max(spool, a.spool())
		for _, p := range a.parts() {
			if !seen[p.chain] && !s.Chains[p.chain] {
				layers += p.bytes
			}
			seen[p.chain] = true
		}
	}
	if need := max(layers+spool, s.Room); need > have {
		return &SpaceError{Path: s.Root, Need: need, Free: have}
	}
	return nil
}

// spool is about how many bytes the Engine gets of an archive; the archive's own size where its layers' are not known.
func (a loadArchive) spool() int64 {
	var bytes int64
	seen := map[string]bool{}
	for _, w := range a.wanted {
		for i, l := range w.Image.Layers {
			if i < w.Have || seen[l.File] {
				continue
			}
			if l.Size == 0 {
				return a.archive.Size
			}
			seen[l.File] = true
			bytes += l.Size
		}
	}
	return bytes
}

// room is the one guard of the disk that everything else on the machine lives on. It hands out the space that loads need
// while they are under way, for the spool and for the layers, each; how much a pull will take nobody tells.
type room struct {
	// root is where the Engine keeps its data, "" where that can't be seen from here.
	root func() string
	// least is how many bytes must be free before anything is brought.
	least int64

	mu    sync.Mutex
	taken int64
	// given is closed, and made anew, when space is given back.
	given chan struct{}
}

func newRoom(root func() string, least int64) *room {
	return &room{root: root, least: least, given: make(chan struct{})}
}

// take waits until there are bytes beside what was taken already, or nothing is under way any more: then the Engine itself
// must say whether it fits, but for a disk that is full, which is a *SpaceError. The function returned gives the room back.
func (r *room) take(ctx context.Context, bytes int64) (func(), error) {
	root := r.root()
	for {
		r.mu.Lock()
		have, ok := free(root)
		full := ok && have-r.taken < r.least
		if !ok || !full && (r.taken == 0 || have-r.taken >= bytes) {
			r.taken += bytes
			r.mu.Unlock()
			return func() { r.give(bytes) }, nil
		}
		idle, given := r.taken == 0, r.given
		r.mu.Unlock()
		if idle {
			return nil, &SpaceError{Path: root, Need: r.least, Free: have}
		}
		select {
		case <-given:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *room) give(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken -= bytes
	close(r.given)
	r.given = make(chan struct{})
}
