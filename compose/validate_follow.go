package compose

import (
	"slices"
	"strings"
)

// damaged tells whether a key was taken out of an item of a file's list: what the item lacks is no news.
func (r *recipe) damaged(file, item string) bool {
	return strings.HasSuffix(item, "]") && slices.ContainsFunc(r.prunedOf[file], func(p string) bool { return strings.HasPrefix(p, item+".") })
}

// cutWithin tells whether something was taken out at a path, or within it.
func cutWithin(pruned []string, path string) bool {
	return slices.ContainsFunc(pruned, func(p string) bool { return starts(p, path) })
}

// follows tells whether a finding may be there only because something that it rests on was taken out.
func (r *recipe) follows(d Diagnostic) bool {
	if len(r.pruned) == 0 {
		return false
	}
	at := strings.Split(d.Path, ".")
	switch {
	case r.damaged(d.File, d.Path):
		return true
	case d.Code == codeNoTest && len(at) > 3:
		return cutWithin(r.pruned, "services."+at[3]+".healthcheck") || cutWithin(r.pruned, "services."+at[3]+".extends")
	case strings.HasSuffix(d.Path, "_address") && (d.Code == codeConflict || d.Code == "address-outside-subnet") && len(at) > 3:
		return cutWithin(r.pruned, "networks."+at[3])
	}
	return false
}

// unsure tells whether one of a service's attributes may be another than what is known, as something was taken out of it.
func (c *checker) unsure(service string, attributes ...string) bool {
	return slices.ContainsFunc(append(attributes, "extends"), func(attribute string) bool {
		return cutWithin(c.pruned, "services."+service+"."+attribute)
	})
}
