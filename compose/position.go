package compose

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// document is one YAML document of a recipe: the text behind its positions.
type document struct {
	file string
	text []byte
	root *yaml.Node
	// lookup resolves the variables of this document: an included file sees its own env files too.
	lookup func(string) (string, bool)
	// shift maps a node's position to the file's, where the document is a text inside another one.
	shift func(line, column int) (int, int)
	// dir is what the document's references to other files start from.
	dir string
}

// at returns a node's position in its file.
func (d *document) at(n *yaml.Node) (line, column int) {
	line, column = n.Line, n.Column
	if n.Kind == yaml.ScalarNode && (n.Anchor != "" || n.Style&yaml.TaggedStyle != 0) {
		column += properties(d.text, line, column)
	}
	if d.shift != nil {
		return d.shift(line, column)
	}
	return line, column
}

// properties is how many columns the anchor and the tag in front of a value take.
func properties(text []byte, number, column int) int {
	runes := []rune(Line(string(text), number))
	at := column - 1
	for at < len(runes) && (runes[at] == '&' || runes[at] == '!') {
		for at < len(runes) && runes[at] != ' ' {
			at++
		}
		for at < len(runes) && runes[at] == ' ' {
			at++
		}
	}
	if at >= len(runes) {
		return 0 // the value stands in another line
	}
	return max(0, at-column+1)
}

// parse reads a file's documents. What it can't read is a finding, with the documents before it.
func parse(name string, text []byte) ([]*document, *Diagnostic) {
	var docs []*document
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return docs, syntax(name, text, err)
		}
		root := &node
		if root.Kind == yaml.DocumentNode {
			root = root.Content[0]
		}
		docs = append(docs, &document{file: name, text: text, root: root})
	}
}

// spot is where a path stands in a document, as deep as it could be followed.
type spot struct {
	doc *document
	// path is the part of the path that was found, in the document's own indices.
	path string
	// key and value are the mapping entry or (without key) the list item at path.
	key, value *yaml.Node
	// rest is the part that wasn't found; empty for a whole match.
	rest string
	// entry is what can be taken out at the spot: a key of a mapping, or an item of a list.
	entry entry
	// replaces tells that the document puts the spot, or what is around it, in place of what files before it say.
	replaces bool
}

// entry is one key of a mapping or one item of a list, with its dotted path.
type entry struct {
	around, node *yaml.Node
	path         string
}

// item is the entry of an item of the list that an entry holds. Where items have a meaning only together, it is the list.
func (e entry) item(list *yaml.Node, i int) entry {
	if contains("command entrypoint test", e.path[strings.LastIndexByte(e.path, '.')+1:]) {
		return e
	}
	return entry{around: list, node: list.Content[i], path: item(e.path, i)}
}

// gap is the tag of what stands in the place of an item that was taken out of a list, so that the others keep their numbers.
const gap = "!gap"

// isGap tells whether an item of a list is none to the loader: it was taken out, or is marked so.
func isGap(item *yaml.Node) bool { return item.Tag == gap || item.Tag == "!reset" }

// cut takes the entry out of its mapping or list.
func (e entry) cut() bool {
	if e.around == nil {
		return false
	}
	at := slices.Index(e.around.Content, e.node)
	switch {
	case at < 0:
		return false
	case e.around.Kind == yaml.SequenceNode:
		e.around.Content[at] = &yaml.Node{Kind: yaml.ScalarNode, Tag: gap, Line: e.node.Line, Column: e.node.Column}
	case at%2 == 1:
		return false
	default:
		e.around.Content = slices.Delete(e.around.Content, at, at+2)
	}
	return true
}

// node is what a finding about the spot points at: the value if it is a scalar, else the key that opens it.
func (s spot) node() *yaml.Node {
	if s.key != nil && (s.value == nil || s.value.Kind != yaml.ScalarNode || s.value.Tag == "!!null") {
		return s.key
	}
	return s.value
}

// position fills in a finding's file, line and column.
func (s spot) position(d *Diagnostic) {
	if s.doc == nil {
		return
	}
	d.File = s.doc.file
	if n := s.node(); n != nil {
		d.Line, d.Column = s.doc.at(n)
	}
}

// walk follows a dotted path ("services.web.ports[0]") through a document. A key may itself hold dots, so the longest
// key that fits is taken.
func (d *document) walk(path string) spot {
	return spot{doc: d, value: d.root, rest: path}.follow()
}

// follow goes as far along the rest of the path as it can.
func (s spot) follow() spot {
	for s.rest != "" {
		var ok bool
		if s, ok = s.step(); !ok {
			break
		}
	}
	return s
}

func (s spot) step() (spot, bool) {
	value := resolve(s.value)
	if value == nil {
		return s, false
	}
	switch value.Kind {
	case yaml.MappingNode:
		return s.intoMapping(value)
	case yaml.SequenceNode:
		return s.intoSequence(value)
	default:
		return s, false
	}
}

func (s spot) intoMapping(mapping *yaml.Node) (spot, bool) {
	rest := strings.TrimPrefix(s.rest, ".")
	holder, at, key := lookupKey(mapping, rest, nil)
	if holder == nil {
		return s, false
	}
	next := s
	next.key, next.value = holder.Content[at], resolve(holder.Content[at+1])
	next.path = join(s.path, key)
	next.rest = rest[len(key):]
	next.replaces = s.replaces || next.value != nil && slices.Contains([]string{"!override", "!reset"}, next.value.Tag)
	next.entry = entry{around: holder, node: next.key, path: next.path}
	return next, true
}

// lookupKey finds the longest key that starts rest, in a mapping or what it merges; own keys win over merged ones.
func lookupKey(mapping *yaml.Node, rest string, seen map[*yaml.Node]bool) (holder *yaml.Node, at int, key string) {
	if seen[mapping] {
		return nil, 0, "" // merged twice, or by itself
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		name := mapping.Content[i].Value
		if mapping.Content[i].Tag == "!!merge" || name == "<<" {
			merged = append(merged, mergedBy(mapping.Content[i+1])...)
			continue
		}
		if starts(rest, name) && (holder == nil || len(name) > len(key)) {
			holder, at, key = mapping, i, name
		}
	}
	for _, m := range merged {
		if holder != nil {
			break
		}
		if seen == nil {
			seen = map[*yaml.Node]bool{}
		}
		seen[mapping] = true
		holder, at, key = lookupKey(m, rest, seen)
	}
	return holder, at, key
}

// mergedBy returns the mappings that the value of a merge key stands for.
func mergedBy(value *yaml.Node) []*yaml.Node {
	value = resolve(value)
	if value == nil {
		return nil
	}
	switch value.Kind {
	case yaml.MappingNode:
		return []*yaml.Node{value}
	case yaml.SequenceNode:
		var all []*yaml.Node
		for _, item := range value.Content {
			if item = resolve(item); item != nil && item.Kind == yaml.MappingNode {
				all = append(all, item)
			}
		}
		return all
	default:
		return nil
	}
}

func (s spot) intoSequence(list *yaml.Node) (spot, bool) {
	if index, rest, ok := cutIndex(s.rest); ok {
		if index >= len(list.Content) {
			return s, false
		}
		return s.item(list, index, rest), true
	}
	// A mapping may be written as a list: "environment.KEY" is the item "KEY=value", "depends_on.db" the item "db".
	rest := strings.TrimPrefix(s.rest, ".")
	for i, item := range list.Content {
		item = resolve(item)
		if item == nil || item.Kind != yaml.ScalarNode {
			continue
		}
		name, _, _ := strings.Cut(item.Value, "=")
		if name != "" && starts(rest, name) {
			return s.item(list, i, rest[len(name):]), true
		}
	}
	return s, false
}

func (s spot) item(list *yaml.Node, i int, rest string) spot {
	next := s
	next.entry = s.entry.item(list, i)
	next.key, next.value, next.rest = nil, resolve(list.Content[i]), rest
	next.path = s.path + "[" + strconv.Itoa(i) + "]"
	return next
}

// cutIndex takes "[3]" or ".3" off the start of a path.
func cutIndex(path string) (index int, rest string, ok bool) {
	digits := strings.TrimLeft(path, ".[")
	end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(digits)
	}
	index, err := strconv.Atoi(digits[:end])
	if err != nil {
		return 0, "", false
	}
	return index, strings.TrimPrefix(digits[end:], "]"), true
}

// starts tells whether a dotted path starts with a whole key.
func starts(path, key string) bool {
	rest, ok := strings.CutPrefix(path, key)
	return ok && key != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// join appends a key to a dotted path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// resolve follows aliases.
func resolve(n *yaml.Node) *yaml.Node {
	for range 100 {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return nil
}

// index finds where a path of the merged recipe stands: the last file that says it wins, then what a service extends.
type index struct {
	docs []*document
	// bases are the documents that services extend, by file.
	bases map[string]*document
}

// find returns the deepest spot for a path.
func (x *index) find(path string) spot {
	if s, ok := x.member(path); ok {
		return s
	}
	best := x.among(x.docs, path)
	seen := map[string]bool{}
	for at := path; best.rest != "" && !seen[at]; {
		seen[at] = true
		base, inherited, ok := x.extended(at)
		if !ok {
			break
		}
		if s := x.among(base, inherited); len(s.rest) < len(best.rest) {
			best = s
		}
		at = inherited
	}
	return best
}

func (x *index) among(docs []*document, path string) spot {
	best := spot{rest: path}
	for _, doc := range slices.Backward(docs) {
		if s := doc.walk(path); best.doc == nil || len(s.rest) < len(best.rest) {
			best = s
		}
	}
	return best
}

// extended returns where the service that a path lies in takes its attributes from, and the path there.
func (x *index) extended(path string) (docs []*document, inherited string, ok bool) {
	if !strings.HasPrefix(path, "services.") {
		return nil, "", false
	}
	for _, doc := range slices.Backward(x.everything()) {
		service, rest := doc.service(path)
		if service == nil {
			continue
		}
		file, base := extends(service)
		if base == "" {
			continue
		}
		docs = x.docs
		if file != "" {
			if x.bases[absolute(doc.dir, file)] == nil {
				continue
			}
			docs = []*document{x.bases[absolute(doc.dir, file)]}
		}
		return docs, "services." + base + rest, true
	}
	return nil, "", false
}

// everything returns all documents, the bases first.
func (x *index) everything() []*document {
	var all []*document
	for _, file := range sortedKeys(x.bases) {
		all = append(all, x.bases[file])
	}
	return append(all, x.docs...)
}

// service returns the service that a path lies in, and the part of the path inside it.
func (d *document) service(path string) (node *yaml.Node, rest string) {
	s := spot{doc: d, value: d.root, rest: path}
	for range 2 {
		var ok bool
		if s, ok = s.step(); !ok {
			return nil, ""
		}
	}
	return resolve(s.value), s.rest
}

// extends reads a service's extends: the file ("" for the same one) and the service.
func extends(service *yaml.Node) (file, base string) {
	if service.Kind != yaml.MappingNode {
		return "", ""
	}
	value := child(service, "extends")
	if value == nil {
		return "", ""
	}
	if value.Kind == yaml.ScalarNode {
		return "", value.Value
	}
	return scalar(child(value, "file")), scalar(child(value, "service"))
}

// child returns the value of a mapping's key, or nil.
func child(mapping *yaml.Node, key string) *yaml.Node {
	if mapping = resolve(mapping); mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	holder, at, found := lookupKey(mapping, key, nil)
	if holder == nil || found != key {
		return nil
	}
	return resolve(holder.Content[at+1])
}

func scalar(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}
