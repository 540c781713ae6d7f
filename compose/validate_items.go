package compose

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/format"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// fault is what is wrong with an item of a list: at the item, or at one of its keys.
type fault struct {
	key, code, message, hint string
}

// itemRule looks for a fault in the items that its patterns fit.
type itemRule struct {
	patterns []string
	fault    func(item spot) *fault
}

// itemRules are about what the loader stops at with its first error, and mostly without a path.
func itemRules() []itemRule {
	return []itemRule{
		{[]string{"services.*.ports.*"}, portFault},
		{[]string{"services.*.volumes.*", "services.*.pre_start.*.volumes.*"}, mountFault},
		{[]string{"services.*.devices.*", "services.*.pre_start.*.devices.*"}, deviceFault},
		{[]string{"services.*.env_file.*", "services.*.pre_start.*.env_file.*"}, envFileFault},
		{[]string{"services.*.extra_hosts.*", "services.*.pre_start.*.extra_hosts.*"}, hostFault},
		{[]string{"services.*.gpus.*", "services.*.pre_start.*.gpus.*", "services.*.deploy.resources.reservations.devices.*"}, requestFault},
	}
}

// entries finds the items of lists that can't be read, and in a recipe of one document other entries that the loader tells
// one by one: of several, they are told when they are put together.
func (r *recipe) entries() []finding {
	var found []finding
	if all := r.index.everything(); len(all) == 1 {
		all[0].each("services.*", func(s spot) { found = append(found, r.extendsFaults(s)...) })
		all[0].each("volumes.*", func(s spot) { found = append(found, s.externalFaults()...) })
		all[0].each("secrets.*", func(s spot) { found = append(found, s.sourceFaults(r, "file", "environment")...) })
		all[0].each("configs.*", func(s spot) { found = append(found, s.sourceFaults(r, "file", "environment", "content")...) })
	}
	for _, doc := range r.index.everything() {
		for _, rule := range itemRules() {
			for _, pattern := range rule.patterns {
				doc.each(pattern, func(s spot) {
					fault := rule.fault(s)
					if fault == nil || s.key != nil { // a mapping in the list's place
						return
					}
					if s.rest = fault.key; fault.key != "" {
						s = s.follow()
					}
					f := doc.finding(s.node(), s.path, fault.code, fault.message)
					f.Hint, f.entry, f.derived = fault.hint, s.entry, r.damaged(doc.file, s.path)
					found = append(found, f)
				})
			}
		}
	}
	return found
}

// written is the text of an item, with its variables put in; false if it is another value.
func (s spot) written() (string, bool) {
	if s.value.Kind != yaml.ScalarNode || s.value.ShortTag() != "!!str" {
		return "", false
	}
	text, err := s.doc.interpolated(s.value.Value)
	return text, err == nil
}

// lacks tells whether an item is a mapping without a key.
func (s spot) lacks(key string) bool {
	return s.value.Kind == yaml.MappingNode && child(s.value, key) == nil
}

func portFault(s spot) *fault {
	if text, ok := s.written(); ok {
		if _, err := types.ParsePortConfig(text); err != nil {
			return &fault{code: "invalid-port", message: fmt.Sprintf("%q is no port mapping: %s", s.value.Value, tidy(err.Error())),
				hint: "write it as [[ADDRESS:]HOST_PORT:]CONTAINER_PORT[/PROTOCOL]"}
		}
		return nil
	}
	if s.lacks("target") {
		return &fault{code: "missing-key", message: `the port lacks "target"`}
	}
	if address := child(s.value, "host_ip"); address != nil {
		if text, err := s.doc.interpolated(address.Value); err == nil && net.ParseIP(text) == nil {
			return &fault{key: "host_ip", code: "invalid-address", message: fmt.Sprintf("%q is no IP address", text)}
		}
	}
	return nil
}

func mountFault(s spot) *fault {
	text, short := s.written()
	if _, err := format.ParseVolume(text); short && err != nil {
		return &fault{code: "invalid-mount", message: fmt.Sprintf("%q is no volume mapping", s.value.Value), hint: "write it as [SOURCE:]TARGET[:MODE]"}
	}
	switch {
	case s.lacks("target"):
		return &fault{code: "missing-key", message: `the mount lacks "target"`}
	case scalar(child(s.value, "type")) == types.VolumeTypeBind && scalar(child(s.value, "source")) == "":
		return &fault{code: "missing-key", message: `a bind mount lacks "source"`}
	}
	return nil
}

func deviceFault(s spot) *fault {
	if text, ok := s.written(); ok && strings.Count(text, ":") > 2 {
		return &fault{code: "invalid-device", message: fmt.Sprintf("the device mapping %q has too many parts", text)}
	}
	if s.lacks("target") {
		return &fault{code: "missing-key", message: `the device lacks "target"`}
	}
	return nil
}

func envFileFault(s spot) *fault {
	if s.lacks("path") {
		return &fault{code: "missing-key", message: `the env file lacks "path"`}
	}
	return nil
}

func hostFault(s spot) *fault {
	text, ok := s.written()
	if !ok {
		return nil
	}
	if _, err := types.NewHostsList([]string{text}); err != nil {
		return &fault{code: "invalid-value", message: fmt.Sprintf("%q is no host with an address", s.value.Value), hint: "write it as HOST=ADDRESS"}
	}
	return nil
}

func requestFault(s spot) *fault {
	if s.value.Kind == yaml.MappingNode && child(s.value, "count") != nil && child(s.value, "device_ids") != nil {
		return &fault{key: "count", code: "conflicting-keys", message: `only one of "count" and "device_ids" may be set`}
	}
	return nil
}

// externalFaults finds the settings of an external volume.
func (s spot) externalFaults() []finding {
	external := child(s.value, "external")
	if text, err := s.doc.interpolated(scalar(external)); external == nil || err != nil || text != "true" {
		return nil
	}
	var found []finding
	for _, within := range s.entries() {
		name := within.key.Value
		if contains("external name", name) || strings.HasPrefix(name, "x-") {
			continue
		}
		f := finding{Diagnostic: Diagnostic{Severity: Error, Code: "external-with-settings", Path: within.path,
			Message: fmt.Sprintf("what is external can't set %q", name), Hint: "it is made elsewhere; only name: is read"}}
		f.place(within)
		found = append(found, f)
	}
	return found
}

// sourceFaults finds a config or secret that has several sources, or none.
func (s spot) sourceFaults(r *recipe, keys ...string) []finding {
	if s.value.Kind != yaml.MappingNode {
		return nil
	}
	var given []spot
	for _, within := range s.entries() {
		if slices.Contains(keys, within.key.Value) {
			given = append(given, within)
		}
	}
	elsewhere := child(s.value, "external") != nil || child(s.value, "driver") != nil
	f := finding{Diagnostic: Diagnostic{Severity: Error, Path: s.path}}
	f.place(s)
	switch {
	case len(given) > 1:
		f.Code, f.Message = "conflicting-keys", "only one of "+strings.Join(keys, ", ")+" may be set"
		f.Line, f.Column = s.doc.at(given[0].key)
	case len(given) == 0 && !elsewhere:
		f.Code, f.Message = "missing-key", "one of "+strings.Join(keys, ", ")+" must be set"
		f.derived = cutWithin(r.prunedOf[s.doc.file], s.path)
	default:
		return nil
	}
	return []finding{f}
}

// extendsFaults finds a service that extends one of its file that isn't there.
func (r *recipe) extendsFaults(s spot) []finding {
	file, base := extends(s.value)
	if text, err := s.doc.interpolated(base); err == nil {
		base = text
	}
	if base == "" || file != "" || child(child(s.doc.root, "services"), base) != nil {
		return nil
	}
	f := finding{Diagnostic: Diagnostic{Severity: Error, Code: "undefined-service", Path: s.path + ".extends",
		Message: fmt.Sprintf("service %q extends the undefined service %q", s.key.Value, base)}}
	f.place(r.index.find(f.Path))
	f.Hint, f.derived = r.extendable(f.Path, f.Message), cutWithin(r.pruned, "services."+base)
	return []finding{f}
}
