package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// open reads a source's files and makes a recipe of them, or several of a manifest.
func open(src Source) ([]*recipe, error) {
	registerRaw()
	go warm()
	p, err := discover(src)
	if err != nil {
		return nil, err
	}
	if len(p.paths) == 0 {
		return nil, nothing(p.dir)
	}
	var files []*file
	for _, path := range p.paths {
		text, err := read(src, path)
		if err != nil {
			return nil, err
		}
		files = append(files, &file{name: path, text: text})
	}
	if len(files) == 1 && isManifest(files[0]) {
		return openManifest(src, files[0])
	}
	if src.Recipe != "" {
		return nil, fmt.Errorf("choosing recipe %q: %q is not a BOSH manifest", src.Recipe, files[0].name)
	}
	r := newRecipe(src, p, files)
	if r.name, err = projectName(src, p, files); err != nil {
		return nil, err
	}
	return []*recipe{r}, nil
}

func newRecipe(src Source, p *place, files []*file) *recipe {
	r := &recipe{
		dir: p.dir, env: p.env, files: files, separator: "-",
		profiles: profiles(src, p.env), services: src.Services, lints: src.Lint, engineAPI: src.EngineAPI,
		key:       src.Key,
		unlocked:  src.Unlocked,
		variables: variables{unset: map[string][]string{}}, offline: src.Offline,
	}
	if src.Compatibility {
		r.separator = "_"
	}
	return r
}

// profiles are the active profiles.
func profiles(src Source, env types.Mapping) []string {
	if len(src.Profiles) > 0 {
		return src.Profiles
	}
	var active []string
	for _, name := range strings.Split(env["COMPOSE_PROFILES"], ",") {
		if name = strings.TrimSpace(name); name != "" {
			active = append(active, name)
		}
	}
	return active
}

// locate reads the recipe's files as YAML nodes, with those they include and extend, so that findings can be placed.
// It tells whether all of the recipe's own files could be read; what couldn't is a finding.
func (r *recipe) locate() bool {
	if r.index != nil {
		return true
	}
	x := &index{bases: map[string]*document{}}
	readable := true
	for _, f := range r.files {
		if f.docs == nil {
			docs, fault := parse(f.name, f.text)
			if fault != nil {
				if f.shift != nil {
					fault.Line, fault.Column = f.shift(fault.Line, fault.Column)
				}
				r.add([]finding{{Diagnostic: *fault}})
				readable = false
			}
			f.docs = docs
		}
		for _, doc := range f.docs {
			doc.dir, doc.lookup, doc.shift = r.dir, r.env.Resolve, f.shift
		}
		x.docs = append(x.docs, f.docs...)
	}
	g := gatherer{index: x, seen: map[string]bool{}, recipe: r}
	own := slices.Clone(x.docs)
	x.docs = nil
	for _, doc := range own {
		g.includes(doc, r.env)
		x.docs = append(x.docs, doc)
	}
	for _, doc := range slices.Clone(x.docs) {
		g.extended(doc)
	}
	r.index = x
	return readable
}

// gatherer reads the files that documents include and extend. What is missing is the loader's to say.
type gatherer struct {
	recipe *recipe
	index  *index
	seen   map[string]bool
}

// includes appends the documents that a document includes, before it: what it says itself wins.
func (g *gatherer) includes(doc *document, env types.Mapping) {
	list := child(doc.root, "include")
	if list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	for _, item := range list.Content {
		item = resolve(item)
		var paths []string
		dir := ""
		inner := env.Clone()
		if item.Kind == yaml.MappingNode {
			paths, dir = texts(child(item, "path")), scalar(child(item, "project_directory"))
		} else {
			paths = texts(item)
		}
		for i, path := range paths {
			paths[i] = absolute(doc.dir, g.expand(path, doc))
		}
		if len(paths) == 0 || g.seen[paths[0]] {
			continue
		}
		if dir = g.expand(dir, doc); dir == "" {
			dir = filepath.Dir(paths[0])
		}
		dir = absolute(doc.dir, dir)
		inner.Merge(includedEnv(item, doc.dir, dir, env))
		for _, path := range paths {
			g.seen[path] = true
			for _, included := range g.read(path, dir, inner) {
				g.includes(included, inner)
				g.index.docs = append(g.index.docs, included)
			}
		}
	}
}

// includedEnv is what an include's env files say: those it names, or .env in its project directory.
func includedEnv(item *yaml.Node, base, dir string, env types.Mapping) types.Mapping {
	files := texts(child(item, "env_file"))
	if files == nil {
		files = []string{filepath.Join(dir, ".env")}
	}
	for i, name := range files {
		files[i] = absolute(base, name)
	}
	vars, err := dotenv.GetEnvFromFile(env, files)
	if err != nil {
		return nil
	}
	return vars
}

// extended reads the files that a document's services extend.
func (g *gatherer) extended(doc *document) {
	services := child(doc.root, "services")
	if services == nil || services.Kind != yaml.MappingNode {
		return
	}
	for i := 1; i < len(services.Content); i += 2 {
		service := resolve(services.Content[i])
		if service == nil {
			continue
		}
		name, _ := extends(service)
		if name == "" {
			continue
		}
		path := absolute(doc.dir, g.expand(name, doc))
		if g.index.bases[path] != nil {
			continue
		}
		for _, base := range g.read(path, filepath.Dir(path), g.recipe.env) {
			g.index.bases[path] = base
			g.extended(base)
		}
	}
}

func (g *gatherer) expand(text string, doc *document) string {
	expanded, err := template.SubstituteWithOptions(text, doc.lookup, template.WithoutLogging)
	if err != nil {
		return text
	}
	return expanded
}

// read parses a further file; a fault in it is a finding of the recipe.
func (g *gatherer) read(path, dir string, env types.Mapping) []*document {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	docs, fault := parse(path, text)
	if fault != nil {
		g.recipe.add([]finding{{Diagnostic: *fault}})
	}
	for _, doc := range docs {
		doc.dir, doc.lookup = dir, env.Resolve
	}
	return docs
}

// texts reads a text or a list of texts.
func texts(n *yaml.Node) []string {
	if n = resolve(n); n == nil {
		return nil
	}
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}
	}
	var all []string
	for _, item := range n.Content {
		if item = resolve(item); item != nil && item.Kind == yaml.ScalarNode {
			all = append(all, item.Value)
		}
	}
	return all
}
