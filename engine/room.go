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

// SpaceError says that what is to be loaded does not fit where the Engine keeps its data.
type SpaceError struct {
	// Path is a directory of the file system in question; Need and Free are bytes.
	Path       string
	Need, Free int64
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("the images need %s in %q, and %s are free", size(e.Need), e.Path, size(e.Free))
}

// isFullDisk tells whether something failed of a full disk, this machine's own or, in the Engine's words, the Engine's.
func isFullDisk(err error) bool { return strings.Contains(err.Error(), unix.ENOSPC.Error()) }

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

// roomToPull refuses a pull that would fill the disk that everything else on the machine lives on.
func (r *run) roomToPull() error {
	if r.opts.PullRoom < 0 {
		return nil
	}
	root := r.dataRoot()
	if have, ok := free(root); ok && have < r.opts.PullRoom {
		return &SpaceError{Path: root, Need: r.opts.PullRoom, Free: have}
	}
	return nil
}

// fits checks that there is room for what the plan loads. It counts no more than what is needed at least: every layer that
// is not there once, and once more the largest archive's, which the Engine spools before it unpacks them.
func (s *Store) fits(plan *Plan) error {
	have, ok := free(s.Root)
	if !ok {
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
		for _, w := range a.wanted {
			for i, chain := range chains(w.Image.DiffIDs) {
				if !seen[chain] && !s.Chains[chain] {
					layers += w.Image.Layers[i].Size
				}
				seen[chain] = true
			}
		}
	}
	if need := layers + spool; need > have {
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

// room hands out the space that loads need while they are under way: for the spool and for the layers, each.
type room struct {
	root string

	mu    sync.Mutex
	taken int64
	// given is closed, and made anew, when space is given back.
	given chan struct{}
}

func newRoom(root string) *room { return &room{root: root, given: make(chan struct{})} }

// take waits until there is room for a load beside those under way, or none is under way any more: then the Engine itself
// must say whether it fits. The function returned gives the room back.
func (r *room) take(ctx context.Context, spool int64) (func(), error) {
	bytes := 2 * spool
	for {
		r.mu.Lock()
		have, ok := free(r.root)
		if !ok || r.taken == 0 || have-r.taken >= bytes {
			r.taken += bytes
			r.mu.Unlock()
			return func() { r.give(bytes) }, nil
		}
		given := r.given
		r.mu.Unlock()
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
