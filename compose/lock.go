package compose

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/opencontainers/go-digest"
	"go.yaml.in/yaml/v4"
)

// Lock says which image each tag means. It lies in a file beside the recipe.
type Lock struct {
	// Images are the digests ("sha256:…") by reference, as [LockKey] gives it.
	Images map[string]string
	// lines are where the entries stand in the file.
	lines map[string]int
}

// LockPath is the file of a recipe's lock: compose.lock.yaml beside compose.yaml. "" for a recipe that is in no file.
func LockPath(recipe string) string {
	if recipe == "-" || recipe == "" {
		return ""
	}
	extension := filepath.Ext(recipe)
	return strings.TrimSuffix(recipe, extension) + ".lock" + orElse(extension, ".yaml")
}

// LockOf is the file of the lock of a source's recipe, whether it is there or not; "" for a recipe from standard input or
// in a manifest. The errors are those of [Load] where there is no recipe.
func LockOf(src Source) (string, error) {
	recipes, err := open(src)
	if err != nil {
		return "", err
	}
	return recipes[0].lockPath(), nil
}

// LockKey is the key of an image's reference in a lock: its familiar name with its tag, "busybox:latest". ok is false for
// a reference that a lock has nothing to say of: one by digest or by ID.
func LockKey(ref string) (key string, ok bool) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return "", false
	}
	if _, digested := named.(reference.Digested); digested {
		return "", false
	}
	return reference.FamiliarString(named), true
}

// ReadLock reads the lock at path; nil where there is none. One that can't be understood is an [*InvalidError].
func ReadLock(path string) (*Lock, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lock: %w", err)
	}
	lock, found := parseLock(path, text)
	return lock, invalid(found)
}

// parseLock reads a lock and finds what is wrong with it.
func parseLock(path string, text []byte) (*Lock, []Diagnostic) {
	var found []Diagnostic
	fail := func(line int, message string) {
		found = append(found, Diagnostic{Severity: Error, Code: "invalid-lock", Message: message, File: path, Line: line,
			Hint: "`galley lock` writes the file anew once it is removed"})
	}
	var file struct {
		Version int                  `yaml:"version"`
		Images  map[string]yaml.Node `yaml:"images"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		fail(0, "the lock is no mapping of version and images")
		return nil, found
	}
	if file.Version != 1 {
		fail(0, fmt.Sprintf("the lock has version %d; this galley reads version 1", file.Version))
	}
	l := &Lock{Images: map[string]string{}, lines: map[string]int{}}
	for _, key := range sortedKeys(file.Images) {
		node := file.Images[key]
		if canonical, ok := LockKey(key); !ok || canonical != key {
			fail(node.Line, fmt.Sprintf("%q is no image with a tag", key))
		} else if _, err := digest.Parse(node.Value); err != nil {
			fail(node.Line, fmt.Sprintf("image %q has %q, which is no digest", key, node.Value))
		}
		l.Images[key], l.lines[key] = node.Value, node.Line
	}
	return l, found
}

// Text is the lock as a file.
func (l *Lock) Text() []byte {
	var b strings.Builder
	b.WriteString("# Which image each tag means: written by `galley lock`, honoured by check, plan and up.\nversion: 1\nimages:")
	if len(l.Images) == 0 {
		b.WriteString(" {}")
	}
	b.WriteByte('\n')
	for _, key := range sortedKeys(l.Images) {
		fmt.Fprintf(&b, "  %s: %s\n", key, l.Images[key])
	}
	return []byte(b.String())
}

// lockedRef is a reference with the digest that a lock has for it, "" if it has none.
func (l *Lock) lockedRef(ref string) string {
	key, ok := LockKey(ref)
	if !ok || l.Images[key] == "" {
		return ""
	}
	return key + "@" + l.Images[key]
}

// Images are the references of all images that the project's services run, sorted, each once.
func (p *Project) Images() []string {
	var refs []string
	for _, s := range p.Services {
		refs = append(refs, s.Images()...)
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// Images are the references of the images that the service's containers are created from, its own first, and of those that
// they mount.
func (s *Service) Images() []string {
	var refs []string
	s.eachImage(func(_ string, ref *string) { refs = append(refs, *ref) })
	return refs
}

// MountedImages are the references of the images that a container mounts.
func MountedImages(host *container.HostConfig) []string {
	var refs []string
	eachMounted(host, func(ref *string) { refs = append(refs, *ref) })
	return refs
}

// eachImage visits the service's image, those of its pre_start, and those that are mounted, with the attribute that names them.
func (s *Service) eachImage(visit func(attribute string, ref *string)) {
	mounted := func(ref *string) { visit("volumes", ref) }
	visit("image", &s.Config.Image)
	for i := range s.PreStart {
		visit("image", &s.PreStart[i].Config.Image)
	}
	eachMounted(&s.Host, mounted)
	for i := range s.PreStart {
		eachMounted(&s.PreStart[i].Host, mounted)
	}
}

func eachMounted(host *container.HostConfig, visit func(ref *string)) {
	for i := range host.Mounts {
		if m := &host.Mounts[i]; m.Type == mount.TypeImage {
			visit(&m.Source)
		}
	}
}

// pin applies the lock beside the recipe, if there is one: images are what it says. Hashes are not touched: what an image's
// tag means is compared by the image, and a lock for what runs already replaces nothing.
func (r *recipe) pin(p *Project, inactive types.Services) []Diagnostic {
	path := r.lockPath()
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []Diagnostic{{Severity: Error, Code: "invalid-lock", Message: "the lock can't be read: " + err.Error(), File: path}}
	}
	lock, found := parseLock(path, text)
	if len(found) > 0 {
		return found
	}
	used := map[string]bool{}
	for _, s := range p.Services {
		s.eachImage(func(attribute string, ref *string) {
			key, ok := LockKey(*ref)
			used[key] = true
			if locked := lock.lockedRef(*ref); locked != "" {
				*ref = locked
			} else if ok && s.Pull.Policy != PullNever { // what is never pulled may have come from no registry
				found = append(found, Diagnostic{Severity: Warning, Code: "not-locked", Path: "services." + s.Name + "." + attribute,
					Message: fmt.Sprintf("image %q is not in the lock %s", *ref, filepath.Base(path)), Hint: "`galley lock` adds it"})
			}
		})
	}
	for _, s := range inactive {
		for _, ref := range imagesIn(s) {
			key, _ := LockKey(ref)
			used[key] = true
		}
	}
	for _, key := range sortedKeys(lock.Images) {
		if !used[key] {
			found = append(found, Diagnostic{Severity: Warning, Code: "stale-lock", File: path, Line: lock.lines[key],
				Message: fmt.Sprintf("image %q is locked, and no service uses it", key), Hint: "`galley lock` takes it out"})
		}
	}
	return found
}

// imagesIn are the images that a service of the recipe names.
func imagesIn(s types.ServiceConfig) []string {
	var refs []string
	of := func(c types.ContainerSpec) {
		refs = append(refs, c.Image)
		for _, v := range c.Volumes {
			if v.Type == types.VolumeTypeImage {
				refs = append(refs, v.Source)
			}
		}
	}
	of(s.ContainerSpec)
	for _, hook := range s.PreStart {
		of(hook.ContainerSpec)
	}
	return refs
}

// lockPath is the recipe's lock, "" for one that has none or whose lock is not to count.
func (r *recipe) lockPath() string {
	if r.unlocked || r.job != nil || len(r.files) == 0 {
		return ""
	}
	return LockPath(r.files[0].name)
}
