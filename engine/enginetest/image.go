package enginetest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/go-connections/nat"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is an image of the Engine, or of a registry that it pulls from.
type Image struct {
	// Ref is the image's reference, as "busybox" or "localhost:5000/app:1".
	Ref string
	// ID is "sha256:…"; "" makes it the digest of the configuration that follows, as it is for an Engine.
	ID string
	// Digest is what a registry calls it, "sha256:…"; "" makes one of the ID for a remote image.
	Digest                   string
	Cmd, Entrypoint, Env     []string
	Labels                   map[string]string
	Healthcheck              *container.HealthConfig
	Volumes, ExposedPorts    []string
	User, WorkingDir         string
	StopSignal, Architecture string
	// Files are in its layer: contents by absolute path. One in a bin directory is a program, run as a shell script.
	Files map[string]string
	// Layers are the digests of its layers, "sha256:…"; nil makes one of Ref and Files.
	Layers []string
	// Size is in bytes; Created is now if it is zero.
	Size    int64
	Created time.Time

	// raw is the configuration that the image was loaded with.
	raw []byte
}

// img is an image that the Engine has.
type img struct {
	id      string
	tags    []string
	digests []string
	config  container.Config
	files   map[string]string
	layers  []string
	arch    string
	size    int64
	created time.Time
	tagged  time.Time
	// raw is the configuration as archives have it.
	raw []byte
}

// AddImage gives the Engine an image, which takes the tag from another that has it. It returns the image's id.
func (e *Engine) AddImage(i Image) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.keep(i).id
}

// keep stores the image under its reference.
func (e *Engine) keep(i Image) *img {
	i = e.layered(i)
	id := i.id()
	m := e.images[id]
	if m == nil {
		m = &img{
			id: id, files: i.Files, layers: i.Layers, arch: cmp.Or(i.Architecture, "amd64"), size: cmp.Or(i.Size, 1982361), created: i.Created,
			config: i.config(), raw: i.raw,
		}
		if m.raw == nil {
			m.raw = i.configJSON()
		}
		if m.created.IsZero() {
			m.created = time.Now().UTC()
		}
		e.images[id] = m
	}
	if tag, _ := canonical(i.Ref); tag != "" {
		e.tag(m, tag)
	}
	if i.Digest != "" {
		name, _, _ := strings.Cut(i.Ref, "@")
		if named, err := reference.ParseNormalizedNamed(name); err == nil {
			m.addDigest(reference.FamiliarName(named) + "@" + i.Digest)
		}
	}
	return m
}

// layered makes an image without layers one of its files.
func (e *Engine) layered(i Image) Image {
	if i.Layers == nil {
		layer := i.layer()
		i.Layers = []string{digestOf(layer)}
		e.layers[i.Layers[0]] = layer
	}
	return i
}

func (m *img) addDigest(digest string) {
	if !slices.Contains(m.digests, digest) {
		m.digests = append(m.digests, digest)
	}
}

func (i Image) id() string { return cmp.Or(i.ID, digestOf(i.configJSON())) }

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (i Image) config() container.Config {
	return container.Config{
		Cmd: i.Cmd, Entrypoint: i.Entrypoint, Env: i.Env, Labels: i.Labels, Healthcheck: i.Healthcheck,
		User: i.User, WorkingDir: i.WorkingDir, StopSignal: i.StopSignal, Volumes: set[string](i.Volumes), ExposedPorts: ports(i.ExposedPorts),
	}
}

func set[K ~string](keys []string) map[K]struct{} {
	if keys == nil {
		return nil
	}
	m := map[K]struct{}{}
	for _, key := range keys {
		m[K(key)] = struct{}{}
	}
	return m
}

// ports are exposed ports; the protocol is tcp where none is named.
func ports(texts []string) nat.PortSet {
	if texts == nil {
		return nil
	}
	ports := nat.PortSet{}
	for _, text := range texts {
		number, proto, _ := strings.Cut(text, "/")
		ports[nat.Port(number+"/"+cmp.Or(proto, "tcp"))] = struct{}{}
	}
	return ports
}

// canonical is a reference as the Engine lists it: name:tag with the default tag filled in, or name@digest.
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

// familiar is a reference without what docker leaves out.
func familiar(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.FamiliarName(named)
}

// tag moves a tag to an image.
func (e *Engine) tag(m *img, tag string) {
	for _, other := range e.images {
		other.tags = slices.DeleteFunc(other.tags, func(t string) bool { return t == tag })
	}
	m.tags = append(m.tags, tag)
	slices.Sort(m.tags)
}

// findImage finds an image by tag, digest, id, or the beginning of an id; nil if there is none.
func (e *Engine) findImage(ref string) *img {
	tag, digest := canonical(ref)
	for _, m := range e.images {
		if slices.Contains(m.tags, tag) && tag != "" || slices.Contains(m.digests, digest) && digest != "" || m.id == ref {
			return m
		}
	}
	if len(ref) < 4 {
		return nil
	}
	for _, m := range e.images {
		if strings.HasPrefix(m.id, ref) || strings.HasPrefix(m.id, "sha256:"+ref) {
			return m
		}
	}
	return nil
}

// imageOf is the image that a container is to be made of; none is fine on old Engines.
func (e *Engine) imageOf(ref string) (*img, error) {
	if ref == "" {
		return nil, nil
	}
	if m := e.findImage(ref); m != nil {
		return m, nil
	}
	return nil, noSuchImage(ref)
}

func noSuchImage(ref string) error {
	if tag, _ := canonical(ref); tag != "" {
		ref = tag
	}
	return fail(http.StatusNotFound, "No such image: %s", ref)
}

// lend fills in what the image says and the container doesn't (runconfig's merge).
func (m *img) lend(c *container.Config) {
	i := m.config
	if len(c.Entrypoint) == 0 {
		if len(c.Cmd) == 0 {
			c.Cmd = i.Cmd
		}
		if c.Entrypoint == nil {
			c.Entrypoint = i.Entrypoint
		}
	}
	if len(c.Entrypoint) == 1 && c.Entrypoint[0] == "" {
		c.Entrypoint = nil // [""] is how a caller clears it
	}
	c.User, c.WorkingDir, c.StopSignal = cmp.Or(c.User, i.User), cmp.Or(c.WorkingDir, i.WorkingDir), cmp.Or(c.StopSignal, i.StopSignal)
	for _, variable := range i.Env {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.ContainsFunc(c.Env, func(v string) bool { n, _, _ := strings.Cut(v, "="); return n == name }) {
			c.Env = append(c.Env, variable)
		}
	}
	c.Labels = under(c.Labels, i.Labels)
	c.Volumes = under(c.Volumes, i.Volumes)
	c.ExposedPorts = under(c.ExposedPorts, i.ExposedPorts)
	c.Healthcheck = lendHealthcheck(c.Healthcheck, i.Healthcheck)
}

// under adds those entries of the image that the container doesn't have.
func under[M ~map[K]V, K comparable, V any](own, image M) M {
	if len(image) == 0 {
		return own
	}
	merged := maps.Clone(image)
	maps.Copy(merged, own)
	return merged
}

func lendHealthcheck(own, image *container.HealthConfig) *container.HealthConfig {
	if image == nil {
		return own
	}
	if own == nil {
		copied := *image
		return &copied
	}
	if len(own.Test) == 0 {
		own.Test = image.Test
	}
	own.Interval, own.Timeout = orElse(own.Interval, image.Interval), orElse(own.Timeout, image.Timeout)
	own.StartPeriod, own.StartInterval = orElse(own.StartPeriod, image.StartPeriod), orElse(own.StartInterval, image.StartInterval)
	own.Retries = cmp.Or(own.Retries, image.Retries)
	return own
}

// listImages answers GET /images/json.
func (e *Engine) listImages(r *request) error {
	args, err := r.filters("dangling", "label", "label!", "before", "since", "reference", "until")
	if err != nil {
		return err
	}
	list := []image.Summary{}
	e.mu.Lock()
	for _, m := range e.imagesSorted() {
		if imageListed(m, args) {
			list = append(list, image.Summary{
				ID: m.id, RepoTags: append([]string{}, m.tags...), RepoDigests: append([]string{}, m.digests...), Created: m.created.Unix(),
				Size: m.size, Labels: m.config.Labels, Containers: -1, SharedSize: -1,
			})
		}
	}
	e.mu.Unlock()
	return r.reply(http.StatusOK, list)
}

func (e *Engine) imagesSorted() []*img {
	return slices.SortedFunc(maps.Values(e.images), func(a, b *img) int {
		return cmp.Or(b.created.Compare(a.created), strings.Compare(a.id, b.id))
	})
}

func imageListed(m *img, args filters.Args) bool {
	if args.Contains("dangling") && args.ExactMatch("dangling", "true") != (len(m.tags) == 0) {
		return false
	}
	if args.Contains("reference") {
		matches := func(tag string) bool {
			named, err := reference.ParseNormalizedNamed(tag)
			return err == nil && slices.ContainsFunc(args.Get("reference"), func(pattern string) bool {
				ok, err := reference.FamiliarMatch(pattern, named)
				return ok && err == nil
			})
		}
		if !slices.ContainsFunc(m.tags, matches) {
			return false
		}
	}
	return labelsPass(args, m.config.Labels)
}

// inspectImage answers GET /images/*/json.
func (e *Engine) inspectImage(r *request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.findImage(r.name)
	if m == nil {
		f := noSuchImage(r.name).(*failure)
		if !e.atLeast("1.44") {
			f.message = "no such image: " + r.name + ": " + f.message
		}
		return f
	}
	return r.reply(http.StatusOK, image.InspectResponse{
		ID: m.id, RepoTags: append([]string{}, m.tags...), RepoDigests: append([]string{}, m.digests...), Created: m.created.Format(time.RFC3339Nano),
		Architecture: m.arch, Os: "linux", Size: m.size, Config: m.spec(), Metadata: image.Metadata{LastTagTime: m.tagged},
		RootFS: image.RootFS{Type: "layers", Layers: m.layers},
	})
}

func (m *img) spec() *dockerspec.DockerOCIImageConfig {
	c := m.config
	spec := &dockerspec.DockerOCIImageConfig{
		ImageConfig: ocispec.ImageConfig{
			User: c.User, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, Volumes: c.Volumes, WorkingDir: c.WorkingDir,
			Labels: c.Labels, StopSignal: c.StopSignal,
		},
		DockerOCIImageConfigExt: dockerspec.DockerOCIImageConfigExt{Healthcheck: c.Healthcheck},
	}
	if c.ExposedPorts != nil {
		spec.ExposedPorts = map[string]struct{}{}
		for port := range c.ExposedPorts {
			spec.ExposedPorts[string(port)] = struct{}{}
		}
	}
	return spec
}

// tagImage answers POST /images/*/tag.
func (e *Engine) tagImage(r *request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.findImage(r.name)
	if m == nil {
		return noSuchImage(r.name)
	}
	ref := r.query.Get("repo")
	if tag := r.query.Get("tag"); tag != "" {
		ref += ":" + tag
	}
	tag, _ := canonical(ref)
	if tag == "" {
		return fail(http.StatusBadRequest, "invalid reference format")
	}
	e.tag(m, tag)
	m.tagged = time.Now().UTC()
	e.tellImage(events.ActionTag, m.id, tag)
	return r.done(http.StatusCreated)
}

func (e *Engine) tellImage(action events.Action, id, name string) {
	e.emit(events.ImageEventType, action, id, map[string]string{"name": name})
}

// removeImage answers DELETE /images/*.
func (e *Engine) removeImage(r *request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.findImage(r.name)
	if m == nil {
		return noSuchImage(r.name)
	}
	tag, _ := canonical(r.name)
	byTag := slices.Contains(m.tags, tag)
	if err := e.imageFree(m, r.name, byTag, r.flag("force")); err != nil {
		return err
	}
	var gone []image.DeleteResponse
	for _, t := range slices.Clone(m.tags) {
		if byTag && t != tag {
			continue
		}
		m.tags = slices.DeleteFunc(m.tags, func(other string) bool { return other == t })
		gone = append(gone, image.DeleteResponse{Untagged: t})
		e.tellImage(events.ActionUnTag, m.id, m.id)
	}
	if len(m.tags) == 0 && !e.imageUsed(m) {
		for _, digest := range m.digests {
			gone = append(gone, image.DeleteResponse{Untagged: digest})
		}
		delete(e.images, m.id)
		gone = append(gone, image.DeleteResponse{Deleted: m.id})
		e.tellImage(events.ActionDelete, m.id, m.id)
	}
	return r.reply(http.StatusOK, gone)
}

func (e *Engine) imageUsed(m *img) bool {
	return slices.ContainsFunc(e.sorted(), func(c *ctr) bool { return c.image == m.id })
}

// imageFree refuses the removal of an image in use (daemon/images/image_delete.go).
func (e *Engine) imageFree(m *img, ref string, byTag, force bool) error {
	if byTag && len(m.tags) > 1 {
		return nil
	}
	for _, c := range e.sorted() {
		switch {
		case c.image != m.id:
		case byTag && !force:
			return fail(http.StatusConflict, "conflict: unable to remove repository reference %q (must force) - container %s is using its referenced image %s", ref, short(c.id), short(m.id))
		case !byTag && c.running:
			return fail(http.StatusConflict, "conflict: unable to delete %s (cannot be forced) - image is being used by running container %s", short(m.id), short(c.id))
		case !byTag && !force:
			return fail(http.StatusConflict, "conflict: unable to delete %s (must be forced) - image is being used by stopped container %s", short(m.id), short(c.id))
		}
	}
	if !byTag && len(m.tags) > 1 && !force {
		return fail(http.StatusConflict, "conflict: unable to delete %s (must be forced) - image is referenced in multiple repositories", short(m.id))
	}
	return nil
}
