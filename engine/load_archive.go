package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"

	"galley/imports"
)

// loads is what the loads of one plan have in common.
type loads struct {
	store    *Store
	scanner  imports.Scanner
	parallel int
	room     *room

	mu sync.Mutex
	// brought are the layers that this plan's loads have brought, as [Store.Chains].
	brought map[string]bool
}

func newLoads(store *Store, opts LoadOptions) *loads {
	l := &loads{store: store, scanner: opts.Scanner, parallel: opts.Parallel, room: newRoom(func() string { return store.Root }, store.Room), brought: map[string]bool{}}
	if l.parallel <= 0 {
		l.parallel = runtime.GOMAXPROCS(0)
	}
	return l
}

// bring notes which layers the Engine has through a load.
func (l *loads) bring(wanted []imports.Wanted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range wanted {
		for _, chain := range chains(w.Image.DiffIDs) {
			l.brought[chain] = true
		}
	}
}

// less is what remains wanted of images after the loads that have ended.
func (l *loads) less(wanted []imports.Wanted) []imports.Wanted {
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted = slices.Clone(wanted)
	for i, w := range wanted {
		if n := l.store.layersOf(w.Image, l.brought); n > w.Have {
			wanted[i].Have = n
		}
	}
	return wanted
}

// loadArchive loads images out of an archive.
type loadArchive struct {
	*loads
	archive imports.Archive
	wanted  []imports.Wanted
}

func (a loadArchive) Target() Target { return Target{Kind: KindTarball, Name: a.archive.Path} }
func (loadArchive) Verb() Verb       { return VerbLoad }

func (a loadArchive) do(ctx context.Context, r *run) error {
	a.wanted = a.less(a.wanted)
	done, err := a.room.take(ctx, 2*a.spool())
	if err == nil {
		if err = a.load(ctx, r); a.lost(err) {
			err = a.whole().load(ctx, r)
		}
		done()
	}
	if err == nil {
		a.bring(a.wanted)
	}
	if ctx.Err() != nil {
		return errLeft // the Engine acts on an archive's end alone, so nothing came of its beginning
	}
	return err
}

// lost tells whether a load failed because a layer that was there has gone meanwhile. That is one that was left out, or, in
// the containerd image store, one that a load which was broken off has left: it is collected as garbage while the next load
// relies on it. Source: containerd, core/metadata/content.go.
func (a loadArchive) lost(err error) bool {
	switch {
	case err == nil || is[*imports.Error](err):
		return false
	case a.store.Containerd:
		return strings.Contains(err.Error(), "content digest sha256:") && strings.Contains(err.Error(), "not found")
	}
	return a.omits() && strings.Contains(err.Error(), "no such file")
}

// omits tells whether layers are left out that the Engine has.
func (a loadArchive) omits() bool {
	return slices.ContainsFunc(a.wanted, func(w imports.Wanted) bool { return w.Have > 0 })
}

// whole is the load with all layers.
func (a loadArchive) whole() loadArchive {
	a.wanted = slices.Clone(a.wanted)
	for i := range a.wanted {
		a.wanted[i].Have = 0
	}
	return a
}

// load streams the archive to the Engine, and holds its answer against what was promised. The Engine is asked only once there
// is something to send: until then the reading may wait for memory.
func (a loadArchive) load(ctx context.Context, r *run) error {
	meter := newMeter(a.archive.Size, r.amount)
	ctx, patience := newPatience(ctx, r.opts.FinishWithin+a.unpacking())
	defer patience.end()
	read, write := io.Pipe()
	streamed := make(chan error, 1)
	go func() {
		buffer := bufio.NewWriterSize(write, 128<<10)
		err := a.scanner.Stream(ctx, buffer, a.archive, a.wanted, imports.StreamOptions{
			Unpack: a.store.cantUnpack(),
			Progress: func(passed int64) {
				patience.renew()
				meter.passed(passed)
			},
		})
		if err == nil {
			err = buffer.Flush()
		}
		write.CloseWithError(err)
		streamed <- err
	}()
	var loaded []string
	content := bufio.NewReaderSize(read, 128<<10)
	_, err := content.Peek(1)
	if err == nil {
		patience.begin()
		loaded, err = r.sendArchive(ctx, content, func(done, total int64) {
			patience.renew()
			meter.unpacked(done, total)
		})
	}
	read.Close() // an Engine that refused has perhaps not read all
	switch streamErr := <-streamed; {
	case is[*imports.Error](streamErr):
		return streamErr
	case err != nil:
		return errors.Join(r.explain(ctx, err), a.withdraw(ctx, r))
	}
	return a.check(ctx, r, loaded)
}

// sendArchive has the Engine load an archive, and returns the tags and IDs that it tells.
func (r *run) sendArchive(ctx context.Context, content io.Reader, progress func(done, total int64)) ([]string, error) {
	answer, err := r.api.ImageLoad(ctx, content, client.ImageLoadWithQuiet(false))
	if err != nil {
		return nil, err
	}
	loaded, err := readLoad(answer.Body, progress)
	return loaded, errors.Join(err, answer.Body.Close())
}

// unpacking is how long the Engine may take for an archive without a word, on top of what any call may take: it is silent
// while it unpacks a layer into the containerd image store. 4 MB a second is a slow disk.
func (a loadArchive) unpacking() time.Duration {
	return time.Duration(a.spool()/(4<<20)) * time.Second
}

// cantUnpack tells which compressions of layers an Engine can't undo: xz it leaves to a program that may not be there, and
// zstd it knows since 23.0. Source: moby, pkg/archive.
func (s *Store) cantUnpack() func(imports.Compression) bool {
	old := versions.LessThan(s.API, "1.42")
	return func(how imports.Compression) bool {
		return how == imports.Xz || how == imports.Zstd && old
	}
}

// check holds what the Engine says it loaded, and what it shows of it, against what was promised.
func (a loadArchive) check(ctx context.Context, r *run, loaded []string) error {
	ctx, cancel := context.WithTimeout(ctx, r.opts.AnswerWithin)
	defer cancel()
	for _, w := range a.wanted {
		for _, tag := range w.Tags {
			if !slices.Contains(loaded, tag) {
				return fmt.Errorf("%w: it says nothing of %q", errUnlike, tag)
			}
		}
		id, err := a.identify(ctx, r, w, loaded)
		if err != nil {
			return err
		}
		if a.store.Containerd {
			a.scanner.Record.SetManifest(w.Image.ID, id)
		} else if err := a.date(ctx, r, id, w.Tags); err != nil {
			return err
		}
	}
	return nil
}

// date gives an image the tags that it was loaded with once more. Graph drivers note no time of a load, so that a policy that
// goes by an image's age, as daily, would ask the registry at each update; the containerd image store does. See [pullImage.date].
func (a loadArchive) date(ctx context.Context, r *run, id string, tags []string) error {
	for _, tag := range tags {
		if err := r.api.ImageTag(ctx, id, tag); err != nil {
			return fmt.Errorf("noting when %q was loaded: %w", tag, err)
		}
	}
	return nil
}

// identify finds a loaded image, by its tag, or, if it has none, among the IDs that the Engine told.
func (a loadArchive) identify(ctx context.Context, r *run, w imports.Wanted, loaded []string) (id string, err error) {
	refs := loaded
	switch {
	case len(w.Tags) > 0:
		refs = w.Tags[:1]
	case !a.store.Containerd:
		refs = []string{w.Image.ID}
	}
	for _, ref := range refs {
		have, err := r.api.ImageInspect(ctx, ref)
		if err != nil {
			return "", fmt.Errorf("looking for image %q after its load: %w", ref, err)
		}
		if slices.Equal(have.RootFS.Layers, w.Image.DiffIDs) && (a.store.Containerd || have.ID == w.Image.ID) {
			return have.ID, nil
		}
	}
	return "", fmt.Errorf("%w: image %q is another one there", errUnlike, w.Image.Name())
}

// withdraw takes the tags back that a failed load left in the containerd image store, which tags before it unpacks. Other
// stores tag what is whole alone.
func (a loadArchive) withdraw(ctx context.Context, r *run) error {
	if !a.store.Containerd {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.opts.AnswerWithin)
	defer cancel()
	now, err := r.Store(ctx)
	if err != nil {
		return fmt.Errorf("taking back what the failed load left: %w", err)
	}
	var errs []error
	for _, w := range a.wanted {
		for _, tag := range w.Tags {
			switch before := a.store.tagged(tag); {
			case now.tagged(tag) == before:
			case before != "":
				errs = append(errs, r.api.ImageTag(ctx, before, tag))
			default:
				_, err := r.api.ImageRemove(ctx, tag, image.RemoveOptions{})
				errs = append(errs, gone(err))
			}
		}
	}
	return errors.Join(errs...)
}

// readLoad follows the stream of POST /images/load and returns the tags and IDs that it tells. The Engine answers 200 and
// puts later errors into the stream. Source: moby, image/tarexport/load.go and daemon/containerd/image_exporter.go.
func readLoad(stream io.Reader, progress func(done, total int64)) ([]string, error) {
	type line struct {
		Stream   string
		Error    string
		ID       string
		Progress struct{ Current, Total int64 } `json:"progressDetail"`
	}
	var loaded []string
	for lines := json.NewDecoder(stream); ; {
		var l line
		err := lines.Decode(&l)
		switch {
		case errors.Is(err, io.EOF):
			return loaded, nil
		case err != nil:
			return loaded, fmt.Errorf("reading the engine's answer: %w", err)
		case l.Error != "":
			return loaded, errors.New(l.Error)
		case l.Progress.Total > 0:
			progress(l.Progress.Current, l.Progress.Total)
		}
		for _, prefix := range []string{"Loaded image: ", "Loaded image ID: "} {
			if name, ok := strings.CutPrefix(strings.TrimSpace(l.Stream), prefix); ok {
				loaded = append(loaded, name)
			}
		}
	}
}
