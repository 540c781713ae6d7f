package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"galley/bosh"
	"galley/compose"
)

// labelFiles carries the digest of the job's files that a service mounts: it changes with them, and so the service is
// replaced.
const labelFiles = "io.galley.bosh.files"

// serviceOverride is what the job's properties add to a service.
type serviceOverride struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Environment map[string]string `json:"environment,omitempty"`
	PullPolicy  string            `json:"pull_policy,omitempty"`
}

// writeOverride writes a recipe that is merged with the job's own. JSON is YAML as well.
func writeOverride(vm *bosh.VM, settings *bosh.Settings, project *compose.Project, files []bosh.File) error {
	services := map[string]serviceOverride{}
	for _, s := range project.Services {
		o := serviceOverride{PullPolicy: settings.PullPolicy}
		if digest := mountedFiles(vm, s, files); digest != "" {
			o.Labels = map[string]string{labelFiles: digest}
		}
		if settings.Proxy.Containers {
			o.Environment = missingFrom(s.Config.Env, settings.Proxy.Environ(settings.Instance.IP))
		}
		services[s.Name] = o
	}
	text, err := json.MarshalIndent(map[string]any{"services": services}, "", "  ")
	if err != nil {
		return fmt.Errorf("writing what the job's properties add to the recipe: %w", err)
	}
	return vm.WriteOverride(append(text, '\n'))
}

// mountedFiles is the digest of the files that a service mounts, singly or with their directory; "" for none.
func mountedFiles(vm *bosh.VM, s *compose.Service, files []bosh.File) string {
	var sources []string
	for _, bind := range s.Host.Binds {
		source, _, _ := strings.Cut(bind, ":")
		sources = append(sources, source)
	}
	for _, m := range s.Host.Mounts {
		sources = append(sources, m.Source)
	}
	return bosh.DigestBelow(vm.Project(), sources, files)
}

// missingFrom are the variables whose names are not set, in either case, as a mapping.
func missingFrom(set, wanted []string) map[string]string {
	missing := map[string]string{}
	for _, variable := range wanted {
		name, value, _ := strings.Cut(variable, "=")
		if !slices.ContainsFunc(set, func(s string) bool {
			other, _, _ := strings.Cut(s, "=")
			return strings.EqualFold(other, name)
		}) {
			missing[name] = strings.ReplaceAll(value, "$", "$$")
		}
	}
	return missing
}
