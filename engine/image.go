package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"galley/compose"
	"galley/imports"
)

// image finds the Engine's image that a reference points to: by tag, by digest, or by id; nil if there is none. A digest that
// came with a tarball is a tag: see [imports.DigestTag].
func (s *State) image(ref string) *image.Summary {
	if img := s.named(ref); img != nil {
		return img
	}
	if tag := imports.DigestTag(ref); tag != "" {
		return s.named(tag)
	}
	return nil
}

// local is a reference as this Engine knows the image: that of a digest which came with a tarball is its tag.
func (s *State) local(ref string) string {
	if tag := imports.DigestTag(ref); tag != "" && s.named(ref) == nil && s.named(tag) != nil {
		return tag
	}
	return ref
}

// named finds the Engine's image that has a name or an id itself; nil if there is none.
func (s *State) named(ref string) *image.Summary {
	tag, digest := canonical(ref)
	for i := range s.Images {
		img := &s.Images[i]
		if slices.Contains(img.RepoTags, ref) || img.ID == ref || tag != "" && slices.Contains(img.RepoTags, tag) ||
			digest != "" && slices.Contains(img.RepoDigests, digest) {
			return img
		}
	}
	return nil
}

// MissingImages are the references of the project's images that the Engine does not have, sorted.
func (s *State) MissingImages(p *compose.Project) []string {
	var missing []string
	lacks := func(ref string) {
		if s.image(ref) == nil {
			missing = append(missing, ref)
		}
	}
	for _, ref := range p.Images() {
		lacks(ref)
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

// canonical returns the reference as the Engine lists it: name:tag, with the default tag filled in, or name@digest.
func canonical(ref string) (tag, digest string) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", ""
	}
	if digested, ok := named.(reference.Digested); ok {
		return "", reference.FamiliarName(named) + "@" + digested.Digest().String()
	}
	return reference.FamiliarString(reference.TagNameOnly(named)), ""
}

// repository is the name in a reference, without tag and digest; "" if it can't be understood.
func repository(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	return reference.FamiliarName(named)
}

// byDigest tells whether a reference names an image by its digest: what that is never changes.
func byDigest(ref string) bool {
	_, digest := canonical(ref)
	return digest != ""
}

// planImage has missing images pulled, each once for all services that create containers from it.
func (d *differ) planImage(p *servicePlan) {
	if p.creates() || p.spec.Schedule != "" {
		d.needImages(p.spec, p.spec.Config.Image, p.spec.Platform, &p.spec.Host)
	}
	for _, init := range p.spec.PreStart {
		d.needImages(p.spec, init.Config.Image, init.Platform, &init.Host)
	}
}

// needImages has the image of a container pulled where it is missing, and those that it mounts.
func (d *differ) needImages(s *compose.Service, ref, platform string, host *container.HostConfig) {
	d.needImage(s, ref, platform)
	for _, mounted := range compose.MountedImages(host) {
		d.needImage(s, mounted, "")
	}
}

// pulls are the planned pulls of the image of a container, and of those that it mounts.
func (d *differ) pulls(ref, platform string, host *container.HostConfig) []*node {
	pulls := []*node{d.images[madeFor{ref, platform}]}
	for _, mounted := range compose.MountedImages(host) {
		pulls = append(pulls, d.images[madeFor{mounted, ""}])
	}
	return pulls
}

// localMounts are the names of a container's mounted images on this Engine, where those are others; see [State.local].
func (d *differ) localMounts(host *container.HostConfig) map[string]string {
	names := map[string]string{}
	for _, ref := range compose.MountedImages(host) {
		if local := d.have.local(ref); local != ref {
			names[ref] = local
		}
	}
	return names
}

func (d *differ) needImage(s *compose.Service, ref, platform string) {
	if d.images[madeFor{ref, platform}] != nil || d.have.image(ref) != nil {
		return
	}
	if d.pullPolicy(s) == compose.PullNever {
		why, wayOut := "pull_policy: never", "import the image before"
		if d.opts.Pull != "" {
			why, wayOut = "--pull never", "import the image before, or leave --pull out"
		}
		d.errs = append(d.errs, &ImageError{
			Ref:  ref,
			Err:  fmt.Errorf("it is not on this machine, and service %q is not to pull it (%s)", s.Name, why),
			Hint: wayOut,
		})
		return
	}
	d.pull(pullImage{ref: ref, platform: platform, service: s.Name}, "missing")
}

// shared are the platforms of the images that services want for several of them, by reference.
func (d *differ) shared() map[string][]string {
	platforms := map[string][]string{}
	note := func(ref, platform string) {
		if platform != "" && !slices.Contains(platforms[ref], platform) {
			platforms[ref] = append(platforms[ref], platform)
		}
	}
	for _, s := range d.chosen() {
		note(s.Config.Image, s.Platform)
		for _, init := range s.PreStart {
			note(init.Config.Image, init.Platform)
		}
	}
	maps.DeleteFunc(platforms, func(_ string, all []string) bool { return len(all) < 2 })
	return platforms
}

// refuseShared refuses to create containers from images for several platforms where the Engine keeps one of them under a tag:
// it would refuse all but that of the service that pulled last.
func (d *differ) refuseShared() {
	if !d.have.OnePlatform {
		return
	}
	shared := d.shared()
	for _, ref := range slices.Sorted(maps.Keys(shared)) {
		creates := func(p *servicePlan) bool { return p.creates() && slices.Contains(p.spec.Images(), ref) }
		if !slices.ContainsFunc(slices.Collect(maps.Values(d.services)), creates) {
			continue
		}
		d.errs = append(d.errs, &ImageError{
			Ref:  ref,
			Err:  fmt.Errorf("it is wanted for %s, and this engine keeps one platform under a name", strings.Join(shared[ref], " and ")),
			Hint: "tag the image of each platform with a name of its own, or let the engine use containerd's image store (daemon.json: features, containerd-snapshotter)",
		})
	}
}

// madeFor is an image and the platform that it is wanted for, "" the Engine's own.
type madeFor struct {
	ref, platform string
}

// pull adds the pull of an image. Those of one image for several platforms come one after the other, in the plan's order:
// all but the containerd image store keep one platform under a tag, the last.
func (d *differ) pull(a pullImage, why string) {
	for _, n := range d.opts.notPulled {
		if n.madeFor == (madeFor{a.ref, a.platform}) {
			a.failed = n.err
		}
	}
	a.dated = !byDigest(a.ref) && slices.ContainsFunc(d.want.Services, func(s *compose.Service) bool {
		return s.Config.Image == a.ref && s.Pull.Policy == compose.PullRefresh
	})
	n := d.add(a, why)
	for _, other := range d.pulled() {
		if before := other.action.(pullImage); other != n && before.ref == a.ref {
			after([]*node{n}, []*node{other})
			if before.platform != "" && a.platform != "" {
				d.warn("image %q is wanted for %s and %s: only an engine with containerd's image store has both at once", a.ref, before.platform, a.platform)
			}
		}
	}
	d.images[madeFor{a.ref, a.platform}] = n
}

func (d *differ) pullPolicy(s *compose.Service) compose.PullPolicy {
	if d.opts.Pull != "" {
		return d.opts.Pull
	}
	return s.Pull.Policy
}

// Refresh plans the pulls that the policies ask for although the image is there: always, or older than its age, which can
// wait where the registry can't be reached. It is no part of Diff: what a pull will bring can't be compared beforehand.
// Pinned images, and those by digest, are as fresh as they shall be. After it, the state must be read again.
func (e *Engine) Refresh(ctx context.Context, want *compose.Project, have *State, opts DiffOptions) (*Plan, error) {
	d := newDiffer(want, have, opts)
	if opts.Pins != nil {
		return &Plan{Project: want.Name}, nil
	}
	for _, s := range d.chosen() {
		ref := s.Config.Image
		if d.images[madeFor{ref, s.Platform}] != nil || have.image(ref) == nil || byDigest(ref) {
			continue
		}
		why, optional := "", false
		switch d.pullPolicy(s) {
		case compose.PullAlways:
			why = "pull policy always"
		case compose.PullRefresh:
			pulled, err := e.pulled(ctx, ref)
			switch {
			case err != nil:
				return nil, err
			case pulled.Unix() <= 0:
				why, optional = "nothing tells when it was pulled", true
			case time.Since(pulled) > s.Pull.MaxAge:
				why, optional = fmt.Sprintf("pulled more than %s ago", s.Pull.MaxAge), true
			}
		}
		if why != "" {
			d.pull(pullImage{ref: ref, platform: s.Platform, service: s.Name, optional: optional}, why)
		}
	}
	return &Plan{Project: want.Name, Steps: d.steps(), Warnings: d.warnings}, nil
}

// PullOptions say which images [Pulls] pulls.
type PullOptions struct {
	// Services are those whose images are pulled, empty all; with Deps, also those that they need.
	Services []string
	Deps     bool
	// Policy is [compose.PullAlways], [compose.PullMissing], or "": as each service says, and always where it says nothing.
	Policy compose.PullPolicy
}

// Pulls plans the pulls of services' images, each image once, and nothing else. It is pure.
func Pulls(want *compose.Project, have *State, opts PullOptions) *Plan {
	d := newDiffer(want, have, DiffOptions{Services: opts.Services, NoDeps: !opts.Deps})
	for _, s := range d.chosen() {
		policy := opts.Policy
		if policy == "" {
			policy = s.Pull.Policy
			if policy == compose.PullMissing && !s.Pull.Explicit {
				policy = compose.PullAlways
			}
		}
		if policy == compose.PullNever {
			continue
		}
		d.pullAsked(s, s.Config.Image, s.Platform, policy)
		for _, init := range s.PreStart {
			d.pullAsked(s, init.Config.Image, init.Platform, policy)
			d.pullMounted(s, &init.Host)
		}
		d.pullMounted(s, &s.Host)
	}
	return &Plan{Project: want.Name, Steps: d.steps(), Warnings: d.warnings}
}

// pullMounted adds the pulls of mounted images that are missing: a newer one would replace no container.
func (d *differ) pullMounted(s *compose.Service, host *container.HostConfig) {
	for _, ref := range compose.MountedImages(host) {
		d.pullAsked(s, ref, "", compose.PullMissing)
	}
}

func (d *differ) pullAsked(s *compose.Service, ref, platform string, policy compose.PullPolicy) {
	there := d.have.image(ref) != nil
	if ref == "" || d.images[madeFor{ref, platform}] != nil || there && (policy == compose.PullMissing || byDigest(ref)) {
		return
	}
	why := "missing"
	if there {
		why = "asked for"
	}
	d.pull(pullImage{ref: ref, platform: platform, service: s.Name}, why)
}

// pulled is when a pull last dated the image, or somebody tagged it; see [pullImage.date].
func (e *Engine) pulled(ctx context.Context, ref string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	img, err := e.api.ImageInspect(ctx, ref)
	if err != nil {
		return time.Time{}, e.reading(ctx, "image", err)
	}
	return img.Metadata.LastTagTime, nil
}
