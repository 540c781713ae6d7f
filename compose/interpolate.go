package compose

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/tree"
	"go.yaml.in/yaml/v4"
)

// variables puts values in place of a recipe's variables, and remembers the texts with a variable that has none.
type variables struct {
	unset map[string][]string // text → names
}

// substitute is what the loader calls for each text of the recipe.
func (v *variables) substitute(text string, lookup template.Mapping) (string, error) {
	if strings.IndexByte(text, '$') < 0 {
		return text, nil
	}
	result, err := template.SubstituteWithOptions(text, lookup, template.WithoutLogging)
	if err == nil {
		if names := blank(text, lookup); len(names) > 0 {
			v.unset[text] = names
		}
	}
	return result, err
}

// blank returns the variables in a text that have neither a value nor a default, so that nothing is put in their place
// (compose-spec, interpolation).
func blank(text string, lookup func(string) (string, bool)) []string {
	var names []string
	for {
		_, after, ok := strings.Cut(text, "$")
		if !ok {
			return names
		}
		if escaped, ok := strings.CutPrefix(after, "$"); ok {
			text = escaped
			continue
		}
		if braced, ok := strings.CutPrefix(after, "{"); ok {
			body, rest := untilBrace(braced)
			names = append(names, blankInBraces(body, lookup)...)
			text = rest
			continue
		}
		name := identifier(after)
		if _, set := lookup(name); name != "" && !set {
			names = append(names, name)
		}
		text = after[len(name):]
	}
}

// blankInBraces looks at the inside of ${…}: a name, and perhaps an operator with a text of its own.
func blankInBraces(body string, lookup func(string) (string, bool)) []string {
	name := identifier(body)
	operator, inner := "", body[len(name):]
	for _, op := range []string{":-", ":+", ":?", "-", "+", "?"} {
		if after, ok := strings.CutPrefix(inner, op); ok {
			operator, inner = op, after
			break
		}
	}
	value, set := lookup(name)
	present := set && (value != "" || !strings.HasPrefix(operator, ":"))
	switch strings.TrimPrefix(operator, ":") {
	case "":
		if !set && name != "" && inner == "" {
			return []string{name}
		}
	case "-":
		if !present {
			return blank(inner, lookup)
		}
	case "+":
		if present {
			return blank(inner, lookup)
		}
	}
	return nil
}

// discreet puts the names of variables in place of their values, in a finding, where those are secrets by their names.
func (r *recipe) discreet(d Diagnostic) Diagnostic {
	var written string
	if d.Path != "" && r.index != nil {
		if s := r.index.find(d.Path); s.value != nil && s.value.Kind == yaml.ScalarNode {
			written = s.value.Value
		}
	}
	for name, value := range r.env {
		mentioned := strings.Contains(written, "$"+name) || strings.Contains(written, "${"+name)
		if written == "" { // the finding is about more than one value
			mentioned = slices.ContainsFunc(r.files, func(f *file) bool { return f.mentions("$"+name) || f.mentions("${"+name) })
		}
		if value == "" || !mentioned || !isSecret(name, value) {
			continue
		}
		for _, text := range []*string{&d.Message, &d.Hint, &d.Path} {
			*text = strings.ReplaceAll(*text, value, "${"+name+"}")
		}
	}
	return d
}

func identifier(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if end < 0 {
		end = len(text)
	}
	if end > 0 && text[0] >= '0' && text[0] <= '9' {
		return ""
	}
	return text[:end]
}

// untilBrace splits after the brace that closes an already opened one.
func untilBrace(text string) (body, rest string) {
	depth := 1
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth == 0 {
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

// undefined warns about each use of a variable that has no value, as docker compose does.
func (r *recipe) undefined() []finding {
	var found []finding
	for _, doc := range r.index.everything() {
		doc.scalars(func(n *yaml.Node, path string, around entry) {
			for _, name := range r.variables.unset[n.Value] {
				f := doc.finding(n, path, "undefined-variable", fmt.Sprintf("the variable %q is not set; it counts as empty", name))
				f.Severity = Warning
				f.Hint = fmt.Sprintf("set it, or give it a default: ${%s:-default}; a literal $ is written $$", name)
				found = append(found, f)
			}
		})
	}
	return found
}

// interpolation finds the texts of a document whose variables can't be put in.
func (r *recipe) interpolation(doc *document) []finding {
	var found []finding
	doc.scalars(func(n *yaml.Node, path string, around entry) {
		_, err := template.SubstituteWithOptions(n.Value, doc.lookup, template.WithoutLogging)
		if err == nil {
			return
		}
		f := doc.finding(n, path, "invalid-interpolation", "a \"$\" starts no variable")
		f.Hint = "write a literal $ as $$"
		var required *template.MissingRequiredError
		if errors.As(err, &required) {
			f.Code, f.Message = "required-variable", fmt.Sprintf("the variable %q must be set", required.Variable)
			f.Hint = ""
			if required.Reason != "" {
				f.Message += ": " + required.Reason
			}
		}
		f.entry = around
		found = append(found, f)
	})
	return found
}

// scalars calls visit for each value that is a text, with its path and the entry around it. What an alias stands for
// is visited once, where it stands.
func (d *document) scalars(visit func(n *yaml.Node, path string, around entry)) {
	var walk func(n *yaml.Node, path string, around entry)
	walk = func(n *yaml.Node, path string, around entry) {
		switch n.Kind {
		case yaml.ScalarNode:
			if n.ShortTag() == "!!str" {
				visit(n, path, around)
			}
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				at := join(path, n.Content[i].Value)
				walk(n.Content[i+1], at, entry{around: n, node: n.Content[i], path: at})
			}
		case yaml.SequenceNode:
			for i := range n.Content {
				walk(n.Content[i], item(path, i), around.item(n, i))
			}
		}
	}
	if d.root != nil {
		walk(d.root, "", entry{})
	}
}

// relevantCasts are the loader's casts from text to number or boolean that can match in these texts: a cast whose last
// named key occurs nowhere never does. The loader tries all casts on each text of a recipe, which is a quarter of its
// time.
func relevantCasts(all map[tree.Path]interpolation.Cast, files []*file) map[tree.Path]interpolation.Cast {
	occurs := map[string]bool{}
	relevant := maps.Clone(all)
	maps.DeleteFunc(relevant, func(path tree.Path, _ interpolation.Cast) bool {
		key := lastKey(path)
		if _, known := occurs[key]; !known {
			occurs[key] = slices.ContainsFunc(files, func(f *file) bool { return f.mentions(key) })
		}
		return !occurs[key]
	})
	return relevant
}

func lastKey(path tree.Path) string {
	for _, part := range slices.Backward(path.Parts()) {
		if part != tree.PathMatchAll && part != tree.PathMatchList {
			return part
		}
	}
	return ""
}

// mappings calls visit for each mapping, with its path. What an alias stands for is visited once, where it stands.
func (d *document) mappings(visit func(n *yaml.Node, path string)) {
	var walk func(n *yaml.Node, path string)
	walk = func(n *yaml.Node, path string) {
		switch n.Kind {
		case yaml.MappingNode:
			visit(n, path)
			for i := 0; i+1 < len(n.Content); i += 2 {
				walk(n.Content[i+1], join(path, n.Content[i].Value))
			}
		case yaml.SequenceNode:
			for i, item := range n.Content {
				walk(item, path+"["+strconv.Itoa(i)+"]")
			}
		}
	}
	walk(d.root, "")
}

// interpolated is a text of a document with its variables put in.
func (d *document) interpolated(text string) (string, error) {
	return template.SubstituteWithOptions(text, d.lookup, template.WithoutLogging)
}
