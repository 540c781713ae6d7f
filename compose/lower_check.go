package compose

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/docker/docker/api/types/versions"
)

// checkSubnets finds networks of the project that overlap: the Engine refuses the second one.
func (l *lowering) checkSubnets() {
	type taken struct {
		key    string
		subnet netip.Prefix
	}
	var before []taken
	for _, key := range sortedKeys(l.src.Networks) {
		if l.src.Networks[key].External {
			continue
		}
		for i, subnet := range subnetsOf(l.src.Networks[key]) {
			for _, t := range before {
				if t.subnet.Overlaps(subnet) {
					l.find(Error, item("networks."+key+".ipam.config", i)+".subnet", "overlapping-subnets", "give each network a subnet of its own",
						fmt.Sprintf("subnet %s overlaps %s of network %q", subnet, t.subnet, t.key))
				}
			}
			before = append(before, taken{key, subnet})
		}
	}
}

// checkGates warns of gates that open only if an image does what the recipe doesn't say.
func (l *lowering) checkGates() {
	for _, s := range l.project.Services {
		for _, need := range s.Needs {
			on := l.project.Service(need.Service)
			if need.Condition != Healthy || on == nil || on.Replicas == 0 || hasTest(on) {
				continue
			}
			l.find(Warning, "services."+s.Name+".depends_on."+need.Service, codeNoTest, "give it a healthcheck, or use condition: service_started",
				fmt.Sprintf("service %q has no healthcheck here: it becomes healthy only if its image has one", on.Name))
		}
	}
}

func hasTest(s *Service) bool {
	return s.Config.Healthcheck != nil && len(s.Config.Healthcheck.Test) > 0
}

// tooNew finds the attributes in use that an Engine API, as "1.41", doesn't have.
func tooNew(p *Project, api string) []Diagnostic {
	var found []Diagnostic
	for _, s := range p.Services {
		for _, need := range s.Requires {
			if api == "" || !versions.LessThan(api, need.API) {
				continue
			}
			found = append(found, Diagnostic{
				Severity: Error, Code: "engine-too-old", Path: need.Attribute,
				Message: fmt.Sprintf("%s needs Engine API %s, newer than %s", need.Attribute[strings.LastIndexByte(need.Attribute, '.')+1:], need.API, api),
				Hint:    "take the attribute out, or run the recipe on a newer Engine",
			})
		}
	}
	return found
}

// refusedBy finds the attributes in use that Engines refuse: those with an API that is asked for, or newer ones.
func refusedBy(p *Project, api string) []Diagnostic {
	var found []Diagnostic
	for _, s := range p.Services {
		for _, r := range s.Refusals {
			d := Diagnostic{
				Severity: Warning, Code: "engine-too-new", Path: r.Attribute, Hint: r.Hint, aboutKey: true,
				Message: fmt.Sprintf("Engines with API %s and newer refuse this: %s", r.API, r.Why),
			}
			if api != "" && !versions.LessThan(api, r.API) {
				d.Severity = Error
			}
			if api == "" || d.Severity == Error {
				found = append(found, d)
			}
		}
	}
	return found
}
