package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"golang.org/x/sync/errgroup"
)

// Prune says which images shall go. Those that a container was created from stay in any case, whosever it is.
type Prune struct {
	Project string
	// Wanted are the references and ids of images that must stay: those of the recipe, and of what can be gone back to.
	Wanted []string
	// Known are further references whose repositories are the project's own: what it once used.
	Known []string
	// All lets images go too that may be another project's.
	All bool
	// Age is how long ago an image that goes was last tagged, at least.
	Age time.Duration
	// KeepFree, if not 0, lets only as many go, the oldest first, as it takes to have that many bytes free for the Engine's data.
	KeepFree int64
}

// Unwanted is an image that shall go.
type Unwanted struct {
	ID string
	// Names are its tags, none for one that lost them.
	Names []string
	// Size is what it takes, in bytes, together with layers that it shares with others.
	Size int64
	// Tagged is when it was last tagged on this Engine; where that isn't known, when it was made.
	Tagged time.Time
}

// PlanPrune plans the removal of images that nobody wants, the oldest first.
func (e *Engine) PlanPrune(ctx context.Context, p Prune) (*Plan, []Unwanted, error) {
	images, used, root, err := e.stored(ctx)
	if err != nil {
		return nil, nil, err
	}
	unwanted := p.choose(images, used)
	if err := e.date(ctx, unwanted); err != nil {
		return nil, nil, err
	}
	now := time.Now()
	unwanted = slices.DeleteFunc(unwanted, func(u Unwanted) bool { return now.Sub(u.Tagged) < p.Age })
	slices.SortFunc(unwanted, func(a, b Unwanted) int { return cmp.Or(a.Tagged.Compare(b.Tagged), cmp.Compare(a.ID, b.ID)) })
	if p.KeepFree > 0 {
		have, ok := free(root)
		if !ok {
			return nil, nil, fmt.Errorf("how much is free can't be seen from here: the engine at %s keeps its data elsewhere", e.Host)
		}
		unwanted = enough(unwanted, p.KeepFree-have)
	}
	var g graph
	for _, u := range unwanted {
		why := "unwanted, " + size(u.Size)
		names := u.Names
		if len(names) == 0 {
			names = []string{u.ID}
		}
		var before *node
		for _, name := range names {
			before = g.add(removeImage{name}, why, before)
		}
	}
	return &Plan{Project: p.Project, Steps: g.steps()}, unwanted, nil
}

// stored reads the images, the ids of those that containers were created from, and where the Engine keeps its data, "" on
// another machine.
func (e *Engine) stored(ctx context.Context) (images []image.Summary, used map[string]bool, root string, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	used = map[string]bool{}
	calls, ctx := errgroup.WithContext(ctx)
	calls.Go(func() (err error) {
		images, err = e.images(ctx)
		return err
	})
	calls.Go(func() error {
		containers, err := e.api.ContainerList(ctx, container.ListOptions{All: true})
		for _, c := range containers {
			used[c.ImageID] = true
		}
		return e.reading(ctx, "containers", err)
	})
	calls.Go(func() error {
		root = e.dataRoot()
		return nil
	})
	return images, used, root, calls.Wait()
}

// choose picks the images that may go by their names and users.
func (p Prune) choose(images []image.Summary, used map[string]bool) []Unwanted {
	state := &State{Images: images}
	wanted, repositories := map[string]bool{}, map[string]bool{}
	for _, ref := range p.Wanted {
		repositories[repositoryOf(ref)] = true
		if img := state.image(ref); img != nil {
			wanted[img.ID] = true
		}
	}
	for _, ref := range p.Known {
		repositories[repositoryOf(ref)] = true
	}
	var unwanted []Unwanted
	for _, img := range images {
		names := slices.DeleteFunc(slices.Clone(img.RepoTags), func(tag string) bool { return tag == "<none>:<none>" })
		own := !slices.ContainsFunc(slices.Concat(names, img.RepoDigests), func(name string) bool {
			return !repositories[repositoryOf(name)] && !strings.HasPrefix(name, "<none>")
		})
		if wanted[img.ID] || used[img.ID] || !own && !p.All {
			continue
		}
		unwanted = append(unwanted, Unwanted{ID: img.ID, Names: names, Size: img.Size, Tagged: time.Unix(img.Created, 0)})
	}
	return unwanted
}

// repositoryOf is a reference without its tag and digest, in full.
func repositoryOf(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	return named.Name()
}

// date finds out when images were last tagged.
func (e *Engine) date(ctx context.Context, unwanted []Unwanted) error {
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	calls, ctx := errgroup.WithContext(ctx)
	calls.SetLimit(e.opts.Parallel)
	for i := range unwanted {
		calls.Go(func() error {
			img, err := e.api.ImageInspect(ctx, unwanted[i].ID)
			if err != nil {
				return e.reading(ctx, "image", err)
			}
			if tagged := img.Metadata.LastTagTime; tagged.Unix() > 0 {
				unwanted[i].Tagged = tagged
			}
			return nil
		})
	}
	return calls.Wait()
}

// enough are the first images that together take at least that many bytes.
func enough(unwanted []Unwanted, bytes int64) []Unwanted {
	for i, u := range unwanted {
		if bytes <= 0 {
			return unwanted[:i]
		}
		bytes -= u.Size
	}
	return unwanted
}
