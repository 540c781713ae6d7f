package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"
)

// CanonicalOptions say how far [LoadCanonical] resolves a recipe; the zero value does so as far as can be.
type CanonicalOptions struct {
	// Services are those to keep, with what they need; empty means all active ones.
	Services []string
	// The others leave out one step each.
	NoInterpolation, NoNormalization, NoPathResolution, NoConsistency, NoEnvResolution bool
}

// Canonical is a recipe in the one form that all its notations stand for: files merged, variables put in, short forms
// written out.
type Canonical struct {
	// project is nil without interpolation: variables may stand where a number must.
	project   *types.Project
	model     map[string]any
	separator string
}

// UnknownServiceError names one of [CanonicalOptions.Services] that the recipe doesn't have.
type UnknownServiceError struct{ Name string }

func (e *UnknownServiceError) Error() string { return fmt.Sprintf("no such service: %q", e.Name) }

// LoadCanonical reads a recipe for people and tools to look at. Diagnostics and errors are those of [Load], with three
// differences: what galley doesn't carry out is a warning here, with NoConsistency or NoInterpolation only what the
// loader can't read is an error, and asking for a service that isn't there is an *UnknownServiceError.
func LoadCanonical(ctx context.Context, src Source, opt CanonicalOptions) (*Canonical, []Diagnostic, error) {
	recipes, err := open(src)
	if err != nil {
		return nil, nil, err
	}
	if len(recipes) > 1 {
		return nil, nil, ambiguous(recipes)
	}
	r := recipes[0]
	logrus.SetOutput(io.Discard) // as in project
	if !opt.NoConsistency && !opt.NoInterpolation {
		if _, _, err := r.project(ctx); err != nil && ctx.Err() != nil {
			return nil, nil, err
		}
		r.permitUnsupported()
		if err := invalid(r.diagnostics); err != nil {
			return nil, r.diagnostics, err
		}
	}
	c, err := r.canonical(ctx, opt)
	if unknown := (*UnknownServiceError)(nil); errors.As(err, &unknown) {
		return nil, r.diagnostics, err
	}
	if err != nil && r.locate() {
		r.add(r.unresolved(r.translate(err)))
	}
	return c, r.diagnostics, invalid(r.diagnostics)
}

// permitUnsupported makes warnings of what is no fault of the recipe, but beyond galley.
func (r *recipe) permitUnsupported() {
	for i, d := range r.diagnostics {
		if d.Code == codeUnsupported || d.Code == codeNotYet {
			r.diagnostics[i].Severity = Warning
		}
	}
}

// canonical loads the recipe once more, as docker compose's config does.
func (r *recipe) canonical(ctx context.Context, opt CanonicalOptions) (c *Canonical, err error) {
	defer func() {
		if p := recover(); p != nil {
			c, err = nil, errPanic
		}
	}()
	details := r.details()
	set := []func(*loader.Options){r.options, func(o *loader.Options) {
		o.SkipInterpolation, o.SkipNormalization = opt.NoInterpolation, opt.NoNormalization
		o.ResolvePaths, o.SkipConsistencyCheck = !opt.NoPathResolution, opt.NoConsistency
		o.SkipResolveEnvironment = opt.NoEnvResolution
	}, loader.WithDiscardEnvFiles}
	c = &Canonical{separator: r.separator}
	if opt.NoInterpolation {
		details.Environment = types.Mapping{} // a bare KEY stays one too
		c.model, err = loader.LoadModelWithContext(ctx, details, set...)
		withoutValues(c.model)
		return c, err
	}
	if c.model, err = loader.LoadModelWithContext(ctx, details, set...); err != nil {
		return c, err
	}
	options := loader.ToOptions(&details, set)
	options.Profiles = append(slices.Clone(options.Profiles), r.named(c.model)...)
	keepNames(c.model)
	p, err := loader.ModelToProject(c.model, options, details)
	if err != nil {
		return nil, err
	}
	for _, name := range opt.Services {
		if _, known := p.AllServices()[name]; !known {
			return nil, &UnknownServiceError{Name: name}
		}
	}
	if p, err = p.WithServicesEnabled(opt.Services...); err != nil {
		return nil, err
	}
	if p, err = p.WithSelectedServices(opt.Services); err != nil {
		return nil, err
	}
	for name, s := range p.Services {
		s.LabelFiles = nil // they are in the labels
		p.Services[name] = s
	}
	c.project = p.WithoutUnnecessaryResources()
	return c, nil
}

// withoutValues takes out of a model the values that the loader found for configs and secrets from the environment.
func withoutValues(model map[string]any) {
	for _, kind := range []string{"configs", "secrets"} {
		entries, _ := model[kind].(map[string]any)
		for _, e := range entries {
			if entry, ok := e.(map[string]any); ok {
				delete(entry, types.SecretConfigXValue)
			}
		}
	}
}

// PinImages adds to each image the digest that lookUp gives for it, several at a time. An image that has one keeps it. The
// error joins those of lookUp, in the order of the images' names; nothing is added then.
func (c *Canonical) PinImages(lookUp func(ref string) (string, error)) error {
	images := c.project
	if images == nil {
		images = &types.Project{Services: types.Services{}}
		for name, s := range c.modelServices() {
			if image, ok := s["image"].(string); ok {
				images.Services[name] = types.ServiceConfig{Name: name, ContainerSpec: types.ContainerSpec{Image: image}}
			}
		}
	}
	var mu sync.Mutex
	failed := map[string]error{}
	pinned, err := images.WithImagesResolved(func(named reference.Named) (digest.Digest, error) {
		ref := reference.FamiliarString(named)
		found, err := lookUp(ref)
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			failed[ref] = err
			found = digest.FromString("").String() // without one it would end at the first error
		}
		return digest.Digest(found), nil
	})
	for _, ref := range slices.Sorted(maps.Keys(failed)) {
		err = errors.Join(err, failed[ref])
	}
	if err != nil {
		return err
	}
	if c.project != nil {
		c.project = pinned
		return nil
	}
	for name, s := range c.modelServices() {
		if p, ok := pinned.Services[name]; ok {
			s["image"] = p.Image
		}
	}
	return nil
}

// modelServices are the services of a recipe that is printed as it stands; those of a project are elsewhere.
func (c *Canonical) modelServices() map[string]map[string]any {
	all := map[string]map[string]any{}
	services, _ := c.model["services"].(map[string]any)
	for name, s := range services {
		if service, ok := s.(map[string]any); ok {
			all[name] = service
		}
	}
	return all
}

// Text writes the recipe in a format, "yaml" or "json", each "$" doubled so that it is a recipe again. The variables of a
// recipe without interpolation stay what they are.
func (c *Canonical) Text(format string) (text []byte, err error) {
	switch isJSON := format == "json"; {
	case c.project == nil && isJSON:
		return encodeJSON(c.model)
	case c.project == nil:
		return encodeYAML(c.model)
	case isJSON:
		text, err = canonicalJSON(c.project)
	default:
		text, err = canonicalYAML(c.project)
	}
	return bytes.ReplaceAll(text, []byte("$"), []byte("$$")), err
}

// Services are the services' names, each after those that it depends on.
func (c *Canonical) Services() []string {
	if c.project == nil {
		services, _ := c.model["services"].(map[string]any)
		return sortedKeys(services)
	}
	var names []string
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		service, active := c.project.Services[name]
		if seen[name] || !active {
			return
		}
		seen[name] = true
		for _, need := range sortedKeys(service.DependsOn) {
			visit(need)
		}
		names = append(names, name)
	}
	for _, name := range c.project.ServiceNames() {
		visit(name)
	}
	return names
}

// Networks, Volumes and Models are the keys of those that the services use, sorted.
func (c *Canonical) Networks() []string { return c.keys("networks") }

// Volumes: see Networks.
func (c *Canonical) Volumes() []string { return c.keys("volumes") }

// Models: see Networks.
func (c *Canonical) Models() []string { return c.keys("models") }

func (c *Canonical) keys(kind string) []string {
	switch {
	case c.project == nil:
		entries, _ := c.model[kind].(map[string]any)
		return sortedKeys(entries)
	case kind == "networks":
		return c.project.NetworkNames()
	case kind == "models":
		return sortedKeys(c.project.Models)
	default:
		return c.project.VolumeNames()
	}
}

// Images are the services' images, one for each service, sorted; of a service without one, the name that a build would give
// it.
func (c *Canonical) Images() []string {
	var images []string
	if c.project == nil {
		for _, s := range c.modelServices() {
			if image, ok := s["image"].(string); ok {
				images = append(images, image)
			}
		}
	} else {
		for name, s := range c.project.Services {
			images = append(images, orElse(s.Image, c.project.Name+c.separator+name))
		}
	}
	slices.Sort(images)
	return images
}

// Profiles are those of all services, active or not, sorted.
func (c *Canonical) Profiles() []string {
	var profiles []string
	if c.project != nil {
		for _, s := range c.project.AllServices() {
			profiles = append(profiles, s.Profiles...)
		}
	}
	slices.Sort(profiles)
	return slices.Compact(profiles)
}

// Environment is what interpolation sees, as NAME=VALUE, sorted.
func (c *Canonical) Environment() []string {
	if c.project == nil {
		return nil
	}
	return c.project.Environment.Values()
}

// Variable is a variable that a recipe mentions.
type Variable struct {
	Name string `json:"Name"`
	// Default stands for it when it isn't set, Present when it is.
	Default  string `json:"DefaultValue"`
	Present  string `json:"PresenceValue"`
	Required bool   `json:"Required"`
}

// Variables are those that the recipe mentions, sorted. There are any only without interpolation.
func (c *Canonical) Variables() []Variable {
	var all []Variable
	found := template.ExtractVariables(c.model, template.DefaultPattern)
	for _, name := range sortedKeys(found) {
		v := found[name]
		all = append(all, Variable{Name: name, Default: v.DefaultValue, Present: v.PresenceValue, Required: v.Required})
	}
	return all
}

// OnlyImages leaves of each service its image: after [Canonical.PinImages], an override file that fixes what runs.
func (c *Canonical) OnlyImages() {
	if c.project != nil {
		services := types.Services{}
		for name, s := range c.project.Services {
			services[name] = types.ServiceConfig{ContainerSpec: types.ContainerSpec{Image: s.Image}}
		}
		c.project = &types.Project{Services: services}
		return
	}
	kept := map[string]any{}
	for name, s := range c.modelServices() {
		kept[name] = map[string]any{"image": s["image"]}
	}
	c.model = map[string]any{"services": kept}
}
