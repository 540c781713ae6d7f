package compose

import (
	"context"
	"slices"

	"go.yaml.in/yaml/v4"
)

// maxProbes bounds how often a recipe is loaded to find what the loader means.
const maxProbes = 1000

// culprits places an error that the loader gives without saying where: at the innermost entries that give it alone, or else the
// one without which it isn't given.
func (r *recipe) culprits(ctx context.Context, failure error, f finding) []finding {
	p := prober{recipe: r, failure: failure.Error(), left: maxProbes}
	var found []finding
	for _, doc := range r.index.docs {
		restore := p.alone(doc)
		var at []spot
		if text, ok := p.load(ctx); ok && text == p.failure {
			at = p.narrow(ctx, spot{doc: doc, value: doc.root})
		}
		restore()
		for _, s := range at {
			placed := f
			placed.place(s)
			placed.Path = s.path
			found = append(found, placed)
		}
	}
	if len(found) == 0 {
		return []finding{f}
	}
	return found
}

type prober struct {
	recipe  *recipe
	failure string
	left    int
}

// narrow finds the entries below a spot that are at fault. What is included is looked through where it stands.
func (p *prober) narrow(ctx context.Context, s spot) []spot {
	if s.path == "include" {
		return nil
	}
	var all []spot
	innermost := func(s spot) {
		if deeper := p.narrow(ctx, s); len(deeper) > 0 {
			all = append(all, deeper...)
		} else if s.path != "include" {
			all = append(all, s)
		}
	}
	for _, within := range s.entries() {
		content, at, end := within.content()
		restore := p.replace(within, content[at:end]) // also below it: what stands beside it may be at fault too
		if text, ok := p.load(ctx); ok && text == p.failure {
			innermost(within)
		}
		restore()
	}
	for _, within := range s.entries() {
		if len(all) > 0 {
			break
		}
		content, at, end := within.content()
		restore := p.replace(within, slices.Concat(content[:at], content[end:]))
		text, ok := p.load(ctx)
		if restore(); ok && text != p.failure {
			innermost(within)
		}
	}
	return all
}

// content is that of the mapping or list around an entry, in which the entry is what stands from at to end.
func (s spot) content() (content []*yaml.Node, at, end int) {
	content = s.entry.around.Content
	at = slices.Index(content, s.entry.node)
	if s.entry.around.Kind == yaml.MappingNode {
		return content, at, at + 2
	}
	return content, at, at + 1
}

// alone leaves of all other documents only what they include, and returns what makes them whole.
func (p *prober) alone(doc *document) (restore func()) {
	r := p.recipe
	pruned, others := r.pruned, r.cutOthers
	contents := map[*yaml.Node][]*yaml.Node{}
	for _, other := range r.index.docs {
		if other == doc || other.root == nil || other.root.Kind != yaml.MappingNode {
			continue
		}
		content := other.root.Content
		contents[other.root], other.root.Content = content, nil
		for at := 0; at+1 < len(content); at += 2 {
			if content[at].Value == "include" {
				other.root.Content = slices.Clone(content[at : at+2])
			}
		}
		r.pruned, r.cutOthers = append(slices.Clone(r.pruned), other.file), r.cutOthers || !r.owns(other.file)
	}
	return func() {
		r.pruned, r.cutOthers = pruned, others
		for root, content := range contents {
			root.Content = content
		}
	}
}

// replace puts another content around an entry, and returns what puts it back.
func (p *prober) replace(s spot, content []*yaml.Node) (restore func()) {
	r := p.recipe
	before, pruned, others := s.entry.around.Content, r.pruned, r.cutOthers
	s.entry.around.Content = slices.Clone(content)
	r.pruned, r.cutOthers = append(slices.Clone(pruned), s.path), others || !r.owns(s.doc.file)
	return func() { s.entry.around.Content, r.pruned, r.cutOthers = before, pruned, others }
}

// load loads the recipe as it is now, and gives the error's text; it is not ok when that was tried too often.
func (p *prober) load(ctx context.Context) (failure string, ok bool) {
	if p.left--; p.left < 0 {
		return "", false
	}
	if _, err := p.recipe.load(ctx); err != nil {
		return err.Error(), true
	}
	return "", true
}

// entries are the spots of a mapping's own keys, or of a list's items.
func (s spot) entries() []spot {
	value := resolve(s.value)
	var all []spot
	switch {
	case value == nil:
	case value.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(value.Content); i += 2 {
			at := s
			at.rest = value.Content[i].Value
			if next, ok := at.intoMapping(value); ok && next.rest == "" && next.key == value.Content[i] {
				all = append(all, next)
			}
		}
	case value.Kind == yaml.SequenceNode:
		for i, item := range value.Content {
			if within := s.item(value, i, ""); !isGap(item) && within.entry.node == item {
				all = append(all, within)
			}
		}
	}
	return all
}
