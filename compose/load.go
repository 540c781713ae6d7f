package compose

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/consts"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/sirupsen/logrus"
	"go.yaml.in/yaml/v4"
)

// Load reads one recipe. The diagnostics are all that was found, sorted by file and line; if one of them is an Error,
// the error is an [*InvalidError] with the same list. Other errors tell that the recipe couldn't be read at all:
// [ErrNoRecipe] is in the chain where there is none. A BOSH manifest with several recipes needs src.Recipe.
func Load(ctx context.Context, src Source) (*Project, []Diagnostic, error) {
	recipes, err := open(src)
	if err != nil {
		return nil, nil, err
	}
	if len(recipes) > 1 {
		return nil, nil, ambiguous(recipes)
	}
	return recipes[0].project(ctx)
}

// LoadAll reads every recipe of the source: one, or those of a BOSH manifest (the one that src.Recipe names, if any).
// Diagnostics and errors are those of [Load], over all recipes; the projects are those without an Error.
func LoadAll(ctx context.Context, src Source) ([]*Project, []Diagnostic, error) {
	recipes, err := open(src)
	if err != nil {
		return nil, nil, err
	}
	var projects []*Project
	var diagnostics []Diagnostic
	for _, r := range recipes {
		project, found, err := r.project(ctx)
		if invalid := new(InvalidError); err != nil && !errors.As(err, &invalid) {
			return nil, found, err
		}
		diagnostics = append(diagnostics, found...)
		if project != nil {
			projects = append(projects, project)
		}
	}
	return projects, diagnostics, invalid(diagnostics)
}

// invalid is the error of a list of findings, nil if none of them is an Error.
func invalid(diagnostics []Diagnostic) error {
	if slices.ContainsFunc(diagnostics, func(d Diagnostic) bool { return d.Severity == Error }) {
		return &InvalidError{Diagnostics: diagnostics}
	}
	return nil
}

// recipe is one recipe on its way to a project.
type recipe struct {
	job       *job // in a manifest
	name      string
	dir       string
	files     []*file
	env       types.Mapping
	profiles  []string
	services  []string
	separator string
	offline   *Offline
	lints     bool
	engineAPI string
	key       func() ([]byte, error)
	unlocked  bool

	variables variables
	index     *index             // see locate
	schema    *jsonschema.Schema // see conformance
	// held are variables of the manifest that stood where their value would have to be known.
	held []string
	// pruned are the paths of the entries that had to be taken out to check the rest.
	pruned []string
	// prunedOf are they by file, since each counts the items of its lists itself.
	prunedOf map[string][]string
	// cutOthers tells that some were taken out of files that the recipe includes or extends: see mirror.
	cutOthers bool
	// lax tells that the loader must take what the schema refuses: see prune.
	lax         bool
	diagnostics []Diagnostic
	told        map[Diagnostic]bool // the identities of the diagnostics that add took in
}

// file is one file of a recipe, or the part of a manifest that is one.
type file struct {
	name string // absolute, or "-"
	text []byte
	docs []*document
	// A recipe inside a manifest starts at a node of it. If it is a mapping, the loader gets it as a value, not as text,
	// since anchors may stand elsewhere in the manifest; if it is a text, shift maps its positions to the manifest's.
	start   *yaml.Node
	mapping bool
	shift   func(line, column int) (int, int)
}

// mentions tells whether a key may occur in the file.
func (f *file) mentions(key string) bool { return bytes.Contains(f.text, []byte(key)) }

// config is the file as the loader takes it; edited ones are written anew from their nodes.
func (f *file) config(edited bool) types.ConfigFile {
	if edited {
		defer closeGaps(f.docs)()
	}
	config := types.ConfigFile{Filename: f.name, Content: f.text}
	switch {
	case f.mapping:
		config.Content = []byte("[]") // what can't be decoded fails as what it is: no mapping
		if f.docs[0].root.Decode(&config.Config) != nil {
			config.Config = nil
		}
	case edited && len(f.docs) > 0:
		if text, err := encodeDocuments(f.docs); err == nil {
			config.Content = text
		}
	}
	return config
}

// project loads, checks and lowers a recipe.
func (r *recipe) project(ctx context.Context) (*Project, []Diagnostic, error) {
	// The loader tells its warnings to logrus's global logger. A library must not print; what matters of them is found
	// here again, with positions.
	logrus.SetOutput(io.Discard)

	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("loading the recipe: %w", err)
	}
	for _, f := range r.files {
		if deep := f.tooDeep(); deep != nil {
			return nil, []Diagnostic{*deep}, &InvalidError{Diagnostics: []Diagnostic{*deep}}
		}
	}
	l, failure := r.load(ctx)
	if failure != nil {
		if err := ctx.Err(); err != nil {
			return nil, nil, fmt.Errorf("loading the recipe: %w", err)
		}
		l = r.examine(ctx, failure)
	}
	var project *Project
	if l != nil {
		project = r.finish(l)
	}
	if len(r.variables.unset) > 0 && r.locate() {
		r.add(r.undefined())
	}
	r.bosh()
	slices.SortStableFunc(r.diagnostics, byPosition)
	if err := invalid(r.diagnostics); err != nil {
		return nil, r.diagnostics, err
	}
	return project, r.diagnostics, nil
}

// finish checks a loaded recipe and lowers it.
func (r *recipe) finish(l *loaded) *Project {
	found := unsupported(l.model, l.project.DisabledServices)
	if r.lax { // the keys that the schema doesn't have are told
		found = slices.DeleteFunc(found, func(d Diagnostic) bool { return d.Code == codeNotYet })
	}
	found = append(found, r.check(l.project)...)
	found = append(found, checkExtensions(l.model)...)
	if r.lints {
		found = append(found, r.lint(l.project)...)
	}
	found = append(found, r.envFileVariables(l.project)...)
	found = append(found, r.resolveFiles(l)...)
	dropUnused(l.project)
	project, lowered := lower(l.project, r.separator, r.key)
	if r.offline != nil { // who knows the images needs no warning that they may lack a healthcheck
		lowered = slices.DeleteFunc(lowered, func(d Diagnostic) bool { return d.Code == codeNoTest })
	}
	pinned := r.pin(project, l.project.DisabledServices)
	found = r.withoutInherited(slices.Concat(found, lowered, pinned, tooNew(project, r.engineAPI), refusedBy(project, r.engineAPI)))
	r.report(found)
	r.placeRequirements(project)
	if l.inconsistent != nil && len(r.pruned) == 0 && invalid(found) == nil && r.locate() {
		r.add(r.unresolved(r.translate(l.inconsistent)))
	}
	for _, f := range r.files {
		project.Files = append(project.Files, f.name)
	}
	return project
}

// loaded is what the loader makes of a recipe: the merged model, and the project that it stands for.
type loaded struct {
	model   map[string]any
	project *types.Project
	// inconsistent is what the loader has against the project as a whole.
	inconsistent error
}

// load lets compose-go read the recipe. It may panic on input that its authors didn't think of.
func (r *recipe) load(ctx context.Context) (l *loaded, err error) {
	defer func() {
		if p := recover(); p != nil {
			l, err = nil, errPanic
		}
	}()
	set := []func(*loader.Options){r.options}
	var copies *mirror
	if r.cutOthers {
		if copies, err = r.mirrored(); err != nil {
			return nil, err
		}
		defer copies.remove()
		set = append(set, func(o *loader.Options) { o.ResourceLoaders = append(o.ResourceLoaders, copies) })
	}
	details := r.details()
	if copies != nil {
		copies.restore()
	}
	model, err := loader.LoadModelWithContext(ctx, details, set...)
	if err != nil {
		return nil, err
	}
	options := loader.ToOptions(&details, set)
	// Env and label files are read in resolveFiles: the loader copies the whole project for each kind.
	options.SkipResolveEnvironment, options.SkipResolveLabels = true, true
	options.Profiles = append(slices.Clone(options.Profiles), r.named(model)...)
	l = &loaded{model: model}
	keepNames(model)
	defer unbind(model)
	if l.project, err = loader.ModelToProject(model, options, details); err == nil {
		return l, nil
	}
	options.SkipConsistencyCheck = true
	if !strings.Contains(err.Error(), "can't set distinct values") { // lowering says so, where both are set
		l.inconsistent = err
	}
	restoreExtensions(model)
	if l.project, err = loader.ModelToProject(model, options, details); err != nil {
		return nil, err
	}
	return l, nil
}

// restoreExtensions puts the extensions of a model, which the loader keeps apart once it has bound it, back in their places, so
// that it can be bound again.
func restoreExtensions(value any) {
	switch value := value.(type) {
	case map[string]any:
		if apart, ok := value[consts.Extensions].(map[string]any); ok {
			delete(value, consts.Extensions)
			maps.Copy(value, apart)
		}
		for _, v := range value {
			restoreExtensions(v)
		}
	case []any:
		for _, v := range value {
			restoreExtensions(v)
		}
	}
}

// named are the profiles of the services that the caller names (compose-spec, profiles: "explicitly targeted").
func (r *recipe) named(model map[string]any) []string {
	var active []string
	services, _ := model["services"].(map[string]any)
	for _, name := range r.services {
		service, _ := services[name].(map[string]any)
		list, _ := service["profiles"].([]any)
		for _, profile := range list {
			if text, ok := profile.(string); ok {
				active = append(active, text)
			}
		}
	}
	return active
}

// unbind takes out of a model what the loader writes into it while binding: the names of services, and the values of
// secrets that come from the environment.
func unbind(model map[string]any) {
	for kind, key := range map[string]string{"services": "name", "jobs": "name", "secrets": "Content", "configs": "Content"} {
		entries, _ := model[kind].(map[string]any)
		for _, e := range entries {
			if entry, ok := e.(map[string]any); ok {
				delete(entry, key)
			}
		}
	}
}

// keepNames saves labels, variables and the like whose names start with "x-" from the loader, which would take them for
// extensions. A list of KEY=VALUE means the same as a mapping, and the loader lets it be.
func keepNames(model map[string]any) {
	for _, kind := range []string{"services", "networks", "volumes"} {
		entries, _ := model[kind].(map[string]any)
		for _, e := range entries {
			attributes, _ := e.(map[string]any)
			listNames(attributes)
			for _, stage := range []string{"pre_start", "post_start", "pre_stop"} {
				hooks, _ := attributes[stage].([]any)
				for _, h := range hooks {
					hook, _ := h.(map[string]any)
					listNames(hook)
				}
			}
		}
	}
}

func listNames(attributes map[string]any) {
	for _, attribute := range []string{"annotations", "environment", "extra_hosts", "labels", "sysctls"} {
		table, _ := attributes[attribute].(map[string]any)
		names := sortedKeys(table)
		if !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, "x-") }) {
			continue
		}
		var list []any
		for _, name := range names {
			switch value := table[name].(type) {
			case nil:
				list = append(list, name)
			case []any: // the addresses of a host
				for _, v := range value {
					list = append(list, fmt.Sprintf("%s=%v", name, v))
				}
			default:
				list = append(list, fmt.Sprintf("%s=%v", name, value))
			}
		}
		attributes[attribute] = list
	}
}

// errPanic stands for a panic of the loader.
var errPanic = errors.New("the loader gave up")

// options set up the loader.
func (r *recipe) options(o *loader.Options) {
	o.SetProjectName(r.name, true)
	o.Profiles = r.profiles
	o.SkipValidation = r.lax
	o.Interpolate.Substitute = r.variables.substitute
	if r.selfContained() {
		o.Interpolate.TypeCastMapping = relevantCasts(o.Interpolate.TypeCastMapping, r.files)
	}
}

// selfContained tells whether all text of the recipe is in its own files.
func (r *recipe) selfContained() bool {
	return !slices.ContainsFunc(r.files, func(f *file) bool { return f.mentions("include") || f.mentions("extends") })
}

// dropUnused takes out the networks and volumes that no active service uses, as docker compose does.
func dropUnused(project *types.Project) {
	networks, volumes := map[string]bool{}, map[string]bool{}
	use := func(s types.ContainerSpec) {
		for key := range s.Networks {
			networks[key] = true
		}
		for _, v := range s.Volumes {
			volumes[v.Source] = volumes[v.Source] || v.Type == types.VolumeTypeVolume
		}
	}
	for _, s := range project.Services {
		use(s.ContainerSpec)
		for _, hook := range s.PreStart {
			use(hook.ContainerSpec)
		}
	}
	maps.DeleteFunc(project.Networks, func(key string, _ types.NetworkConfig) bool { return !networks[key] })
	maps.DeleteFunc(project.Volumes, func(key string, _ types.VolumeConfig) bool { return !volumes[key] })
}

// report positions findings by their paths and takes them in.
func (r *recipe) report(diagnostics []Diagnostic) {
	if len(diagnostics) == 0 || !r.locate() {
		return
	}
	var found []finding
	for _, d := range servicesFirst(diagnostics) {
		f := finding{Diagnostic: d}
		if d.File == "" {
			s := r.index.find(d.Path)
			f.place(s)
			f.Path = s.numbered(d.Path)
			if (d.aboutKey || d.Code == "unknown-key") && s.key != nil {
				f.Line, f.Column = s.doc.at(s.key) // not its value: that may be right elsewhere
			}
		}
		if r.follows(f.Diagnostic) {
			continue
		}
		if r.lax && slices.ContainsFunc(r.diagnostics, f.samePlace) {
			continue // of what the schema refuses, and what was loaded in spite of it
		}
		found = append(found, f)
	}
	r.add(r.unresolved(found))
}

// placeRequirements finds where the attributes stand that an Engine may be too old for, or too new.
func (r *recipe) placeRequirements(p *Project) {
	place := func(attribute string, at *string) {
		if r.locate() {
			var f finding
			f.place(r.index.find(attribute))
			*at = f.Position()
		}
	}
	for _, s := range p.Services {
		for i := range s.Requires {
			place(s.Requires[i].Attribute, &s.Requires[i].Place)
		}
		for i := range s.Refusals {
			place(s.Refusals[i].Attribute, &s.Refusals[i].Place)
		}
	}
}

func byPosition(a, b Diagnostic) int {
	return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
		strings.Compare(a.Path, b.Path), strings.Compare(a.Code, b.Code), strings.Compare(a.Message, b.Message))
}

// sortedKeys returns a map's keys in order, so that what is said doesn't depend on chance.
func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// warm compiles the loader's JSON schema while files are read; the loader keeps it.
func warm() {
	_ = schema.Validate(map[string]any{})
}
