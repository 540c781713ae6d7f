package compose

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// saying is one of the loader's errors, which have neither types nor positions, and what it means to a reader. In path
// and message, $1 is what the pattern's first group matched.
type saying struct {
	pattern             string
	code, path, message string
	hint                string
}

// sayings are the loader's errors (compose-go 2.16). What the documents tell for themselves is found by other means,
// with more precision, and doesn't stand here.
func sayings() []saying {
	return []saying{
		{pattern: `empty compose file`, code: "empty-recipe", message: "the recipe is empty", hint: "a recipe has at least one service below \"services:\""},
		{pattern: `top-level object must be a mapping`, code: "not-a-mapping", message: "a recipe is a mapping with \"services:\""},
		{pattern: `exceeds maximum node visit limit|excessive aliasing`, code: "too-large", message: "the recipe's anchors multiply into too many entries"},
		{pattern: `cycle detected: node at path (\S+) references node at path (\S+)`, code: "self-reference", path: "$1",
			message: "the loader takes it for an anchor that holds itself: $2 around it uses the same one", hint: "write one of the two without the anchor"},
		{pattern: `cannot extend service "([^"]*)" in [^:]*: service "([^"]*)" not found`, code: "undefined-service",
			path: "services.$1.extends", message: `service "$1" extends the undefined service "$2"`},
		{pattern: `cannot extend service "([^"]*)" in ([^:]*): (?:no services section|services must be)`, code: "undefined-service",
			path: "services.$1.extends", message: `service "$1" extends a service of a file that has none`},
		{pattern: `extends\.(\S+)\.service is required`, code: "missing-key", path: "services.$1.extends", message: `"extends" lacks "service"`},
		{pattern: `cannot override (\S+)`, code: "conflicting-types", path: "$1", message: "the files give it values that can't be merged: a text, a list, a mapping"},
		{pattern: `(\S+): conflicting parameters "external" and "([^"]*)"`, code: "external-with-settings", path: "$1.$2",
			message: `what is external can't set "$2"`, hint: "it is made elsewhere; only name: is read"},
		{pattern: `(\S+): (\S+) attributes are mutually exclusive`, code: "conflicting-keys", path: "$1", message: "only one of $2 may be set"},
		{pattern: `(\S+): one of (\S+) must be set`, code: "missing-key", path: "$1", message: "one of $2 must be set"},
		{pattern: `secret "([^"]*)" must declare either`, code: "missing-key", path: "secrets.$1", message: `secret "$1" has neither file nor environment`},
		{pattern: `(\S+): "count" and "device_ids"`, code: "conflicting-keys", path: "$1", message: `only one of "count" and "device_ids" may be set`},
		{pattern: `(\S+): invalid ip address: (\S+)`, code: "invalid-address", path: "$1", message: `"$2" is no IP address`},
		{pattern: `service (?:volume|device) (\S+) is missing a mount target`, code: "missing-key", path: "$1", message: `the mount lacks "target"`},
		{pattern: `service ports (\S+) is missing a target port`, code: "missing-key", path: "$1", message: `the port lacks "target"`},
		{pattern: `confusing device mapping, please use long syntax: (.+)`, code: "invalid-device", message: `the device mapping "$1" has too many parts`},
		{pattern: `unsupported env_file format "([^"]*)"`, code: "invalid-value", message: `the env file format "$1" is unknown`, hint: "leave it out, or use raw"},
		{pattern: `'(services\[[^']+|networks\[[^']+|volumes\[[^']+|configs\[[^']+|secrets\[[^']+)':? (.+)`, code: "invalid-value", path: "$1", message: "the value can't be read: $2"},
		{pattern: `validating [^:]+: (\S+) (.+)`, code: "invalid-value", path: "$1", message: "$2"},
		{pattern: `((?:services|networks|volumes|configs|secrets|models|jobs)\.[^\s:]+): (.+)`, code: "invalid-value", path: "$1", message: "$2"},
		{pattern: `^service "([^"]+)" (.+)`, code: "invalid-recipe", path: "services.$1", message: `service "$1" $2`},
	}
}

// translate says in findings what the loader says in an error.
func (r *recipe) translate(failure error) []finding {
	if errors.Is(failure, errPanic) {
		return []finding{{Diagnostic: r.whole("loader-panic", "the recipe can't be read: the loader gave up on it")}}
	}
	text := strings.ReplaceAll(failure.Error(), ": invalid compose project", "")
	if found := r.entries(); len(found) > 0 {
		return found
	}
	if found := append(r.circles(text), r.missing(text)...); len(found) > 0 {
		return found
	}
	for _, s := range sayings() {
		pattern := regexp.MustCompile(s.pattern)
		var found []finding
		for _, match := range pattern.FindAllStringSubmatchIndex(text, -1) {
			expand := func(template string) string { return string(pattern.ExpandString(nil, template, text, match)) }
			f := finding{Diagnostic: r.whole(s.code, strings.ReplaceAll(tidy(expand(s.message)), "|", ", "))}
			f.Hint, f.derived = orElse(s.hint, unitHint(f.Message)), s.code == "empty-recipe" && len(r.pruned) > 0
			if f.Path = loaderPath(expand(s.path)); f.Path != "" {
				f.derived = s.code == "missing-key" && slices.ContainsFunc(r.pruned, func(p string) bool { return strings.HasPrefix(p, f.Path+".") })
				f.Hint = orElse(f.Hint, r.extendable(f.Path, f.Message))
				f.Message = withKey(f.Message, f.Path)
				s := r.index.find(f.Path)
				f.place(s)
				f.Path = s.numbered(f.Path)
				f.among(s)
			} else {
				r.quote(&f, expand("$1"))
			}
			found = append(found, f)
		}
		if len(found) > 0 {
			return r.ownOnly(found)
		}
	}
	return []finding{{Diagnostic: r.whole("invalid-recipe", "the recipe can't be loaded: "+tidy(text))}}
}

// ownOnly drops what is said of a container of pre_start that has it from its service, of which it is said too.
func (r *recipe) ownOnly(found []finding) []finding {
	return slices.DeleteFunc(slices.Clone(found), func(f finding) bool {
		path, inHook := inheritedPath(f.Path)
		return inHook && r.index.find(f.Path).rest != "" && slices.ContainsFunc(found, func(of finding) bool { return of.Path == path && of.Message == f.Message })
	})
}

// among points a finding about a list or mapping at the item or key that its message quotes.
func (f *finding) among(s spot) {
	if s.rest != "" || s.value == nil || s.value.Kind == yaml.ScalarNode {
		return
	}
	step := 1
	if s.value.Kind == yaml.MappingNode {
		step = 2
	}
	for i := 0; i < len(s.value.Content); i += step {
		text := scalar(resolve(s.value.Content[i]))
		key, _, _ := strings.Cut(text, "=")
		for _, text := range []string{text, strings.TrimSpace(key)} {
			if text != "" && slices.Contains(strings.FieldsFunc(f.Message, func(c rune) bool { return strings.ContainsRune(" '\",", c) }), text) {
				f.Line, f.Column = s.doc.at(s.value.Content[i])
				switch {
				case f.Code == "conflicting-keys": // each of them may be the wrong one
				case step == 2:
					f.entry = entry{around: s.value, node: s.value.Content[i], path: join(s.path, text)}
				default:
					f.entry = s.entry.item(s.value, i)
				}
				return
			}
		}
	}
}

// extendable is the hint to a service that extends another one of its file, which isn't there.
func (r *recipe) extendable(path, message string) string {
	quoted := strings.Split(message, `"`)
	if !strings.HasSuffix(path, ".extends") || len(quoted) < 4 {
		return ""
	}
	var names []string
	for _, doc := range r.index.everything() {
		services := child(doc.root, "services")
		for i := 0; services != nil && services.Kind == yaml.MappingNode && i < len(services.Content); i += 2 {
			if name := services.Content[i].Value; name != quoted[1] {
				names = append(names, name)
			}
		}
	}
	return didYouMean(quoted[3], names)
}

// withKey puts the key into a message that the loader gives about its value.
func withKey(message, path string) string {
	key := path[strings.LastIndexByte(path, '.')+1:]
	if reason, ok := strings.CutPrefix(message, "the value can't be read: "); ok {
		return fmt.Sprintf("%q can't be read: %s", key, reason)
	}
	if strings.HasPrefix(message, "must be ") {
		return fmt.Sprintf("%q %s", key, message)
	}
	return message
}

// unitHint says how an amount of bytes or a time is written, where that was what couldn't be read.
func unitHint(message string) string {
	if strings.Contains(message, "invalid suffix:") || strings.Contains(message, "invalid size:") {
		return "write a number, with b, k, m or g behind it, as 512m"
	}
	if regexp.MustCompile(`invalid duration|in duration "`).MatchString(message) {
		return "write a time as 90s, 1m30s or 2h"
	}
	return ""
}

// quote points a finding at the text that the loader quotes without saying where it stands.
func (r *recipe) quote(f *finding, text string) {
	for _, doc := range r.index.everything() {
		doc.scalars(func(n *yaml.Node, path string, around entry) {
			if text != "" && n.Value == text && f.Path == "" {
				at := doc.finding(n, path, f.Code, f.Message)
				f.File, f.Line, f.Column, f.Path, f.entry = at.File, at.Line, at.Column, path, around
			}
		})
	}
}

// whole is an error about the recipe as a whole.
func (r *recipe) whole(code, message string) Diagnostic {
	d := Diagnostic{Severity: Error, Code: code, Message: message, File: r.files[0].name}
	if start := r.files[0].start; start != nil {
		d.Line, d.Column = start.Line, start.Column
	}
	return d
}

// loaderPath writes a path of the loader's ("services[web].ports[0]", "services.web.volumes.[0]") as ours.
func loaderPath(path string) string {
	path = regexp.MustCompile(`^([a-z]+)\[([^\]]+)\]`).ReplaceAllString(path, "$1.$2")
	path = regexp.MustCompile(`\.\[(\d+)\]`).ReplaceAllString(path, "[$1]")
	return strings.ReplaceAll(path, ".[]", "")
}

// tidy makes one line of a message, in lower case and without Go's own words.
func tidy(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	message = regexp.MustCompile(`^(error decoding|decoding failed due to the following error\(s\):|strconv\.\w+: parsing )\s*|\btime: `).ReplaceAllString(message, "")
	message = regexp.MustCompile(`expected type '.*|expected a map.*|cannot parse .*`).ReplaceAllString(message, "it has the wrong type") // and its value
	message = regexp.MustCompile(`(invalid|unexpected value) type \S+ for`).ReplaceAllString(message, "$1 type for")
	if len(message) > 1 && message[1] >= 'a' && message[1] <= 'z' {
		message = strings.ToLower(message[:1]) + message[1:]
	}
	return strings.TrimSuffix(message, ".")
}

// circles finds files that include each other, and services that extend each other.
func (r *recipe) circles(text string) []finding {
	if rest, ok := strings.CutPrefix(text, "include cycle detected:\n"); ok {
		var names []string
		for _, name := range strings.Split(rest, "\n") {
			names = append(names, filepath.Base(strings.TrimPrefix(strings.TrimSpace(name), "include ")))
		}
		f := finding{Diagnostic: r.whole("include-cycle", "files include each other: "+strings.Join(names, " -> "))}
		f.Path = "include"
		f.place(r.index.find(f.Path))
		return []finding{f}
	}
	if !strings.Contains(text, "Circular reference:") {
		return nil
	}
	var names []string
	for _, match := range regexp.MustCompile(`(?m)^  (?:extends )?(\S+) in `).FindAllStringSubmatch(text, -1) {
		names = append(names, match[1])
	}
	if len(names) == 0 {
		return nil
	}
	names = rotate(names)
	f := finding{Diagnostic: r.whole("extends-cycle", "services extend each other: "+strings.Join(names, " -> "))}
	f.Path = "services." + names[0] + ".extends"
	f.place(r.index.find(f.Path))
	return []finding{f}
}

// rotate makes a cycle of a trail that ends where it has been before, and starts it at the name that sorts first: where
// the loader came from is chance.
func rotate(trail []string) []string {
	last := len(trail) - 1
	ring := trail[slices.Index(trail, trail[last]):last]
	if len(ring) == 0 {
		return trail
	}
	start := slices.Index(ring, slices.Min(ring))
	ring = slices.Concat(ring[start:], ring[:start])
	return append(ring, ring[0])
}

// missing finds the file that the loader couldn't read, and the text that names it.
func (r *recipe) missing(text string) []finding {
	match := regexp.MustCompile(`(?:open|stat|read|find env file:|read env file:) ?(/[^\n]+?)(?:: (no such file or directory|is a directory|permission denied)|$)`).FindStringSubmatch(text)
	if match == nil {
		if match = regexp.MustCompile(`failed to read (/[^\n:]+): .*line (\d+)`).FindStringSubmatch(text); match == nil {
			return nil
		}
		return []finding{{Diagnostic: fileFault("env", errors.New(text))}}
	}
	reason := match[2]
	if reason == "" {
		reason = "no such file or directory"
	}
	var found []finding
	for _, doc := range r.index.everything() {
		doc.scalars(func(n *yaml.Node, path string, around entry) {
			name, err := doc.interpolated(n.Value)
			if err != nil || absolute(doc.dir, name) != filepath.Clean(match[1]) {
				return
			}
			f := doc.finding(n, path, "missing-file", fmt.Sprintf("reading %q: %s", match[1], reason))
			if strings.Contains(name, "://") || strings.HasPrefix(name, "git@") {
				f.Code, f.Message = "remote-file", fmt.Sprintf("%q is not on this machine", name)
				f.Hint = "recipes are read from files only: fetch it, and name the copy"
			}
			f.entry = around
			if service, ok := strings.CutSuffix(path, ".extends.file"); ok {
				f.entry = r.index.find(service + ".extends").entry
			}
			found = append(found, f)
		})
	}
	if len(found) == 0 {
		f := finding{Diagnostic: r.whole("missing-file", fmt.Sprintf("reading %q: %s", match[1], reason))}
		found = append(found, f)
	}
	return found
}

// casts translates the values that should be numbers or booleans, and aren't.
func (r *recipe) casts(doc *document, err error) []finding {
	if err == nil {
		return nil
	}
	var found []finding
	pattern := regexp.MustCompile(`error while interpolating (\S+): failed to cast to expected type: (.*)`)
	for _, match := range pattern.FindAllStringSubmatch(err.Error(), -1) {
		want := "a number"
		if strings.Contains(match[2], "boolean") {
			want = "true or false"
		}
		for _, s := range doc.uncast(match[1]) {
			name := s.path[strings.LastIndexByte(s.path, '.')+1:]
			f := finding{Diagnostic: Diagnostic{Severity: Error, Code: "wrong-type", Path: s.path, Message: fmt.Sprintf("%q must be %s", name, want)}}
			f.place(s)
			found = append(found, f)
		}
	}
	return found
}

// uncast finds the values that the loader can't cast at one of its paths, in which every item of a list is "[]".
func (d *document) uncast(path string) []spot {
	if !strings.Contains(path, tree.PathMatchList) {
		return []spot{d.walk(path)}
	}
	var cast interpolation.Cast
	for pattern, c := range loader.ToOptions(&types.ConfigDetails{}, nil).Interpolate.TypeCastMapping {
		if tree.Path(path).Matches(pattern) {
			cast = c
		}
	}
	var found []spot
	d.each(strings.ReplaceAll(path, tree.PathMatchList, "*"), func(s spot) {
		text, err := d.interpolated(scalar(s.value))
		if cast == nil || err != nil || s.value.ShortTag() != "!!str" {
			return
		}
		if _, err := cast(text); err != nil {
			found = append(found, s)
		}
	})
	return found
}
