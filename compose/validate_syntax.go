package compose

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// syntax turns the YAML parser's error into a finding with a position that an editor understands.
func syntax(name string, text []byte, err error) *Diagnostic {
	d := &Diagnostic{Severity: Error, Code: "yaml-syntax", File: name}
	if bytes.IndexByte(text, 0) >= 0 || !utf8.Valid(text) {
		d.Code, d.Message = "not-text", "the file is not text, but binary data"
		d.Hint = "a recipe is a YAML file in UTF-8"
		return d
	}
	d.Line, d.Column = syntaxPosition(err)
	if end := bytes.Count(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) + 1; d.Line > end { // what is missing there is missed behind it
		d.Line, d.Column = end, 0
	}
	at := Line(string(text), d.Line)
	d.Message, d.Hint = syntaxMessage(err, at)
	if tab := strings.IndexByte(at, '\t'); d.Column == 0 && tab >= 0 && strings.TrimSpace(at[:tab]) == "" {
		d.Column = tab + 1
	}
	return d
}

// syntaxPosition reads line and column from the error's text; the parser's types are internal to its module. Where a
// quoted text isn't closed, its start is what has to be looked at. The parser proper counts lines from 0, the scanner
// under it from 1.
func syntaxPosition(err error) (line, column int) {
	text := err.Error()
	marks := regexp.MustCompile(`line (\d+)(?:, column (\d+))?`).FindAllStringSubmatch(text, -1)
	fromZero := fmt.Sprintf("%T", err) == "libyaml.ParserError"
	if len(marks) == 0 {
		if fromZero {
			return 1, 0
		}
		return 0, 0
	}
	mark := marks[len(marks)-1]
	if strings.Contains(text, "quoted scalar") {
		mark = marks[0]
	}
	line, _ = strconv.Atoi(mark[1])
	column, _ = strconv.Atoi(mark[2])
	if fromZero {
		line++
	}
	return line, column
}

// syntaxMessage says what the parser found, in words for those who didn't write a parser.
func syntaxMessage(err error, at string) (message, hint string) {
	text := err.Error()
	has := func(s string) bool { return strings.Contains(text, s) }
	indent := at[:len(at)-len(strings.TrimLeft(at, " \t"))]
	switch {
	case strings.Contains(indent, "\t"), has("found a tab character"):
		return "a tab is used for indentation", "YAML is indented with spaces only"
	case has("cannot start any token"):
		return "a value starts with a reserved character", "put the value in quotes"
	case has("mapping values are not allowed"):
		return "a second \": \" in one line, or a wrong indentation", "put a value that holds \": \" in quotes"
	case has("quoted scalar"):
		return "a quoted text is not closed", "add the missing quote"
	case has("flow sequence"), has("flow mapping"):
		return "a list or mapping in brackets is not closed", "add the missing bracket or comma"
	case has("could not find expected ':'"):
		return "a key without \":\"", "write it as \"key: value\""
	case has("block mapping"), has("block collection"), has("did not find expected"):
		return "the indentation does not fit the lines above", ""
	case has("unknown anchor"):
		name := regexp.MustCompile(`unknown anchor '([^']*)'`).FindStringSubmatch(text)
		if name != nil {
			return fmt.Sprintf("unknown anchor %q", name[1]), fmt.Sprintf("define it before its use, as &%s", name[1])
		}
	case has("control characters"):
		return "the file holds control characters", "a recipe is a YAML file in UTF-8"
	}
	plain := text[strings.LastIndex(text, ": ")+1:]
	return "the YAML can't be read: " + strings.TrimSpace(plain), ""
}

// structure finds what is wrong with a document before its meaning is looked at: no mapping at the top, a key that
// stands twice or is no text, an anchor that holds itself.
func (d *document) structure() []finding {
	switch {
	case d.root == nil || d.root.Tag == "!!null" && d.root.Kind == yaml.ScalarNode:
		return nil // an empty document among others
	case d.root.Kind != yaml.MappingNode:
		return []finding{d.finding(d.root, "", "not-a-mapping", "a recipe is a mapping with \"services:\", this is "+kindOf(d.root))}
	}
	v := structureVisit{doc: d, within: map[*yaml.Node]bool{}, done: map[*yaml.Node]bool{}}
	v.visit(d.root, "")
	return v.found
}

type structureVisit struct {
	doc          *document
	within, done map[*yaml.Node]bool
	found        []finding
}

func (v *structureVisit) visit(n *yaml.Node, path string) {
	if n.Kind == yaml.AliasNode {
		if v.within[n.Alias] {
			v.found = append(v.found, v.doc.finding(n, path, "self-reference", fmt.Sprintf("the anchor %q holds itself", n.Value)))
			return
		}
		n = n.Alias
	}
	if n == nil || v.done[n] {
		return
	}
	v.within[n] = true
	switch n.Kind {
	case yaml.MappingNode:
		v.mapping(n, path)
	case yaml.SequenceNode:
		for i, item := range n.Content {
			v.visit(item, path+"["+strconv.Itoa(i)+"]")
		}
	}
	delete(v.within, n)
	v.done[n] = true
}

func (v *structureVisit) mapping(n *yaml.Node, path string) {
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := join(path, key.Value)
		switch first, twice := lines[key.Value]; {
		case twice:
			f := v.doc.finding(key, at, "duplicate-key", fmt.Sprintf("%q stands twice in one mapping", key.Value))
			f.Hint = fmt.Sprintf("it first stands in line %d", first)
			f.entry = entry{around: n, node: key, path: at}
			v.found = append(v.found, f)
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" && key.ShortTag() != "!!merge":
			f := v.doc.finding(key, at, "key-not-text", fmt.Sprintf("the key %s is %s, not a text", written(key), kindOf(key)))
			if key.Kind == yaml.ScalarNode {
				f.Hint = fmt.Sprintf("put it in quotes: %q", key.Value)
			}
			f.entry = entry{around: n, node: key, path: at}
			v.found = append(v.found, f)
		}
		line, _ := v.doc.at(key)
		if lines[key.Value] == 0 {
			lines[key.Value] = line
		}
		v.visit(n.Content[i+1], at)
	}
}

func written(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return "of several parts"
}

// kindOf names a node's type as people call it.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a boolean"
	case "!!null":
		return "empty"
	case "!!timestamp":
		return "a date"
	default:
		return "a text"
	}
}
