package compose

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// finding is a diagnostic together with the entry that has to go before the rest of the recipe can be checked.
type finding struct {
	Diagnostic
	entry entry
	// derived marks what only follows from an entry already taken out: it goes too, but nobody needs to hear of it.
	derived bool
}

// finding makes an error about a node.
func (d *document) finding(n *yaml.Node, path, code, message string) finding {
	f := finding{Diagnostic: Diagnostic{Severity: Error, Code: code, Message: message, Path: path, File: d.file}}
	f.Line, f.Column = d.at(n)
	return f
}

// place points a finding at a spot and takes the entry around it.
func (f *finding) place(s spot) {
	s.position(&f.Diagnostic)
	f.entry = s.entry
}

// rounds is how often a broken recipe is tried again without its faults; each round ends at the first fault that only
// the loader sees.
const rounds = 100

// examine finds all that is wrong with a recipe that didn't load. It takes out what is wrong, and tries again, so that
// one mistake doesn't hide the others. It returns what could be loaded in the end, or nil.
func (r *recipe) examine(ctx context.Context, failure error) *loaded {
	if !r.locate() {
		return nil
	}
	for range rounds {
		found := r.explain(failure)
		if len(found) == 1 && (found[0].Code == "invalid-recipe" || found[0].Code == "loader-panic") && found[0].Path == "" {
			found = r.culprits(ctx, failure, found[0])
		}
		r.add(found)
		r.add(r.undefined()) // now: the texts they stand in may be about to go
		if !r.prune(found) {
			return nil
		}
		var l *loaded
		if l, failure = r.load(ctx); failure == nil {
			return l
		}
	}
	return nil
}

// explain says why a recipe didn't load: all that its documents tell, or else what the loader said.
func (r *recipe) explain(failure error) []finding {
	// Each step rests on the one before.
	steps := []func(*document) []finding{(*document).structure, r.interpolation, r.conformance}
	for _, step := range steps {
		var found []finding
		for _, doc := range r.index.everything() {
			found = append(found, step(doc)...)
		}
		if r.lax { // what stays in included files isn't news any more
			found = slices.DeleteFunc(found, func(f finding) bool { return r.told[f.identity()] })
		}
		if len(found) > 0 {
			return r.unresolved(found)
		}
	}
	return r.unresolved(r.translate(failure))
}

// prune takes the entries of findings out of the recipe. It tells whether the recipe is another one now. What can't be taken out
// of an included file stays: from then on the loader must read it without the schema.
func (r *recipe) prune(found []finding) bool {
	pruned := false
	for _, f := range found {
		// A whole section goes only if it is itself what is wrong; without services there is nothing left to check.
		whole := slices.Contains(sections(), f.entry.path) && f.entry.path != f.Path || f.entry.path == "services"
		own := r.owns(f.File)
		switch {
		case !whole && f.entry.cut():
			r.cutOthers = r.cutOthers || !own
			pruned = true
		case own:
			continue
		default:
			pruned = pruned || !r.lax
			r.lax = true
		}
		r.pruned = append(r.pruned, f.entry.path)
		if r.prunedOf == nil {
			r.prunedOf = map[string][]string{}
		}
		r.prunedOf[f.File] = append(r.prunedOf[f.File], f.entry.path)
	}
	return pruned
}

// written tells whether a path stands in the recipe's files.
func (r *recipe) written(path string) bool { return r.locate() && r.index.find(path).rest == "" }

// lost are the paths of what was taken out of the recipe, also in the services that would have inherited it.
func (r *recipe) lost(p *types.Project) []string {
	lost := slices.Clone(r.pruned)
	if len(lost) == 0 {
		return nil
	}
	for _, name := range p.ServiceNames() {
		own := "services." + name
		at := own
		for range 20 { // services may extend each other
			_, base, ok := r.index.extended(at)
			if !ok || base == at || base == own {
				break
			}
			for _, path := range r.pruned {
				if attribute, inside := strings.CutPrefix(path, base+"."); inside {
					lost = append(lost, own+"."+attribute)
				}
			}
			at = base
		}
	}
	return lost
}

// details are the recipe's files as the loader takes them: as read or, after a fault was taken out, as they are left.
func (r *recipe) details() types.ConfigDetails {
	details := types.ConfigDetails{WorkingDir: r.dir, Environment: r.env}
	for _, f := range r.files {
		details.ConfigFiles = append(details.ConfigFiles, f.config(len(r.pruned) > 0))
	}
	return details
}

// add takes findings into the recipe's diagnostics, each once.
func (r *recipe) add(found []finding) {
	for _, f := range found {
		if f.derived || r.told[f.identity()] {
			continue
		}
		if r.told == nil {
			r.told = map[Diagnostic]bool{}
		}
		r.told[f.identity()] = true
		r.diagnostics = append(r.diagnostics, r.discreet(f.Diagnostic))
	}
}

// identity is the same for findings that tell a reader the same. What stands behind an anchor has many paths, in services and
// in the containers of their pre_start, but is one finding.
func (d Diagnostic) identity() Diagnostic {
	if d.Line == 0 {
		return d
	}
	message := outsideHook(d.Message)
	if service, ok := strings.CutPrefix(d.Path, "services."); ok { // several that extend the one in which it stands
		name, _, _ := strings.Cut(service, ".")
		message = strings.Replace(message, fmt.Sprintf("service %q", name), "service", 1)
	}
	return Diagnostic{File: d.File, Line: d.Line, Column: d.Column, Message: message}
}
