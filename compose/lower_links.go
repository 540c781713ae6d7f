package compose

import (
	"slices"
	"strings"
)

// links lowers links and external_links to the other names that this service, and only it, has for containers on its
// networks. On such a network the Engine looks up what a name stands for when it is asked (moby libnetwork/sandbox.go,
// ResolveName): the container needn't be there at creation, and may be replaced. So the service's name does as well as a
// container's, which docker compose uses, and means all replicas.
func (s *serviceLowering) links() {
	for i, entry := range s.src.Links {
		if name, alias, ok := s.link("links", i, entry); ok {
			s.linkService(i, name, alias)
		}
	}
	for i, entry := range s.src.ExternalLinks {
		if container, alias, ok := s.link("external_links", i, entry); ok {
			for e := range s.out.Endpoints {
				s.addLink(e, container, alias)
			}
		}
	}
}

// link splits NAME or NAME:ALIAS.
func (s *serviceLowering) link(attribute string, i int, entry string) (name, alias string, ok bool) {
	name, alias, hasAlias := strings.Cut(entry, ":")
	if !hasAlias {
		alias = name
	}
	switch {
	case name == "" || alias == "" || strings.Contains(alias, ":"):
		s.refuse(item(attribute, i), codeInvalid, "write NAME or NAME:ALIAS", "%q is no link", entry)
		return "", "", false
	case len(s.out.Endpoints) == 0:
		s.refuse(item(attribute, i), codeConflict, "attach both to a network, where they find each other by name",
			"a link means nothing with network_mode: %s", s.out.Host.NetworkMode)
		return "", "", false
	}
	return name, alias, true
}

// linkService adds the names that docker compose gives a linked service: the alias, and those of its first container.
func (s *serviceLowering) linkService(i int, name, alias string) {
	target, active := s.lowering.src.Services[name]
	if !active {
		return // its absence is an error of its own
	}
	first := s.project.ContainerName(&Service{Name: name, ContainerName: target.ContainerName}, 1)
	shared := false
	for e, endpoint := range s.out.Endpoints {
		on, attached := target.Networks[endpoint.Network]
		if !attached {
			continue
		}
		shared = true
		host := name
		if !on.ServiceNameAliasEnabled() {
			host = first
		}
		s.addLink(e, host, alias)
		short := name + s.project.Separator + "1"
		s.addLink(e, first, short)
		s.addLink(e, first, s.project.Name+s.project.Separator+short)
	}
	if !shared {
		s.warn(item("links", i), codeIgnored, "attach both to one network", "the link to %q has no effect: no network has both services", name)
	}
}

// addLink makes a name on one network mean another one there. What a name means already isn't said again.
func (s *serviceLowering) addLink(endpoint int, name, alias string) {
	settings := &s.out.Endpoints[endpoint].Settings
	if link := name + ":" + alias; name != alias && !slices.Contains(settings.Links, link) {
		settings.Links = append(settings.Links, link)
	}
}
