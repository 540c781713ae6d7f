package compose

import (
	"slices"
	"strings"
)

// hookMembers are those of a list of a container of pre_start: the service's, then its own. It takes no mounts from its
// service.
func (x *index) hookMembers(path, attribute string, depth int) []member {
	var all []member
	if service, _ := inheritedPath(path); attribute != "volumes" && attribute != "volumes_from" {
		all = x.members(service, depth+1)
	}
	hook := x.find(strings.TrimSuffix(path, "."+attribute))
	if hook.doc == nil || hook.rest != "" {
		return all
	}
	hook.rest = attribute
	return merge(attribute, append(all, hook.follow().members(attribute)...))
}

// inHook returns the part of a path inside of a container of pre_start; else the whole path.
func inHook(path string) string {
	_, after, ok := strings.Cut(path, ".pre_start[")
	if _, attribute, inside := strings.Cut(after, "]."); ok && inside {
		return attribute
	}
	return path
}

// outsideHook is what a message about a container of pre_start would say of the service itself.
func outsideHook(message string) string {
	before, after, _ := strings.Cut(message, "pre_start[")
	if _, rest, ok := strings.Cut(after, "]."); ok {
		return before + rest
	}
	return message
}

// servicesFirst puts what is found in containers of pre_start last: of two findings that stand in one place, behind an
// anchor, the service's is told.
func servicesFirst(found []Diagnostic) []Diagnostic {
	hooked := func(d Diagnostic) bool { return strings.Contains(d.Path, ".pre_start[") }
	return append(slices.DeleteFunc(slices.Clone(found), hooked),
		slices.DeleteFunc(slices.Clone(found), func(d Diagnostic) bool { return !hooked(d) })...)
}

// inheritedPath returns, for an attribute of a container of pre_start, that of the service that it may come from.
func inheritedPath(path string) (service string, ok bool) {
	before, _, ok := strings.Cut(path, ".pre_start[")
	if attribute := inHook(path); ok && attribute != path {
		return before + "." + attribute, true
	}
	return path, false
}
