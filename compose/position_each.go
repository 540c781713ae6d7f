package compose

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// each calls visit for every place of a document that fits a pattern ("services.*.ports.*", where * is any key or item), also
// behind anchors and merge keys.
func (d *document) each(pattern string, visit func(spot)) {
	if d.root != nil {
		spot{doc: d, value: d.root}.each(strings.Split(pattern, "."), visit)
	}
}

func (s spot) each(parts []string, visit func(spot)) {
	value := resolve(s.value)
	switch {
	case value == nil:
	case len(parts) == 0:
		visit(s)
	case value.Kind == yaml.MappingNode:
		keys := []string{parts[0]}
		if parts[0] == "*" {
			keys = keysOf(value, map[*yaml.Node]bool{})
		}
		for _, key := range keys {
			at := s
			at.rest = key
			if next, ok := at.intoMapping(value); ok && next.rest == "" {
				next.each(parts[1:], visit)
			}
		}
	case value.Kind == yaml.SequenceNode && parts[0] == "*":
		for i := range value.Content {
			s.item(value, i, "").each(parts[1:], visit)
		}
	}
}

// keysOf are the keys of a mapping and of what it merges.
func keysOf(mapping *yaml.Node, seen map[*yaml.Node]bool) []string {
	if seen[mapping] {
		return nil
	}
	seen[mapping] = true
	var keys []string
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key := mapping.Content[i]
		if key.Tag != "!!merge" && key.Value != "<<" {
			keys = append(keys, key.Value)
			continue
		}
		for _, merged := range mergedBy(mapping.Content[i+1]) {
			keys = append(keys, keysOf(merged, seen)...)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// inDocument puts a document's own indices into a path whose lists are those that are left when the entries with !reset are
// taken out.
func (d *document) inDocument(at []string) []string {
	own := slices.Clone(at)
	value := d.root
	for i, part := range at {
		if value = resolve(value); value == nil {
			break
		}
		if value.Kind == yaml.SequenceNode {
			own[i], value = nth(value, part)
			continue
		}
		value = child(value, part)
	}
	return own
}

// nth finds an item of a list by its index among those without !reset.
func nth(list *yaml.Node, index string) (own string, item *yaml.Node) {
	left, err := strconv.Atoi(index)
	for i, item := range list.Content {
		if isGap(item) {
			continue
		}
		if left == 0 && err == nil {
			return strconv.Itoa(i), item
		}
		left--
	}
	return index, nil
}

// closeGaps readies documents to be written: it takes the gaps out of their lists, and spells out what is empty, which in
// brackets would be written as an empty text. It returns what makes them as they were.
func closeGaps(docs []*document) (open func()) {
	gaps := map[*yaml.Node][]*yaml.Node{}
	var empty []*yaml.Node
	seen := map[*yaml.Node]bool{}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		if n.Kind == yaml.SequenceNode && slices.ContainsFunc(n.Content, func(item *yaml.Node) bool { return item.Tag == gap }) {
			gaps[n] = n.Content
			n.Content = slices.DeleteFunc(slices.Clone(n.Content), func(item *yaml.Node) bool { return item.Tag == gap })
		}
		if n.Kind == yaml.ScalarNode && n.Value == "" && n.ShortTag() == "!!null" {
			empty = append(empty, n)
			n.Value = "null"
		}
		walk(n.Alias)
		for _, child := range n.Content {
			walk(child)
		}
	}
	for _, doc := range docs {
		walk(doc.root)
	}
	return func() {
		for list, content := range gaps {
			list.Content = content
		}
		for _, n := range empty {
			n.Value = ""
		}
	}
}

// numbered gives a path of the merged recipe the indices that its lists have in the file, where the spot was found.
func (s spot) numbered(path string) string {
	if s.doc == nil || s.rest != "" {
		return path
	}
	index := regexp.MustCompile(`\[\d+\]`)
	own, merged := index.FindAllString(s.path, -1), index.FindAllStringIndex(path, -1)
	for len(own) > 0 && len(merged) > 0 { // from the end: a hook's list may be its service's
		at := merged[len(merged)-1]
		path = path[:at[0]] + own[len(own)-1] + path[at[1]:]
		own, merged = own[:len(own)-1], merged[:len(merged)-1]
	}
	return path
}
