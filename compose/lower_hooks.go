package compose

import (
	"fmt"
	"path"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
)

// hooks lowers what is run around the life of the service's containers. It comes after all that the containers of
// pre_start may take from the service.
func (s *serviceLowering) hooks() {
	for i, hook := range s.src.PreStart {
		s.out.PreStart = append(s.out.PreStart, s.preStart(i, hook))
	}
	s.out.PostStart = s.commands("post_start", s.src.PostStart)
	s.out.PreStop = s.commands("pre_stop", s.src.PreStop)
}

// commands lowers the hooks that are run inside of a container.
func (s *serviceLowering) commands(attribute string, hooks []types.ServiceHook) []Hook {
	var lowered []Hook
	for i, src := range hooks {
		at := item(attribute, i)
		if len(src.Command) == 0 {
			s.refuse(at+".command", codeInvalid, "", "%s has no command", at)
		}
		s.checkWorkingDir(at+".working_dir", src.WorkingDir)
		lowered = append(lowered, Hook{
			Command:    src.Command,
			User:       src.User,
			WorkingDir: src.WorkingDir,
			Env:        s.environment(at+".environment", src.Environment.Resolve(s.lowering.src.Environment.Resolve)),
			Privileged: src.Privileged,
		})
	}
	return lowered
}

func (s *serviceLowering) checkWorkingDir(attribute, dir string) {
	if dir != "" && !path.IsAbs(dir) {
		s.refuse(attribute, codeInvalid, "", "working directory %q is no absolute path", dir)
	}
}

// preStart lowers a container of pre_start as if it were a service: what it doesn't say, the loader has completed from the
// service's own attributes. The service's volumes come to it by volumes_from, when the engine creates it.
func (s *serviceLowering) preStart(i int, hook types.PreStartHook) Init {
	src := &types.ServiceConfig{Name: s.src.Name, ContainerSpec: hook.ContainerSpec}
	if hook.PerReplica {
		scale := s.src.GetScale() // replicas may start side by side
		src.Scale = &scale
	}
	h := &serviceLowering{lowering: s.lowering, src: src, out: &Service{Name: s.out.Name}, place: s.path(item("pre_start", i))}
	h.part(s.src)
	h.container()
	h.checkNetworkMode()
	h.checkParents(s.out.Parents())
	if h.out.ClearCommand {
		h.refuse("command", codeUnsupported, "set entrypoint too", "a container of pre_start with a cleared command needs an entrypoint")
	}
	if h.out.Pull != s.out.Pull {
		h.warn("pull_policy", codeIgnored, "set it on the service", "the images of a service and of its pre_start are pulled by one policy")
	}
	for _, r := range h.out.Requires {
		inherited := r
		inherited.Attribute, _ = inheritedPath(r.Attribute)
		if !slices.Contains(s.out.Requires, inherited) && !slices.Contains(s.out.Requires, r) {
			s.out.Requires = append(s.out.Requires, r)
		}
	}
	for _, r := range h.out.Refusals {
		inherited, _ := inheritedPath(r.Attribute)
		if !slices.ContainsFunc(s.out.Refusals, func(own Refusal) bool { return own.Attribute == inherited }) {
			s.out.Refusals = append(s.out.Refusals, r)
		}
	}
	return Init{
		Config: h.out.Config, Host: h.out.Host, Platform: h.out.Platform, Endpoints: h.out.Endpoints, PerReplica: hook.PerReplica,
		Files: slices.DeleteFunc(h.out.Files, func(f File) bool {
			return slices.ContainsFunc(s.out.Files, f.same) // volumes_from brings it
		}),
	}
}

// part takes away what a container of pre_start must not have of its service: the names under which the others find that
// one, and volumes that it gets from the replica. Of network_mode and networks, its own wins.
func (s *serviceLowering) part(from *types.ServiceConfig) {
	src := s.src
	if src.NetworkMode != "" && src.NetworkMode == from.NetworkMode && len(src.Networks) > 0 {
		src.NetworkMode = ""
	} else if src.NetworkMode != "" {
		src.Networks = nil
	}
	networks := map[string]*types.ServiceNetworkConfig{}
	for key, n := range src.Networks {
		own, inherited := deref(n), deref(from.Networks[key])
		no := false
		own.UseServiceNameAlias = &no
		own.Aliases = without(own.Aliases, inherited.Aliases)
		networks[key] = &own
	}
	src.Networks = networks
	src.VolumesFrom = without(src.VolumesFrom, from.VolumesFrom)
}

// without returns the items of a list that another one doesn't have.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(item string) bool { return slices.Contains(other, item) })
}

// checkParents finds references to services that the service itself doesn't share anything with: nothing makes sure that
// those have a container, and that the service follows them.
func (s *serviceLowering) checkParents(parents []string) {
	for _, name := range s.out.Parents() {
		if !slices.Contains(parents, name) {
			s.find(Error, s.place, codeUnsupported, "share with the service in the service's own attributes too",
				fmt.Sprintf("pre_start can only share with services that the service shares with, not with %q", name))
		}
	}
}

// withoutInherited drops what is found in a container of pre_start only because it is so in its service.
func (r *recipe) withoutInherited(found []Diagnostic) []Diagnostic {
	type what struct{ path, message string }
	said := map[what]bool{}
	for _, d := range found {
		said[what{d.Path, d.Message}] = true
	}
	return slices.DeleteFunc(found, func(d Diagnostic) bool {
		path, ok := inheritedPath(d.Path)
		if !ok {
			return false
		}
		return said[what{path, outsideHook(d.Message)}] && !r.saysItself(d.Path, path)
	})
}

// saysItself tells whether a container of pre_start has an attribute that its service has too.
func (r *recipe) saysItself(hook, service string) bool {
	if !r.locate() {
		return false
	}
	own := r.index.find(hook)
	return own.rest == "" && own.node() != r.index.find(service).node()
}
