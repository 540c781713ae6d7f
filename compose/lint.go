package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"
	"go.yaml.in/yaml/v4"
)

// lint finds what a recipe runs in spite of, but perhaps not as meant. It needs the recipe's text, and so costs more than
// what [recipe.check] finds.
func (r *recipe) lint(p *types.Project) []Diagnostic {
	if !r.locate() {
		return nil
	}
	_, unlocked := os.Stat(r.lockPath())
	// What a lock or a tarball holds does not depend on the tag.
	c := &linter{checker: checker{project: p, pruned: r.pruned}, recipe: r, tagged: unlocked != nil && r.offline == nil}
	for _, name := range p.ServiceNames() {
		s := p.Services[name]
		c.container("services."+name, s.ContainerSpec, s.Build != nil)
		for i, hook := range s.PreStart {
			c.container(item("services."+name+".pre_start", i), hook.ContainerSpec, false)
		}
	}
	c.unused()
	for _, doc := range r.index.docs {
		c.version(doc)
		c.readAs11(doc)
		c.mountOptions(doc)
	}
	return c.found
}

type linter struct {
	checker
	recipe *recipe
	tagged bool // images are pulled by their tags
}

// at adds a finding about a node of a document.
func (c *linter) at(doc *document, n *yaml.Node, severity Severity, code, path, message, hint string) {
	c.add(severity, code, path, message, hint)
	d := &c.found[len(c.found)-1]
	d.File = doc.file
	d.Line, d.Column = doc.at(n)
}

func (c *linter) container(path string, s types.ContainerSpec, built bool) {
	c.pinned(path, s, built)
	c.plainSecrets(path, s)
	c.bindSources(path, s)
}

// pinned finds images that mean another thing tomorrow.
func (c *linter) pinned(path string, s types.ContainerSpec, built bool) {
	named, err := reference.ParseNormalizedNamed(s.Image)
	if err != nil || built || !c.tagged {
		return
	}
	if _, digested := named.(reference.Digested); digested {
		return
	}
	switch tagged, ok := named.(reference.Tagged); {
	case !ok:
		c.add(Warning, "unpinned-image", path+".image", fmt.Sprintf("the image %q has no tag: what runs depends on when it was pulled", s.Image),
			"add the version's tag, or a digest")
	case tagged.Tag() == "latest":
		c.add(Warning, "unpinned-image", path+".image", fmt.Sprintf("what %q is depends on when it was pulled", s.Image),
			"name the version, or a digest")
	}
}

// plainSecrets finds variables whose value is a secret that stands in the recipe's text. The value is never told.
func (c *linter) plainSecrets(path string, s types.ContainerSpec) {
	for _, key := range sortedKeys(s.Environment) {
		value := s.Environment[key]
		if value == nil || !isSecret(key, *value) {
			continue
		}
		at := path + ".environment." + key
		written := c.recipe.index.find(at)
		if written.value == nil || written.rest != "" {
			continue // of another place than the recipe's text
		}
		if text := strings.ReplaceAll(written.value.Value, "$$", ""); strings.Contains(text, "$") || len(variableNames(text)) > 0 {
			continue // it comes from outside
		}
		c.add(Warning, "plain-secret", at, fmt.Sprintf("the value of %q looks like a secret, and stands in the recipe", key),
			fmt.Sprintf("use secrets:, or a variable, as ${%s:?}", strings.ToUpper(key)))
	}
}

// isSecret tells whether a variable's name says that its value is a secret and nothing in the value speaks against it, or
// whether the value is a URL with a password.
func isSecret(key, value string) bool {
	if regexp.MustCompile(`^[a-zA-Z][\w+.-]*://[^/@:\s]*:[^/@\s]+@`).MatchString(value) {
		return true
	}
	name := regexp.MustCompile(`(?i)(^|[_.-])(pass(word|wd|phrase)?|pwd|secret|token|credentials?|` +
		`(api|access|private|secret|encryption|auth|master|signing|licen[cs]e)[_-]?key(_base)?)$`)
	// A switch, a number of few digits or a path is no secret.
	harmless := regexp.MustCompile(`(?i)^(|true|false|yes|no|on|off|none|null|\d{1,3}|\.{0,2}/.*)$`)
	return name.MatchString(key) && !harmless.MatchString(value)
}

// bindSources finds files that would become directories: the Engine makes one where the source of a bind mount is missing.
// What lies outside of the project's directory may be on the machine that the recipe is for.
func (c *linter) bindSources(path string, s types.ContainerSpec) {
	if c.recipe.job != nil {
		return
	}
	for i, v := range s.Volumes {
		created := v.Bind == nil || bool(v.Bind.CreateHostPath)
		inside, err := filepath.Rel(c.project.WorkingDir, v.Source)
		if v.Type != types.VolumeTypeBind || !created || err != nil || !filepath.IsLocal(inside) {
			continue
		}
		if extension := filepath.Ext(v.Source); len(extension) < 3 || extension != filepath.Ext(v.Target) {
			continue // perhaps a directory is meant: ./conf.d
		}
		if _, err := os.Lstat(v.Source); os.IsNotExist(err) {
			c.add(Warning, "missing-bind-source", item(path+".volumes", i),
				fmt.Sprintf("%q does not exist: the Engine would make an empty directory of that name", v.Source), "")
		}
	}
}

// usedBy are what services and their hooks use of the top level, as "networks.front".
func usedBy(services types.Services) map[string]bool {
	used := map[string]bool{}
	use := func(kind, name string) { used[kind+"."+name] = true }
	for _, s := range services {
		useOf(s.ContainerSpec, use)
		for _, hook := range s.PreStart {
			useOf(hook.ContainerSpec, use)
		}
	}
	return used
}

// unused finds what is defined at the top level, but used by no service, active or not.
func (c *linter) unused() {
	used := usedBy(c.project.AllServices())
	for _, s := range c.project.AllServices() {
		if s.Build != nil {
			for _, secret := range s.Build.Secrets {
				used["secrets."+secret.Source] = true
			}
		}
	}
	defined := map[string][]string{
		"networks": sortedKeys(c.project.Networks), "volumes": sortedKeys(c.project.Volumes),
		"configs": sortedKeys(c.project.Configs), "secrets": sortedKeys(c.project.Secrets),
	}
	for _, kind := range sortedKeys(defined) {
		for _, name := range defined[kind] {
			path := kind + "." + name
			if used[path] || path == "networks.default" || len(c.pruned) > 0 {
				continue // the default one may be the loader's; of a recipe with mistakes not all is known
			}
			c.add(Note, "unused", path, fmt.Sprintf("no service uses the %s %q", strings.TrimSuffix(kind, "s"), name), "")
		}
	}
}

func useOf(s types.ContainerSpec, use func(kind, name string)) {
	for name := range s.Networks {
		use("networks", name)
	}
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeVolume {
			use("volumes", v.Source)
		}
	}
	for _, config := range s.Configs {
		use("configs", config.Source)
	}
	for _, secret := range s.Secrets {
		use("secrets", secret.Source)
	}
}

// version finds the top-level attribute that has no meaning any more.
func (c *linter) version(doc *document) {
	if s := doc.walk("version"); s.rest == "" && s.key != nil {
		c.at(doc, s.key, Note, "obsolete-version", "version", "the top-level version is obsolete and has no effect", "remove it")
	}
}

// readAs11 finds values that readers of YAML 1.1 take for something else. In a manifest that is a fault, since the BOSH
// director is one of them, and writes anew what it reads; elsewhere docker-compose 1 is.
func (c *linter) readAs11(doc *document) {
	severity, who := Note, "docker-compose 1 reads"
	if c.recipe.job != nil {
		if !c.recipe.files[0].mapping {
			return // the recipe is a text, which the director leaves as it is
		}
		severity, who = Warning, "the BOSH director reads"
	}
	base60 := regexp.MustCompile(`^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+$`)
	doc.scalars(func(n *yaml.Node, path string, _ entry) {
		switch quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0; {
		case quoted || n.Style&yaml.TaggedStyle != 0:
		case base60.MatchString(n.Value):
			c.at(doc, n, severity, "yaml-1.1", path, fmt.Sprintf("%s %s as a number to the base of 60", who, n.Value), fmt.Sprintf("put it in quotes: %q", n.Value))
		case c.recipe.job != nil && slices.Contains([]string{"yes", "no", "on", "off"}, strings.ToLower(n.Value)):
			c.at(doc, n, severity, "yaml-1.1", path, fmt.Sprintf("%s %s as true or false", who, n.Value), fmt.Sprintf("put it in quotes: %q", n.Value))
		}
	})
}

// mountOptions finds options of the short form of mounts that nobody knows; the loader drops them.
func (c *linter) mountOptions(doc *document) {
	inVolumes := mountPath()
	known := []string{"ro", "rw", "nocopy", "z", "Z", "private", "rprivate", "shared", "rshared", "slave", "rslave"}
	onMacs := []string{"consistent", "cached", "delegated"} // which mean nothing elsewhere
	doc.scalars(func(n *yaml.Node, path string, _ entry) {
		if !inVolumes.MatchString(path) {
			return
		}
		text, err := doc.interpolated(n.Value)
		options := text[strings.LastIndex(text, ":")+1:]
		if err != nil || strings.Count(text, ":") < 2 || strings.Contains(options, "/") {
			return // where a drive has a letter, the last part is a path
		}
		for _, option := range strings.Split(options, ",") {
			if !slices.Contains(known, option) && !slices.Contains(onMacs, option) {
				c.at(doc, n, Warning, "unknown-mount-option", path, fmt.Sprintf("nobody knows the mount option %q, which has no effect", option),
					orElse(didYouMean(option, known), "the options are "+strings.Join(known, ", ")))
			}
		}
	})
}

// mountPath fits the path of a service's mount.
func mountPath() *regexp.Regexp { return regexp.MustCompile(`^services\..+\.volumes\[\d+\]$`) }
