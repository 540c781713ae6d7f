package compose

import (
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// links lowers links and external_links to the other names that this service, and only it, has for containers on its
// networks. On such a network the Engine looks up what a name stands for when it is asked (moby libnetwork/sandbox.go,
// ResolveName): the container needn't be there at creation, and may be replaced. So the service's name does as well as a
// container's, which docker compose uses, and means all replicas.
//
// On the Engine's default bridge there are no names; there the older kind of link is made, which is to one container.
func (s *serviceLowering) links() {
	for i, entry := range s.src.Links {
		name, alias, ok := s.link("links", i, entry)
		switch {
		case !ok:
		case s.onDefaultBridge():
			s.linkOnBridge(i, name, alias)
		default:
			s.linkService(i, name, alias)
		}
	}
	for i, entry := range s.src.ExternalLinks {
		if other, alias, ok := s.link("external_links", i, entry); ok {
			if s.onDefaultBridge() {
				s.out.Host.Links = append(s.out.Host.Links, other+":"+alias)
			}
			for e := range s.out.Endpoints {
				s.addLink(e, other, alias)
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
	case len(s.out.Endpoints) == 0 && !s.onDefaultBridge():
		s.refuse(item(attribute, i), codeConflict, "attach both to a network, where they find each other by name",
			"a link means nothing with network_mode: %s", s.out.Host.NetworkMode)
		return "", "", false
	}
	return name, alias, true
}

func (s *serviceLowering) onDefaultBridge() bool { return isDefaultBridge(s.out.Host.NetworkMode) }

func isDefaultBridge(mode container.NetworkMode) bool {
	return mode == network.NetworkBridge || mode == network.NetworkDefault
}

// linkOnBridge links to the first container of a service that is on the Engine's default bridge too. Like a namespace, such a
// link is to that container alone: when it is replaced, so is this one (see [Service.Parents]).
func (s *serviceLowering) linkOnBridge(i int, name, alias string) {
	target, active := s.lowering.src.Services[name]
	if !active {
		return // its absence is an error of its own
	}
	mode := target.NetworkMode
	if keys := target.NetworksByPriority(); mode == "" && len(keys) == 1 {
		mode = s.lowering.src.Networks[keys[0]].Name
	}
	if !isDefaultBridge(container.NetworkMode(mode)) {
		s.refuse(item("links", i), codeConflict, "attach both to a network, where they find each other by name",
			"the Engine's default bridge links only what is on it, and %q is not", name)
		return
	}
	first := s.project.ContainerName(&Service{Name: name, ContainerName: target.ContainerName}, 1)
	for _, known := range []string{alias, name + s.project.Separator + "1", first} {
		if link := ServicePrefix + name + ":" + known; !slices.Contains(s.out.Host.Links, link) {
			s.out.Host.Links = append(s.out.Host.Links, link)
		}
	}
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
