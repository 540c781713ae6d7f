package compose

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/mount"
)

// defaultFileMode lets everybody read: what the process runs as is not known from the recipe.
const defaultFileMode = 0o444

// content is a config or secret of the top level, once read.
type content struct {
	text   Content
	digest string
	ok     bool
}

// files lowers configs and secrets. Each becomes a file that the engine writes to memory and binds into the container.
func (s *serviceLowering) files() {
	for i, ref := range s.src.Configs {
		s.file(KindConfig, item("configs", i), types.FileReferenceConfig(ref))
	}
	for i, ref := range s.src.Secrets {
		s.file(KindSecret, item("secrets", i), types.FileReferenceConfig(ref))
	}
	slices.SortFunc(s.out.Files, func(a, b File) int { return cmp.Compare(a.Target, b.Target) })
}

// file lowers one reference of a service to a config or secret.
func (s *serviceLowering) file(kind FileKind, attribute string, ref types.FileReferenceConfig) {
	f := File{Kind: kind, Name: ref.Source, Target: fileTarget(kind, ref), Mode: defaultFileMode}
	s.checkTarget(attribute, f.Target)
	f.UID, f.GID = s.owner(attribute+".uid", ref.UID), s.owner(attribute+".gid", ref.GID)
	if ref.Mode != nil {
		f.Mode = s.fileMode(attribute+".mode", int64(*ref.Mode))
	}
	if s.directory(kind, attribute, ref, f.Target) {
		return
	}
	if c := s.content(kind, ref.Source); c.ok {
		f.Content, f.Digest = c.text, c.digest
		s.out.Files = append(s.out.Files, f)
	}
}

// fileMode takes the permissions out of a mode. What it says beyond them means nothing on a file that nobody runs.
func (s *serviceLowering) fileMode(attribute string, mode int64) uint32 {
	const hint = "write it in octal, as 0440"
	switch {
	case mode < 0 || mode > 0o7777:
		s.refuse(attribute, codeInvalid, hint, "%#o are no permissions of a file", mode)
	case mode > 0o777:
		s.warn(attribute, codeIgnored, hint, "of mode %#o, only the permissions %#o are set", mode, mode&0o777)
	}
	return uint32(mode & 0o777)
}

// fileTarget is where a config or secret is in the container (compose-spec, services: configs and secrets).
func fileTarget(kind FileKind, ref types.FileReferenceConfig) string {
	target := orElse(ref.Target, ref.Source)
	switch {
	case path.IsAbs(target):
		return path.Clean(target)
	case kind == KindSecret:
		return path.Join("/run/secrets", target)
	}
	return path.Join("/", target)
}

// owner is a numeric id, -1 where there is none: names are known to the image alone.
func (s *serviceLowering) owner(attribute, text string) int {
	if text == "" {
		return -1
	}
	id, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		s.refuse(attribute, codeInvalid, "give its number: the recipe doesn't know the image's users and groups", "%q is no numeric id", text)
	}
	return int(id)
}

// directory binds a config or secret that is a whole directory, as docker compose does. It tells whether it is one.
func (s *serviceLowering) directory(kind FileKind, attribute string, ref types.FileReferenceConfig, target string) bool {
	def, _ := s.definition(kind, ref.Source)
	if def.File == "" || bool(def.External) {
		return false
	}
	source := absolute(s.project.WorkingDir, def.File)
	if info, err := os.Stat(source); err != nil || !info.IsDir() {
		return false
	}
	s.warn(attribute, codeIgnored, "mount a directory with volumes",
		"%ss.%s is a directory: it is bound as it stands, without uid, gid and mode, and changes in it are not followed", kind, ref.Source)
	s.addMount(mount.Mount{Type: mount.TypeBind, Source: source, Target: target, ReadOnly: true})
	return true
}

// definition is that of a config or secret at the top level.
func (l *lowering) definition(kind FileKind, name string) (def types.FileObjectConfig, defined bool) {
	if kind == KindConfig {
		config, defined := l.src.Configs[name]
		return types.FileObjectConfig(config), defined
	}
	secret, defined := l.src.Secrets[name]
	return types.FileObjectConfig(secret), defined
}

// content reads a config or secret of the top level, once for all services: a file may change meanwhile.
func (l *lowering) content(kind FileKind, name string) content {
	place := fmt.Sprintf("%ss.%s", kind, name)
	c, known := l.contents[place]
	if known {
		return c
	}
	if def, defined := l.definition(kind, name); defined { // what is not was found before
		c.text, c.ok = l.readContent(kind, place, def)
	}
	if c.ok {
		c.digest, c.ok = l.digestContent(place, c.text)
	}
	if l.contents == nil {
		l.contents = map[string]content{}
	}
	l.contents[place] = c
	return c
}

// readContent takes the content from where the definition says that it is.
func (l *lowering) readContent(kind FileKind, place string, def types.FileObjectConfig) (Content, bool) {
	sources := "define it with file or environment"
	if kind == KindConfig {
		sources = "define it with file, environment or content"
	}
	switch {
	case bool(def.External):
		l.find(Error, place+".external", codeUnsupported, sources,
			fmt.Sprintf("%s is external: the Engine keeps no %ss without a cluster", place, kind))
	case def.Driver != "" || len(def.DriverOpts) > 0:
		l.find(Error, place+".driver", codeUnsupported, sources, place+" has a driver, which only a cluster's Engine calls")
	case def.TemplateDriver != "":
		l.find(Error, place+".template_driver", codeUnsupported, "write the finished text, with variables of the recipe where need be",
			place+" has a template driver, which only a cluster's Engine calls")
	case def.File != "":
		return l.readContentFile(place, absolute(l.project.WorkingDir, def.File))
	case def.Environment != "":
		if value, set := l.src.Environment.Resolve(def.Environment); set {
			return Content(value), true
		}
		l.find(Error, place+".environment", "missing-variable", "set it, or put it into an env file",
			fmt.Sprintf("%s comes from variable %q, which is not set", place, def.Environment))
	case kind == KindConfig:
		return Content(def.Content), true
	default:
		l.find(Error, place, codeInvalid, sources, place+" does not say where its content comes from")
	}
	return nil, false
}

func (l *lowering) readContentFile(place, file string) (Content, bool) {
	text, err := os.ReadFile(file)
	if err == nil {
		return text, true
	}
	code := codeInvalid
	if errors.Is(err, fs.ErrNotExist) {
		code = codeMissingFile
	}
	l.find(Error, place+".file", code, "", fmt.Sprintf("reading %q: %s", file, cause(err)))
	return nil, false
}

func (l *lowering) digestContent(place string, text Content) (string, bool) {
	if l.key == nil {
		return text.digest(nil), true
	}
	key, err := l.key()
	if err != nil {
		l.find(Error, place, "no-key", "", fmt.Sprintf("the key to digest it with can't be had: %s", err))
		return "", false
	}
	return text.digest(key), true
}
