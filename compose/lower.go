package compose

import (
	"fmt"

	"github.com/compose-spec/compose-go/v2/types"
)

// The codes of what lowering and the support table find.
const (
	codeInvalid     = "invalid-value"     // the Engine would refuse the value
	codeConflict    = "conflict"          // two attributes that don't go together
	codeUnsupported = "unsupported"       // outside of what galley does
	codeNotYet      = "not-supported-yet" // will be supported
	codeIgnored     = "ignored"           // accepted, without effect
	codeMissingFile = "missing-file"
	codeNoTest      = "no-healthcheck"
)

// lower turns the loader's project into payloads. It never stops at a fault: the findings are all there are, with paths
// but without positions, and the project is only good if none of them is an Error.
func lower(src *types.Project, separator string, key func() ([]byte, error)) (*Project, []Diagnostic) {
	l := &lowering{src: src, key: key, project: &Project{
		Name:       src.Name,
		WorkingDir: src.WorkingDir,
		Separator:  separator,
		Inactive:   src.DisabledServiceNames(),
	}}
	for _, key := range sortedKeys(src.Networks) {
		l.project.Networks = append(l.project.Networks, l.network(key))
	}
	for _, key := range sortedKeys(src.Volumes) {
		l.project.Volumes = append(l.project.Volumes, l.volume(key))
	}
	for _, name := range sortedKeys(src.Services) {
		l.project.Services = append(l.project.Services, l.service(name))
	}
	l.checkSubnets()
	l.checkGates()
	l.checkSchedules()
	return l.project, l.diagnostics
}

// lowering is one project on its way into payloads, with what is found on it.
type lowering struct {
	src         *types.Project
	project     *Project
	diagnostics []Diagnostic
	// key is that of [Source.Key].
	key func() ([]byte, error)
	// contents are the configs and secrets read so far, by their place in the recipe.
	contents map[string]content
}

func (l *lowering) find(severity Severity, path, code, hint, message string) {
	l.diagnostics = append(l.diagnostics, Diagnostic{Severity: severity, Code: code, Path: path, Hint: hint, Message: message})
}

// atKey points the last finding at its path's key, instead of at the value.
func (l *lowering) atKey() { l.diagnostics[len(l.diagnostics)-1].aboutKey = true }

// serviceLowering is one service on its way.
type serviceLowering struct {
	*lowering
	src *types.ServiceConfig
	out *Service
	// place is the path that the attributes stand below.
	place string
}

// service lowers one service. The families of attributes don't depend on each other's results, but for the last ones.
func (l *lowering) service(name string) *Service {
	src := l.src.Services[name]
	s := &serviceLowering{lowering: l, src: &src, out: &Service{Name: name}, place: "services." + name}
	s.container()
	s.ports()
	s.healthcheck()
	s.restart()
	s.needs()
	s.replicas()
	s.updates()
	s.extension()
	s.scheduled()
	s.checkNetworkMode()
	s.links()
	s.hooks()
	s.out.Fields, s.out.Hash = digestService(s.out)
	return s.out
}

// container lowers the attributes that a container of pre_start has too (the compose-spec's container_spec).
func (s *serviceLowering) container() {
	s.image()
	s.process()
	s.security()
	s.namespaces()
	s.resources()
	s.limits()
	s.devices()
	s.storage()
	s.files()
	s.networks()
	s.checkInterfaces()
	s.names()
	s.stop()
	s.logging()
}

// path is the dotted path of one of the service's attributes.
func (s *serviceLowering) path(attribute string) string { return s.place + "." + attribute }

// refuse finds an error in one of the service's attributes.
func (s *serviceLowering) refuse(attribute, code, hint, format string, args ...any) {
	s.find(Error, s.path(attribute), code, hint, fmt.Sprintf(format, args...))
}

// warn finds something that doesn't stop the recipe.
func (s *serviceLowering) warn(attribute, code, hint, format string, args ...any) {
	s.find(Warning, s.path(attribute), code, hint, fmt.Sprintf(format, args...))
}

// require notes that an attribute in use needs an Engine API newer than the oldest supported one.
func (s *serviceLowering) require(attribute, api string) {
	s.out.Requires = append(s.out.Requires, Requirement{Attribute: s.path(attribute), API: api})
}

// requireAt is require for an attribute outside of the service, of a network that it is attached to.
func (s *serviceLowering) requireAt(path, api string) {
	s.out.Requires = append(s.out.Requires, Requirement{Attribute: path, API: api})
}

// item is the path of an element of a list.
func item(attribute string, i int) string { return fmt.Sprintf("%s[%d]", attribute, i) }
