package compose

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v4"
)

// conformance finds all that the compose-spec's JSON schema has against a document. The loader validates with the same
// schema, but tells only its first violation, and that without a line.
func (r *recipe) conformance(doc *document) []finding {
	p := plainer{budget: maxNodes}
	model, ok := p.plain(doc.root).(map[string]any)
	if !ok || p.budget < 0 {
		return nil
	}
	model, err := interpolation.Interpolate(model, interpolation.Options{
		LookupValue:     doc.lookup,
		Substitute:      r.variables.substitute,
		TypeCastMapping: loader.ToOptions(&types.ConfigDetails{}, nil).Interpolate.TypeCastMapping,
	})
	found := r.casts(doc, err)
	if r.schema == nil {
		if r.schema, err = compile(); err != nil {
			return found
		}
	}
	var violation *jsonschema.ValidationError
	if !errors.As(r.schema.Validate(model), &violation) {
		return found
	}
	v := violations{doc: doc, names: schemaNames(), pruned: r.prunedOf[doc.file]}
	v.relocate(violation)
	v.collect(violation)
	v.misspelt()
	return append(found, v.found...)
}

// compile makes the validator of the compose-spec's schema.
func compile() (*jsonschema.Schema, error) {
	const name = "compose-spec.json"
	text, err := jsonschema.UnmarshalJSON(strings.NewReader(schema.Schema))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(name, text); err != nil {
		return nil, err
	}
	return compiler.Compile(name)
}

// maxNodes bounds what aliases may multiply; the loader has the same bound.
const maxNodes = 100_000

// plainer turns nodes into the values that the schema speaks of.
type plainer struct {
	budget int
}

// reset stands for an entry with the tag !reset, which the loader takes out, and for one that was taken out here.
type reset struct{}

func (p *plainer) plain(n *yaml.Node) any {
	if n = resolve(n); n == nil {
		return nil
	}
	if p.budget--; p.budget < 0 {
		return nil
	}
	switch {
	case isGap(n):
		return reset{}
	case n.Kind == yaml.MappingNode:
		return p.mapping(n)
	case n.Kind == yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			if value := p.plain(item); value != (reset{}) {
				list = append(list, value)
			}
		}
		return list
	default:
		return plainScalar(n)
	}
}

func (p *plainer) mapping(n *yaml.Node) map[string]any {
	values := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != "<<" {
			continue
		}
		for _, merged := range slices.Backward(mergedBy(n.Content[i+1])) {
			for key, value := range p.mapping(merged) {
				values[key] = value
			}
			if p.budget--; p.budget < 0 {
				return values
			}
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "<<" {
			continue
		}
		if value := p.plain(n.Content[i+1]); value != any(reset{}) {
			values[n.Content[i].Value] = value
		}
	}
	return values
}

func plainScalar(n *yaml.Node) any {
	bare := *n
	if !strings.HasPrefix(bare.Tag, "!!") {
		bare.Tag = "" // !override and the like
	}
	var value any
	if err := bare.Decode(&value); err != nil {
		return n.Value
	}
	switch value.(type) {
	case nil, bool, int, int64, uint64, float64, string:
		return value
	default:
		return n.Value // a date, or binary data
	}
}

// violations collects findings from the tree of a schema violation.
type violations struct {
	doc   *document
	names map[string][]string
	// pruned are entries already taken out; a key that is missing for that reason is no news.
	pruned []string
	found  []finding
}

// relocate gives a violation, and what it comes from, the places that the document has.
func (v *violations) relocate(e *jsonschema.ValidationError) {
	e.InstanceLocation = v.doc.inDocument(e.InstanceLocation)
	for _, c := range e.Causes {
		v.relocate(c)
	}
}

func (v *violations) collect(e *jsonschema.ValidationError) {
	switch k := e.ErrorKind.(type) {
	case *kind.OneOf:
		v.alternatives(e)
		return
	case *kind.AnyOf:
		v.alternatives(e)
		return
	case *kind.AdditionalProperties:
		for _, key := range k.Properties {
			v.unknown(append(slices.Clone(e.InstanceLocation), key))
		}
	case *kind.FalseSchema:
		v.unknown(e.InstanceLocation)
	case *kind.Schema, *kind.Reference, *kind.AllOf, *kind.Group:
	default:
		v.leaf(e)
	}
	for _, c := range e.Causes {
		v.collect(c)
	}
}

// alternatives decides which of the branches of a oneOf was meant: the one whose type fits. If none does, the types of
// all are what could stand there.
func (v *violations) alternatives(e *jsonschema.ValidationError) {
	var meant *jsonschema.ValidationError
	var want []string
	for _, branch := range e.Causes {
		if types := mismatch(branch, e.InstanceLocation); types != nil {
			want = append(want, types...)
		} else if meant == nil {
			meant = branch
		}
	}
	if meant != nil {
		v.collect(meant)
		return
	}
	if len(want) > 0 {
		v.wrongType(e.InstanceLocation, want)
	}
}

// mismatch returns the types that a branch wants instead of the one that stands at a place, or nil if that is not what
// it says.
func mismatch(e *jsonschema.ValidationError, at []string) []string {
	if k, ok := e.ErrorKind.(*kind.Type); ok && slices.Equal(e.InstanceLocation, at) {
		return k.Want
	}
	switch e.ErrorKind.(type) {
	case *kind.Reference, *kind.OneOf, *kind.AnyOf, *kind.Group:
	default:
		return nil
	}
	var want []string
	for _, c := range e.Causes {
		types := mismatch(c, at)
		if types == nil {
			return nil
		}
		want = append(want, types...)
	}
	return want
}

// misspelt marks the keys that are missing because they are misspelt: the misspelling is told.
func (v *violations) misspelt() {
	for i, missing := range v.found {
		for _, unknown := range v.found {
			within := missing.Code == "missing-key" && unknown.Code == "unknown-key" && unknown.Path[:max(0, strings.LastIndexByte(unknown.Path, '.'))] == missing.Path
			if within && strings.Contains(missing.Message, "lacks "+strings.TrimSuffix(strings.TrimPrefix(unknown.Hint, "did you mean "), "?")) {
				v.found[i].derived = true
			}
		}
	}
}

func (v *violations) leaf(e *jsonschema.ValidationError) {
	at := e.InstanceLocation
	name := subject(at)
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		v.wrongType(at, k.Want)
	case *kind.Enum:
		f := v.add(at, "invalid-value", fmt.Sprintf("%q must be %s", name, alternatives(inQuotes(k.Want))))
		if got, ok := k.Got.(string); ok {
			f.Hint = didYouMean(got, stringsOf(k.Want))
		}
	case *kind.Required:
		f := v.add(at, "missing-key", fmt.Sprintf("%q lacks %s", name, strings.Join(inQuotes(k.Missing), ", ")))
		f.derived = slices.ContainsFunc(k.Missing, func(key string) bool { return slices.Contains(v.pruned, join(f.Path, key)) })
	case *kind.UniqueItems:
		if isSet(at[len(at)-1]) {
			return // the loader takes one of them, before it asks the schema
		}
		second := append(slices.Clone(at), fmt.Sprint(k.Duplicates[1]))
		if s := v.doc.walk(dotted(at)); s.rest == "" && s.value.Kind == yaml.SequenceNode {
			second[len(at)], _ = nth(s.value, second[len(at)])
		}
		v.add(second, "duplicate-item", fmt.Sprintf("%q holds the same item twice", name))
	case *kind.Minimum:
		v.add(at, "invalid-value", fmt.Sprintf("%q must be at least %s", name, k.Want.RatString()))
	case *kind.Maximum:
		v.add(at, "invalid-value", fmt.Sprintf("%q must be at most %s", name, k.Want.RatString()))
	case *kind.Pattern:
		f := v.add(at, "invalid-value", fmt.Sprintf("%q must match %s", name, k.Want))
		if words := patternWords(k.Want); words != nil {
			f.Message = fmt.Sprintf("%q can't be %q", name, k.Got)
			f.Hint = nearest(k.Got, strings.Join(words, " "), "use "+alternatives(words))
		}
	case *kind.MinItems, *kind.MinLength, *kind.MinProperties:
		v.add(at, "invalid-value", fmt.Sprintf("%q must not be empty", name))
	default:
		v.add(at, "invalid-value", fmt.Sprintf("%q has no valid value", name))
	}
}

// patternWords are the words that a pattern of alternatives, as ^(always|never|every_[0-9]+h)$, takes; nil for another one.
func patternWords(pattern string) []string {
	list, ok := strings.CutPrefix(pattern, "^(")
	if !ok {
		return nil
	}
	var words []string
	for word := range strings.SplitSeq(strings.TrimSuffix(list, ")$"), "|") {
		if isWord := regexp.MustCompile(`^[a-z_]+$`).MatchString(word); isWord {
			words = append(words, word)
		}
	}
	return words
}

func (v *violations) wrongType(at, want []string) {
	var names []string
	for _, w := range want {
		if name := typeName(w); w != "null" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	message := fmt.Sprintf("%q must be %s", subject(at), alternatives(names))
	hint := ""
	if s := v.doc.walk(dotted(at)); s.rest == "" && s.value != nil {
		switch kind := kindOf(s.value); {
		case kind == "empty":
			message = fmt.Sprintf("%q is empty, it must be %s", subject(at), alternatives(names))
		case s.value.Kind == yaml.ScalarNode && slices.Contains(want, "string"):
			message, hint = message+", not "+kind, "put it in quotes"
		default:
			message += ", not " + kind
		}
	}
	v.add(at, "wrong-type", message).Hint = hint
}

// unknown reports a key that the schema doesn't have. The schema also calls known keys unknown when they hold another
// mistake; those are reported for themselves.
func (v *violations) unknown(at []string) {
	key, around := at[len(at)-1], at[:len(at)-1]
	siblings := v.siblings(around)
	if slices.Contains(siblings, key) || strings.HasPrefix(key, "x-") {
		return
	}
	if len(around) == 1 && slices.Contains(sections(), around[0]) {
		v.add(at, "invalid-name", fmt.Sprintf("the name %q may hold only letters, digits, \".\", \"_\" and \"-\"", key))
		return
	}
	f := v.add(at, "unknown-key", fmt.Sprintf("unknown key %q", key))
	if s := v.doc.walk(f.Path); s.key != nil {
		f.Line, f.Column = v.doc.at(s.key)
	}
	switch hint := didYouMean(key, siblings); {
	case hint != "":
		f.Hint = hint
	case len(around) == 0 && slices.Contains(v.names["services.*"], key):
		f.Hint = fmt.Sprintf("%q belongs into a service, below \"services:\"", key)
	case len(around) == 0 && (child(v.at(key), "image") != nil || child(v.at(key), "build") != nil):
		f.Hint = "a service stands below \"services:\""
	case len(around) == 0:
		f.Hint = "the top level has services, networks, volumes, configs, secrets, include and name; own keys start with \"x-\""
	}
}

// at returns the value of a top-level key.
func (v *violations) at(key string) *yaml.Node { return child(v.doc.root, key) }

// add appends an error at a place.
func (v *violations) add(at []string, code, message string) *finding {
	f := finding{Diagnostic: Diagnostic{Severity: Error, Code: code, Message: message, Path: dotted(at)}}
	f.place(v.doc.walk(f.Path))
	v.found = append(v.found, f)
	return &v.found[len(v.found)-1]
}

// siblings are the keys that the schema knows at a place.
func (v *violations) siblings(at []string) []string {
	if len(at) == 0 {
		return v.names[""]
	}
	for pattern, names := range v.names {
		if fits(pattern, at) {
			return names
		}
	}
	return nil
}

// fits tells whether a place is one that a pattern ("services.*.ports.[]") means.
func fits(pattern string, at []string) bool {
	parts := strings.Split(pattern, ".")
	if len(parts) != len(at) {
		return false
	}
	for i, part := range parts {
		if part != "*" && part != "[]" && part != at[i] {
			return false
		}
	}
	return true
}

// schemaNames are the keys that the compose-spec has, by the pattern of the mapping they stand in.
func schemaNames() map[string][]string {
	names := map[string][]string{"": {"name", "version"}}
	for _, path := range schema.AttributePaths() {
		parts := strings.Split(string(path), ".")
		for i, key := range parts {
			around := strings.Join(parts[:i], ".")
			if key != "*" && key != "[]" && !slices.Contains(names[around], key) {
				names[around] = append(names[around], key)
			}
		}
	}
	return names
}
