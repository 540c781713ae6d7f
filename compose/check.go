package compose

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// check finds what the files alone tell to be wrong, beyond what the schema says. Every check is certain: what depends
// on an image or on the machine is no error here.
func (r *recipe) check(p *types.Project) []Diagnostic {
	c := &checker{project: p, pruned: r.lost(p), written: r.written}
	if len(p.Services) == 0 && len(p.DisabledServices) == 0 && len(r.pruned) == 0 {
		c.add(Warning, "no-services", "services", "the recipe has no services", "")
	}
	for _, name := range p.ServiceNames() {
		s := p.Services[name]
		path := "services." + name
		c.image(s)
		c.references(path, name, s.ContainerSpec)
		c.dependencies(s)
		c.networking(s)
		c.healthcheck(s)
		c.mounts(path, s.ContainerSpec)
		for i, hook := range s.PreStart {
			c.references(item(path+".pre_start", i), name, hook.ContainerSpec)
			c.mounts(item(path+".pre_start", i), hook.ContainerSpec)
		}
	}
	c.offline(r.offlineLocked())
	c.cycles()
	c.ports()
	c.addresses()
	c.containerNames(r.separator)
	c.resourceNames()
	return c.found
}

type checker struct {
	project *types.Project
	pruned  []string
	found   []Diagnostic
	// written tells whether a path stands in the recipe itself; the loader adds to depends_on what else makes a service wait.
	written func(path string) bool
}

func (c *checker) add(severity Severity, code, path, message, hint string) {
	c.found = append(c.found, Diagnostic{Severity: severity, Code: code, Path: path, Message: message, Hint: hint})
}

// gone tells whether an entry was taken out because of another mistake: what is missing for that reason is no news.
func (c *checker) gone(path string) bool {
	return slices.ContainsFunc(c.pruned, func(p string) bool { return starts(path, p) || starts(p, "include") })
}

// incomplete tells whether something of a service was taken out that may have been its image, misspelt or inherited.
func (c *checker) incomplete(path string) bool {
	return slices.ContainsFunc(c.pruned, func(p string) bool {
		key, inside := strings.CutPrefix(p, path+".")
		return inside && !strings.ContainsAny(key, ".[")
	})
}

func (c *checker) image(s types.ServiceConfig) {
	path := "services." + s.Name
	if s.Image == "" && s.Build == nil && s.Provider == nil && !c.incomplete(path) {
		c.add(Error, "no-image", path, fmt.Sprintf("service %q has no image", s.Name), "say which image it runs: image: NAME")
	}
}

// references checks that what a service, or a container of its pre_start, names is defined.
func (c *checker) references(path, service string, s types.ContainerSpec) {
	for _, key := range sortedKeys(s.Networks) {
		_, defined := c.project.Networks[key]
		c.reference(path+".networks."+key, service, "network", key, defined, sortedKeys(c.project.Networks))
	}
	for i, v := range s.Volumes {
		if v.Type == types.VolumeTypeVolume && v.Source != "" {
			_, defined := c.project.Volumes[v.Source]
			c.reference(fmt.Sprintf("%s.volumes[%d]", path, i), service, "volume", v.Source, defined, sortedKeys(c.project.Volumes))
		}
	}
	for i, v := range s.Configs {
		_, defined := c.project.Configs[v.Source]
		c.reference(fmt.Sprintf("%s.configs[%d]", path, i), service, "config", v.Source, defined, sortedKeys(c.project.Configs))
	}
	for i, v := range s.Secrets {
		_, defined := c.project.Secrets[v.Source]
		c.reference(fmt.Sprintf("%s.secrets[%d]", path, i), service, "secret", v.Source, defined, sortedKeys(c.project.Secrets))
	}
}

func (c *checker) reference(path, service, kind, name string, defined bool, names []string) {
	if defined || c.gone(kind+"s."+name) {
		return
	}
	hint := didYouMean(name, names)
	if hint == "" {
		hint = fmt.Sprintf("define it at the top level, below \"%ss:\"", kind)
	}
	c.add(Error, "undefined-"+kind, path, fmt.Sprintf("service %q refers to the undefined %s %q", service, kind, name), hint)
}

// dependencies checks that what a service waits for can come: a service that is there, in a state it can reach.
func (c *checker) dependencies(s types.ServiceConfig) {
	for _, name := range sortedKeys(s.DependsOn) {
		need := s.DependsOn[name]
		path := needPath(s, name)
		target, active := c.project.Services[name]
		if !active {
			paths := needPaths(s, name)
			if own := dependsOn(s, name); paths[0] != own && c.written(own) {
				paths = append(paths, own)
			}
			for _, path := range paths {
				c.absent(s, name, path, need.Required)
			}
			continue
		}
		disabled := target.HealthCheck != nil &&
			(target.HealthCheck.Disable || len(target.HealthCheck.Test) > 0 && target.HealthCheck.Test[0] == "NONE")
		if need.Condition == types.ServiceConditionHealthy && disabled {
			c.add(Error, "never-healthy", path, fmt.Sprintf("service %q waits until %q is healthy, but its healthcheck is disabled", s.Name, name),
				"use condition: service_started, or give it a healthcheck")
		}
		policy := restartPolicy(target)
		if need.Condition == types.ServiceConditionCompletedSuccessfully && contains("always unless-stopped any", policy) {
			c.add(Error, "never-completes", path, fmt.Sprintf("service %q waits until %q has completed, but its restart policy %q starts it again each time",
				s.Name, name, policy), fmt.Sprintf("set restart: \"no\" or on-failure on %q", name))
		}
	}
}

// restartPolicy is what a recipe says about when a service is started again: deploy wins.
func restartPolicy(s types.ServiceConfig) string {
	if s.Deploy != nil && s.Deploy.RestartPolicy != nil {
		return orElse(s.Deploy.RestartPolicy.Condition, "any")
	}
	return s.Restart
}

func (c *checker) absent(s types.ServiceConfig, name, path string, required bool) {
	if inactive, ok := c.project.DisabledServices[name]; ok {
		if required {
			c.add(Error, "inactive-service", path, fmt.Sprintf("service %q needs %q, which no active profile asks for", s.Name, name),
				"activate it with --profile "+strings.Join(inactive.Profiles, " or "))
		}
		return
	}
	if required && !c.gone("services."+name) {
		names := append(sortedKeys(c.project.Services), sortedKeys(c.project.DisabledServices)...)
		names = slices.DeleteFunc(names, func(n string) bool { return n == s.Name })
		c.add(Error, "undefined-service", path, fmt.Sprintf("service %q refers to the undefined service %q", s.Name, name), didYouMean(name, names))
	}
}

// needPath finds the attribute that makes a service need another one: the loader turns all of them into depends_on.
func needPath(s types.ServiceConfig, name string) string { return needPaths(s, name)[0] }

func dependsOn(s types.ServiceConfig, name string) string {
	return "services." + s.Name + ".depends_on." + name
}

// needPaths are all attributes that make it so; depends_on itself, to which the loader adds the others, only where there is none.
func needPaths(s types.ServiceConfig, name string) []string {
	path := "services." + s.Name
	var all []string
	modes := []struct{ attribute, value string }{
		{"network_mode", s.NetworkMode}, {"ipc", s.Ipc}, {"pid", s.Pid}, {"uts", s.Uts}, {"cgroup", s.Cgroup},
	}
	for _, mode := range modes {
		if mode.value == types.ServicePrefix+name {
			all = append(all, path+"."+mode.attribute)
		}
	}
	for i, from := range s.VolumesFrom {
		if source, _, _ := strings.Cut(from, ":"); source == name {
			all = append(all, fmt.Sprintf("%s.volumes_from[%d]", path, i))
		}
	}
	for i, link := range s.Links {
		if target, _, _ := strings.Cut(link, ":"); target == name {
			all = append(all, fmt.Sprintf("%s.links[%d]", path, i))
		}
	}
	if len(all) == 0 {
		return []string{dependsOn(s, name)}
	}
	return all
}

func (c *checker) networking(s types.ServiceConfig) {
	if s.NetworkMode != "" && len(s.Networks) > 0 {
		c.add(Error, "network-mode-and-networks", "services."+s.Name+".network_mode",
			fmt.Sprintf("service %q has both network_mode and networks", s.Name), "remove one of the two")
	}
}

func (c *checker) healthcheck(s types.ServiceConfig) {
	if s.HealthCheck == nil || len(s.HealthCheck.Test) == 0 {
		return
	}
	kinds := []string{"CMD", "CMD-SHELL", "NONE"}
	if first := s.HealthCheck.Test[0]; !slices.Contains(kinds, first) {
		c.add(Error, "invalid-healthcheck", "services."+s.Name+".healthcheck.test[0]",
			fmt.Sprintf("the healthcheck of %q must start with \"CMD\", \"CMD-SHELL\" or \"NONE\"", s.Name),
			"write a list as [\"CMD\", …]; a plain text runs in a shell")
	}
}

func (c *checker) mounts(place string, s types.ContainerSpec) {
	at := map[string]string{}
	mount := func(target, path string) {
		if first, twice := at[target]; twice {
			c.add(Error, "duplicate-mount", path, fmt.Sprintf("%q is already mounted by %s", target, first), "")
			return
		}
		at[target] = strings.TrimPrefix(path, place+".")
	}
	for i, tmpfs := range s.Tmpfs {
		target, _, _ := strings.Cut(tmpfs, ":")
		mount(target, item(place+".tmpfs", i))
	}
	for i, ref := range s.Configs {
		mount(fileTarget(KindConfig, types.FileReferenceConfig(ref)), item(place+".configs", i))
	}
	for i, ref := range s.Secrets {
		mount(fileTarget(KindSecret, types.FileReferenceConfig(ref)), item(place+".secrets", i))
	}
	for i, v := range s.Volumes {
		path := item(place+".volumes", i)
		mount(v.Target, path)
		if v.Type != types.VolumeTypeBind || v.Bind == nil || bool(v.Bind.CreateHostPath) {
			continue
		}
		if _, err := os.Lstat(v.Source); os.IsNotExist(err) {
			c.add(Warning, "missing-bind-source", path, fmt.Sprintf("%q does not exist, and create_host_path is false", v.Source), "")
		}
	}
}

// missingFiles finds the env and label files of a service, or of a container of its pre_start, that aren't there.
func missingFiles(place string, s types.ContainerSpec) []Diagnostic {
	var found []Diagnostic
	missing := func(kind, attribute, file string, i int, hint string) {
		if _, err := os.Stat(file); err == nil {
			return
		}
		found = append(found, Diagnostic{
			Severity: Error, Code: "missing-" + kind + "-file", Path: item(place+"."+attribute, i),
			Message: fmt.Sprintf("the %s file %q does not exist", kind, file), Hint: hint,
		})
	}
	for i, file := range s.EnvFiles {
		if file.Required {
			missing("env", "env_file", file.Path, i, "create it, or mark it with required: false")
		}
	}
	for i, file := range s.LabelFiles {
		missing("label", "label_file", file, i, "")
	}
	return found
}
