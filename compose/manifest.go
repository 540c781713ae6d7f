package compose

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// Where the recipe of a BOSH job ends up on a VM, and the project it makes there.
const (
	manifestDir     = "/var/vcap/jobs/docker/etc/running"
	manifestProject = "running"
)

// isManifest tells whether a file is a BOSH manifest: its top level has instance_groups.
func isManifest(f *file) bool {
	if !bytes.Contains(f.text, []byte("instance_groups")) {
		return false
	}
	docs, fault := parse(f.name, f.text)
	if fault != nil || len(docs) != 1 {
		return false
	}
	f.docs = docs
	return child(docs[0].root, "instance_groups") != nil
}

// job is a job of a manifest that has a recipe.
type job struct {
	label   string // GROUP/JOB
	path    string // of the recipe in the manifest
	recipe  *yaml.Node
	project string // the job's own choice, or ""
}

// openManifest makes a recipe of each job that has one.
func openManifest(src Source, f *file) ([]*recipe, error) {
	jobs, err := chosen(src, f)
	if err != nil {
		return nil, err
	}
	dir := manifestDir
	if src.ProjectDir != "" {
		dir = absolute(src.Dir, src.ProjectDir)
	}
	p := &place{dir: dir, env: types.NewMapping(src.Environ)}
	if len(src.EnvFiles) > 0 {
		if err := p.readEnvFiles(src, dir); err != nil {
			return nil, err
		}
	}
	p.env["PWD"] = dir
	var recipes []*recipe
	for _, j := range jobs {
		here := &place{dir: dir, env: maps.Clone(p.env)}
		r := newRecipe(src, here, []*file{f.part(j.recipe)})
		r.job = &j
		if r.name, err = j.projectName(src, here, r.files[0]); err != nil {
			return nil, err
		}
		r.mixedKeys()
		recipes = append(recipes, r)
	}
	return recipes, nil
}

// chosen returns the jobs with a recipe, or the one that the source names.
func chosen(src Source, f *file) ([]job, error) {
	jobs := jobsOf(f.docs[0].root)
	if len(jobs) == 0 {
		return nil, fmt.Errorf("%w in the manifest %q: looked for properties.recipe in instance_groups[].jobs[]", ErrNoRecipe, f.name)
	}
	if src.Recipe == "" {
		return jobs, nil
	}
	var labels []string
	for _, j := range jobs {
		if j.label == src.Recipe {
			return []job{j}, nil
		}
		labels = append(labels, j.label)
	}
	return nil, fmt.Errorf("choosing recipe %q of %q: there is none of that name; it has %s", src.Recipe, f.name, strings.Join(labels, ", "))
}

// jobsOf finds the recipes of a manifest: instance_groups[].jobs[].properties.recipe, or recipe beside the properties.
func jobsOf(root *yaml.Node) []job {
	var jobs []job
	for g, group := range items(child(root, "instance_groups")) {
		for n, entry := range items(child(group, "jobs")) {
			j := job{
				label:   scalar(child(group, "name")) + "/" + scalar(child(entry, "name")),
				path:    fmt.Sprintf("instance_groups[%d].jobs[%d].properties.recipe", g, n),
				recipe:  child(child(entry, "properties"), "recipe"),
				project: scalar(child(child(entry, "properties"), "project")),
			}
			if j.recipe == nil {
				j.path = fmt.Sprintf("instance_groups[%d].jobs[%d].recipe", g, n)
				j.recipe = child(entry, "recipe")
			}
			if j.recipe != nil {
				jobs = append(jobs, j)
			}
		}
	}
	return jobs
}

func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// part makes a file of the part of a manifest that is a recipe: a mapping, or a text.
func (f *file) part(n *yaml.Node) *file {
	p := &file{name: f.name, text: f.text, start: n}
	if n.Kind != yaml.ScalarNode {
		p.docs = []*document{{file: f.name, text: f.text, root: n}}
		p.mapping = true
		return p
	}
	p.text = []byte(n.Value)
	p.shift = textShift(n, f.text)
	return p
}

// textShift maps positions in a text inside a manifest to the manifest. A block text ("|") keeps its lines, indented; one
// in quotes is taken apart; of any other style only the start is known.
func textShift(n *yaml.Node, manifest []byte) func(line, column int) (int, int) {
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		if shift := quotedShift(n, manifest); shift != nil {
			return shift
		}
	}
	if n.Style&yaml.LiteralStyle == 0 {
		return func(int, int) (int, int) { return n.Line, n.Column }
	}
	first, _, _ := strings.Cut(strings.TrimLeft(n.Value, "\n"), "\n")
	blank := len(n.Value) - len(strings.TrimLeft(n.Value, "\n"))
	indent := strings.Index(Line(string(manifest), n.Line+1+blank), first)
	return func(line, column int) (int, int) {
		if column > 0 {
			column += max(indent, 0)
		}
		return n.Line + line, column
	}
}

// projectName is the project's name: the source's choice, the job's, the recipe's, or else the release's default.
func (j *job) projectName(src Source, p *place, f *file) (string, error) {
	if src.Name != "" {
		return explicit(src.Name)
	}
	if j.project != "" {
		return explicit(j.project)
	}
	named := ""
	if f.mapping {
		named, _ = template.SubstituteWithOptions(scalar(child(f.docs[0].root, "name")), p.env.Resolve, template.WithoutLogging)
	} else {
		named = f.projectName(p.env)
	}
	if name := loader.NormalizeProjectName(named); name != "" {
		return name, nil
	}
	return manifestProject, nil
}

// manifestName is the project's name of a manifest with one recipe, or of the chosen one.
func manifestName(src Source, f *file) (string, error) {
	recipes, err := openManifest(src, f)
	if err != nil {
		return "", err
	}
	if len(recipes) > 1 {
		return "", ambiguous(recipes)
	}
	return recipes[0].name, nil
}

// ambiguous is the error of a manifest with several recipes where one is wanted.
func ambiguous(recipes []*recipe) error {
	var labels []string
	for _, r := range recipes {
		labels = append(labels, r.job.label)
	}
	return fmt.Errorf("choosing a recipe: %q has several; choose one with --recipe: %s", recipes[0].files[0].name, strings.Join(labels, ", "))
}

// variableNames finds BOSH's ((variables)) in a text.
func variableNames(text string) []string {
	var names []string
	for _, match := range regexp.MustCompile(`\(\(!?([^()\s]+)\)\)`).FindAllStringSubmatch(text, -1) {
		names = append(names, match[1])
	}
	return names
}

// bosh adds the note about the variables that the BOSH director fills in later.
func (r *recipe) bosh() {
	if r.job == nil {
		return
	}
	var names []string
	if f := r.files[0]; f.mapping {
		f.docs[0].scalars(func(n *yaml.Node, _ string, _ entry) { names = append(names, variableNames(n.Value)...) })
	} else {
		names = variableNames(string(f.text))
	}
	names = append(names, r.held...)
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	d := r.whole("bosh-variables", "variables of the manifest stay as they are: "+strings.Join(slices.Compact(names), ", "))
	d.Severity, d.Path = Note, r.job.path
	r.diagnostics = append(r.diagnostics, d)
}

// unresolved makes notes of the errors that only say that a ((variable)) is not yet what it will be.
func (r *recipe) unresolved(found []finding) []finding {
	if r.job == nil {
		return found
	}
	for i, f := range found {
		names := r.variableAt(f)
		if f.Severity != Error || len(names) == 0 || slices.Contains([]string{"unknown-key", "duplicate-key", "key-not-text"}, f.Code) {
			continue
		}
		r.held = append(r.held, names...)
		found[i].Severity, found[i].Code, found[i].Hint = Note, "unchecked-variable", ""
		found[i].Message = fmt.Sprintf("not checked: the value is ((%s))", strings.Join(names, ")), (("))
	}
	return found
}

// variableAt returns the variables in the value that a finding points at.
func (r *recipe) variableAt(f finding) []string {
	if f.Path == "" {
		return nil
	}
	s := r.index.find(f.Path)
	if s.value == nil || s.value.Kind != yaml.ScalarNode {
		return nil
	}
	return variableNames(s.value.Value)
}

// mixedKeys warns about mappings whose keys have several types: the BOSH director sorts keys, and fails on those.
func (r *recipe) mixedKeys() {
	f := r.files[0]
	if !f.mapping {
		return
	}
	doc := f.docs[0]
	doc.mappings(func(n *yaml.Node, path string) {
		var tags []string
		for i := 0; i < len(n.Content); i += 2 {
			if tag := n.Content[i].ShortTag(); tag != "!!merge" && !slices.Contains(tags, tag) {
				tags = append(tags, tag)
			}
		}
		if len(tags) < 2 {
			return
		}
		d := doc.finding(n, path, "mixed-keys", "the keys of this mapping have several types, which the BOSH director can't sort")
		d.Severity, d.Hint = Warning, "put the keys in quotes"
		r.diagnostics = append(r.diagnostics, d.Diagnostic)
	})
}
