package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/system"
	"golang.org/x/sync/errgroup"

	"galley/imports"
)

// LoadOptions say how archives are loaded.
type LoadOptions struct {
	// Scanner is the one that the archives were scanned with.
	Scanner imports.Scanner
	// Parallel is how many archives are loaded at once; 0 is one for each CPU.
	Parallel int
	// Refs are what recipes call images. One that is named by a registry's digest gets its [imports.DigestTag], whatever the
	// archive calls it, unless the Engine has it by that digest.
	Refs []string
	// Broken are the paths of archives that turned out to be so: nothing is loaded of them. They have a say in tags
	// nevertheless, for none to go to an image that another one was to replace.
	Broken []string
}

// Store is what an Engine has of images, and how it keeps them.
type Store struct {
	Images []image.Summary
	// Containerd says that it is containerd's image store, where an image's ID is its manifest's digest, not its
	// configuration's.
	Containerd bool
	// API is the negotiated Engine API version.
	API string
	// Root is the Engine's data root if it is on this machine, else "".
	Root string
	// Room is how many bytes must be free there before anything is loaded.
	Room int64
	// Chains are the layers that images have, each together with those below it, as [chains] names them. Nil is none known.
	Chains map[string]bool
	// Known are the IDs of images that were recognised by what is in them, by their configurations' digests.
	Known map[string]string
}

// Store reads what the Engine has of images, in two calls at the same time.
func (e *Engine) Store(ctx context.Context) (*Store, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	type answer struct {
		images []image.Summary
		err    error
	}
	list := make(chan answer, 1)
	go func() {
		images, err := e.images(ctx)
		list <- answer{images, err}
	}()
	info, err := e.api.Info(ctx)
	if err != nil {
		return nil, e.reading(ctx, "engine", err)
	}
	s := &Store{API: e.API, Room: e.opts.PullRoom, Containerd: byContainerd(info)}
	if strings.HasPrefix(e.Host, "unix://") {
		s.Root = info.DockerRootDir
	}
	a := <-list
	s.Images = a.images
	return s, a.err
}

// byContainerd tells whether it is containerd's image store that keeps the images. Source: moby, daemon/containerd/service.go.
func byContainerd(info system.Info) bool {
	return slices.ContainsFunc(info.DriverStatus, func(status [2]string) bool {
		return status[0] == "driver-type" && strings.HasPrefix(status[1], "io.containerd.snapshotter.")
	})
}

// find returns the Engine's ID of an archive's image, "" if the Engine lacks it.
func (s *Store) find(img imports.Image, record *imports.Record) string {
	ids := []string{img.ID}
	if s.Containerd {
		ids = []string{img.Digest, record.Manifest(img.ID), s.Known[img.ID]}
	}
	for _, have := range s.Images {
		if slices.Contains(ids, have.ID) {
			return have.ID
		}
	}
	return ""
}

// tagged returns the ID of the image that has a tag, "" if none has.
func (s *Store) tagged(tag string) string {
	for _, have := range s.Images {
		if slices.Contains(have.RepoTags, tag) {
			return have.ID
		}
	}
	return ""
}

// knows tells whether the Engine has what a reference names by digest, by that.
func (s *Store) knows(ref string) bool {
	_, digest := canonical(ref)
	return slices.ContainsFunc(s.Images, func(have image.Summary) bool { return slices.Contains(have.RepoDigests, digest) })
}

// PlanLoad compares what archives hold with what the Engine has, and returns the plan that loads and tags what is missing:
// each image once, whatever the number of archives that hold it. Where several give one tag to different images, the last
// one's counts, as when they are loaded in a row, and the plan warns. Images for other machines are left out.
//
// A machine without room for the plan is a *SpaceError.
func (e *Engine) PlanLoad(ctx context.Context, archives []imports.Archive, opts LoadOptions) (*Plan, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	plan := DiffImages(archives, store, opts)
	if len(plan.Loads()) > 0 {
		have, err := e.inspectAll(ctx, store.Images)
		if err != nil {
			return nil, err
		}
		store.recognise(have, plan.Loads(), opts.Scanner.Record)
		plan = DiffImages(archives, store, opts)
	}
	return plan, store.fits(plan)
}

// inspectAll reads what images are. One that goes away meanwhile is passed over.
func (e *Engine) inspectAll(ctx context.Context, images []image.Summary) ([]image.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.FinishWithin)
	defer cancel()
	have := make([]image.InspectResponse, len(images))
	calls, ctx := errgroup.WithContext(ctx)
	calls.SetLimit(e.opts.Parallel)
	for i, img := range images {
		calls.Go(func() (err error) {
			have[i], err = e.api.ImageInspect(ctx, img.ID)
			if errdefs.IsNotFound(err) {
				return nil
			}
			return e.reading(ctx, "image", err)
		})
	}
	return have, calls.Wait()
}

// recognise takes note of the layers that the Engine has, and, in the containerd image store, which of its images are among
// those wanted although others brought them: it tells no configuration's digest, but all that is in one.
func (s *Store) recognise(have []image.InspectResponse, wanted []imports.Wanted, record *imports.Record) {
	s.Chains, s.Known = map[string]bool{}, map[string]string{}
	for _, img := range have {
		for _, chain := range chains(img.RootFS.Layers) {
			s.Chains[chain] = true
		}
		if !s.Containerd || img.ID == "" {
			continue
		}
		print := fingerprint(img)
		for _, w := range wanted {
			if print != "" && print == w.Image.Fingerprint && slices.Equal(img.RootFS.Layers, w.Image.DiffIDs) {
				s.Known[w.Image.ID] = img.ID
				record.SetManifest(w.Image.ID, img.ID)
			}
		}
	}
}

// fingerprint is that of an image's configuration, by the Engine's description of it.
func fingerprint(img image.InspectResponse) string {
	text, _ := json.Marshal(img) // an answer that was JSON
	return imports.Fingerprint(text)
}

// chains names each layer of an image together with those below it, by which graph drivers keep it.
// Source: OCI image-spec, config, "Layer ChainID".
func chains(diffIDs []string) []string {
	all := make([]string, len(diffIDs))
	for i, id := range diffIDs {
		all[i] = id
		if i > 0 {
			sum := sha256.Sum256([]byte(all[i-1] + " " + id))
			all[i] = "sha256:" + hex.EncodeToString(sum[:])
		}
	}
	return all
}

// layersOf is how many of an image's lowest layers the Engine has, by these chains or by its own. Graph drivers ask for no
// layer that they have; the containerd image store wants them all.
func (s *Store) layersOf(img imports.Image, more map[string]bool) int {
	if s.Containerd {
		return 0
	}
	for i, chain := range chains(img.DiffIDs) {
		if !s.Chains[chain] && !more[chain] {
			return i
		}
	}
	return len(img.DiffIDs)
}

// DiffImages is the comparison that [Engine.PlanLoad] makes. It is pure.
func DiffImages(archives []imports.Archive, have *Store, opts LoadOptions) *Plan {
	d := &imageDiffer{have: have, opts: opts, loads: newLoads(have, opts), owner: map[string]string{}, seen: map[string]bool{}}
	d.award(archives)
	for _, a := range archives {
		if !slices.Contains(opts.Broken, a.Path) {
			d.archive(a)
		}
	}
	d.spread()
	return &Plan{Steps: d.steps(), Warnings: d.warnings, parallel: d.loads.parallel}
}

// imageDiffer makes one plan for archives.
type imageDiffer struct {
	graph
	have  *Store
	opts  LoadOptions
	loads *loads
	// owner is the image that gets a tag, in tags' order of appearance; seen are the images that were dealt with.
	owner    map[string]string
	tags     []string
	seen     map[string]bool
	warnings []string
}

// award decides which image gets each tag: the last one that claims it.
func (d *imageDiffer) award(archives []imports.Archive) {
	for _, a := range archives {
		for _, img := range a.Images {
			if !img.Runs {
				continue
			}
			for _, tag := range append(d.digestTags(img), img.Tags...) {
				last, claimed := d.owner[tag]
				switch {
				case !claimed:
					d.tags = append(d.tags, tag)
				case last != img.ID:
					d.warnings = append(d.warnings, fmt.Sprintf("several tarballs hold different images %q; that of %q counts", tag, a.Path))
				}
				d.owner[tag] = img.ID
			}
		}
	}
}

// digestTags are those by which the recipes' digests are known here.
func (d *imageDiffer) digestTags(img imports.Image) []string {
	var tags []string
	for _, ref := range d.opts.Refs {
		if img.Answers(ref) && !d.have.knows(ref) {
			tags = append(tags, imports.DigestTag(ref))
		}
	}
	return tags
}

// tagsOf are the tags that an image gets.
func (d *imageDiffer) tagsOf(id string) []string {
	tags := []string{}
	for _, tag := range d.tags {
		if d.owner[tag] == id {
			tags = append(tags, tag)
		}
	}
	return tags
}

// archive plans what is missing of one archive: a load, or tags for what is there under others.
func (d *imageDiffer) archive(a imports.Archive) {
	var wanted []imports.Wanted
	for _, img := range a.Images {
		tags := d.tagsOf(img.ID)
		if !img.Runs || d.seen[img.ID] || len(img.Tags) > 0 && len(tags) == 0 {
			continue
		}
		d.seen[img.ID] = true
		id := d.have.find(img, d.opts.Scanner.Record)
		if id == "" {
			wanted = append(wanted, imports.Wanted{Image: img, Tags: tags, Have: d.have.layersOf(img, nil)})
			continue
		}
		for _, tag := range tags {
			switch at := d.have.tagged(tag); at {
			case id:
			case "":
				d.add(tagImage{id: id, tag: tag}, "missing")
			default:
				d.add(tagImage{id: id, tag: tag}, "it is another image's")
			}
		}
	}
	if len(wanted) > 0 {
		d.add(loadArchive{loads: d.loads, archive: a, wanted: wanted}, "missing: "+names(wanted))
	}
}

// names tells wanted images apart, in a line.
func names(wanted []imports.Wanted) string {
	var all []string
	for _, w := range wanted {
		if len(w.Tags) == 0 {
			all = append(all, strings.TrimPrefix(w.Image.ID, "sha256:")[:12])
		}
		all = append(all, w.Tags...)
	}
	const most = 5
	if len(all) > most {
		all = append(all[:most], fmt.Sprintf("and %d more", len(all)-most))
	}
	return strings.Join(all, ", ")
}

// Loads are the images that a plan loads, in its order.
func (p *Plan) Loads() []imports.Wanted {
	var all []imports.Wanted
	for _, s := range p.Steps {
		if a, ok := s.Action.(loadArchive); ok {
			all = append(all, a.wanted...)
		}
	}
	return all
}

// tagImage gives a tag to an image that is there.
type tagImage struct {
	id, tag string
}

func (a tagImage) Target() Target { return Target{Kind: KindImage, Name: a.tag} }
func (tagImage) Verb() Verb       { return VerbTag }

func (a tagImage) do(ctx context.Context, r *run) error {
	ctx, cancel := r.bounded(ctx, 0)
	defer cancel()
	return r.explain(ctx, r.api.ImageTag(ctx, a.id, a.tag))
}

// errUnlike says that the Engine made something else of an archive than was in it.
var errUnlike = errors.New("the engine did not load what the tarball holds")
