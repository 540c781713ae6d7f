package compose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/format"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// member is an item of a list of the merged recipe, at its spot.
type member struct {
	spot
	list *yaml.Node // that it stands in
	// key is what the loader tells items of the list apart by.
	key string
}

// member finds an item of a list that several places add to: the loader appends a file's list to those of the files before
// it, and a service's to that of the one it extends, and takes the last of the items that mean the same.
func (x *index) member(path string) (spot, bool) {
	hook := len(path) - len(inHook(path)) // the index into pre_start isn't the one meant
	list, after, _ := strings.Cut(path[hook:], "[")
	at, rest, ok := cutIndex(after)
	if !ok {
		return x.inMember(path[:hook], path[hook:])
	}
	members := x.members(path[:hook]+list, 0)
	if at >= len(members) {
		return spot{}, false
	}
	s := members[at].spot
	s.rest = rest
	return s.follow(), true
}

// inMember finds an attribute of a container of pre_start: what is found of it in that container.
func (x *index) inMember(hook, attribute string) (spot, bool) {
	item, inside := strings.CutSuffix(hook, ".")
	if !inside || !strings.HasSuffix(item, "]") {
		return spot{}, false
	}
	s, ok := x.member(item)
	s.rest = attribute
	return s.follow(), ok
}

// members returns the items of a list of the merged recipe, in the order that the loader gives them.
func (x *index) members(path string, depth int) []member {
	if depth > 20 {
		return nil // services that extend each other
	}
	if attribute := inHook(path); attribute != path {
		return x.hookMembers(path, attribute, depth)
	}
	var all []member
	if docs, inherited, ok := x.extended(path); ok {
		all = (&index{docs: docs, bases: x.bases}).members(inherited, depth+1)
	}
	attribute := path[strings.LastIndexByte(path, '.')+1:]
	for _, doc := range x.docs {
		s := doc.walk(path)
		here := s.members(attribute)
		if s.replaces || here != nil && slices.Contains([]string{"command", "entrypoint", "test"}, attribute) {
			all = nil
		}
		all = merge(attribute, append(all, here...))
	}
	return all
}

// members are what the loader makes of the list, or the single text in its place, at a spot; nil if there is none.
func (s spot) members(attribute string) []member {
	if s.rest != "" || s.value == nil || s.value.Tag == "!reset" || s.value.ShortTag() == "!!null" {
		return nil
	}
	spots := []spot{s}
	switch s.value.Kind {
	case yaml.MappingNode:
		return nil
	case yaml.SequenceNode:
		spots = nil
		for i, node := range s.value.Content {
			if !isGap(node) {
				spots = append(spots, s.item(s.value, i, ""))
			}
		}
	}
	var all []member
	for _, at := range spots {
		for _, key := range at.keys(attribute) {
			all = append(all, member{spot: at, list: s.value, key: key})
		}
	}
	return all
}

// keys are what the loader tells an item of an attribute's list apart by: one for each number of a range of ports. Source:
// compose-go, override/uncity.go.
func (s spot) keys(attribute string) []string {
	text := scalar(s.value)
	if interpolated, err := s.doc.interpolated(text); err == nil {
		text = interpolated
	}
	named := func(key string) string { return scalar(child(s.value, key)) }
	switch attribute {
	case "ports":
		if text == "" {
			return []string{portKey(named("host_ip"), named("published"), named("target"), named("protocol"))}
		}
		ports, err := types.ParsePortConfig(text)
		if err != nil {
			return []string{text}
		}
		var keys []string
		for _, p := range ports {
			keys = append(keys, portKey(p.HostIP, p.Published, fmt.Sprint(p.Target), p.Protocol))
		}
		return keys
	case "volumes":
		if volume, err := format.ParseVolume(text); text != "" && err == nil {
			return []string{volume.Target}
		}
		return []string{orElse(named("target"), text)}
	case "devices":
		source, target, _ := strings.Cut(text, ":")
		target, _, _ = strings.Cut(target, ":")
		return []string{orElse(named("target"), orElse(target, source))}
	case "configs", "secrets":
		return []string{orElse(named("target"), "/run/secrets/"+orElse(named("source"), text))}
	case "env_file":
		return []string{orElse(named("path"), text)}
	case "config": // of a network's ipam
		return []string{named("subnet")}
	case "tmpfs", "links", "profiles", "aliases", "link_local_ips", "dns", "dns_opt", "dns_search", "cap_add", "cap_drop":
		key, _, _ := strings.Cut(text, "=")
		return []string{key}
	default:
		if s.value.Kind != yaml.ScalarNode { // equal ones are one
			return []string{fmt.Sprint((&plainer{budget: maxNodes}).plain(s.value))}
		}
		return []string{text}
	}
}

func portKey(hostIP, published, target, protocol string) string {
	return fmt.Sprintf("%s:%s:%s/%s", orElse(hostIP, "0.0.0.0"), published, target, orElse(protocol, "tcp"))
}

// merge keeps of the items that mean the same the last one, in the place of the first. Attributes that may hold an item
// twice do so within one list only.
func merge(attribute string, all []member) []member {
	set := isSet(attribute)
	var kept []member
	first := map[string]int{}
	for _, m := range all {
		at, known := first[m.key]
		switch {
		case !known:
			first[m.key] = len(kept)
			kept = append(kept, m)
		case set:
			kept[at] = m
		case kept[at].list == m.list:
			kept = append(kept, m)
		}
	}
	return kept
}

// isSet tells whether the loader keeps one of several items with one key, also within a list.
func isSet(attribute string) bool {
	return contains("ports volumes devices configs secrets env_file config expose tmpfs links profiles aliases link_local_ips "+
		"dns dns_opt dns_search cap_add cap_drop", attribute)
}
