package compose

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/types"
)

// resolveFiles reads the env and label files of the services into their environment and labels.
func (r *recipe) resolveFiles(l *loaded) []Diagnostic {
	var found []Diagnostic
	var env, labels bool
	eachContainer(l.project, func(path string, spec *types.ContainerSpec) {
		spec.Environment = spec.Environment.Resolve(l.project.Environment.Resolve)
		env, labels = env || len(spec.EnvFiles) > 0, labels || len(spec.LabelFiles) > 0
		found = append(found, missingFiles(path, *spec)...)
	})
	if len(found) > 0 {
		return append(found, fileFaults(l.project)...)
	}
	if env {
		project, err := l.project.WithServicesEnvironmentResolved(false)
		if err != nil {
			return orFault(fileFaults(l.project), "env", err)
		}
		l.project = project
	}
	if labels {
		project, err := l.project.WithServicesLabelsResolved(false)
		if err != nil {
			return orFault(fileFaults(l.project), "label", err)
		}
		l.project = project
	}
	return nil
}

// fileFaults finds all that is wrong with the env and label files that are there; the loader stops at the first.
func fileFaults(p *types.Project) []Diagnostic {
	var found []Diagnostic
	seen := map[string]bool{}
	read := func(kind, path, format string) {
		if !seen[path+":"+format] {
			found = append(found, linesAtFault(kind, path, format)...)
		}
		seen[path+":"+format] = true
	}
	eachContainer(p, func(_ string, spec *types.ContainerSpec) {
		for _, file := range spec.EnvFiles {
			read("env", file.Path, file.Format)
		}
		for _, path := range spec.LabelFiles {
			read("label", path, "")
		}
	})
	return found
}

// eachContainer visits what the active services say of their containers and of those of their pre_start, by its path. What visit
// changes of it is so from then on.
func eachContainer(p *types.Project, visit func(path string, spec *types.ContainerSpec)) {
	for _, name := range p.ServiceNames() {
		s := p.Services[name]
		visit("services."+name, &s.ContainerSpec)
		for i := range s.PreStart {
			visit(item("services."+name+".pre_start", i), &s.PreStart[i].ContainerSpec)
		}
		p.Services[name] = s
	}
}

// linesAtFault reads a file again and again, each time without the lines that were wrong.
func linesAtFault(kind, path, format string) []Diagnostic {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil // told, or not required
	}
	var found []Diagnostic
	for lines := strings.Split(string(text), "\n"); ; {
		lookup := func(string) (string, bool) { return "", true }
		err := dotenv.ParseWithFormat(strings.NewReader(strings.Join(lines, "\n")), path, map[string]string{}, lookup, format)
		if err == nil {
			return found
		}
		fault := fileFault(kind, err)
		_, open, unterminated := strings.Cut(err.Error(), "unterminated quoted value ")
		if unterminated { // the reader tells the line where it gave up
			fault.Line = 1 + slices.IndexFunc(lines, func(line string) bool { return strings.HasSuffix(strings.TrimSpace(line), strings.TrimSpace(open)) })
		}
		if fault.Line < 1 || fault.Line > len(lines) || lines[fault.Line-1] == "" {
			return found
		}
		found = append(found, fault)
		if unterminated {
			return found // what comes after it may belong to it
		}
		lines[fault.Line-1] = ""
	}
}

// orFault is the loader's error, where nothing better was found.
func orFault(found []Diagnostic, kind string, err error) []Diagnostic {
	if len(found) == 0 {
		return []Diagnostic{fileFault(kind, err)}
	}
	return found
}

// fileFault is what is wrong with an env or label file, without its text: that is where passwords stand.
func fileFault(kind string, err error) Diagnostic {
	d := Diagnostic{Severity: Error, Code: "invalid-" + kind + "-file"}
	if match := regexp.MustCompile(`failed to read (.+?): (?:.*\bline (\d+))?`).FindStringSubmatch(err.Error()); match != nil {
		d.File = match[1]
		d.Line, _ = strconv.Atoi(match[2])
		d.Message = "not a line of KEY=VALUE"
		return d
	}
	d.Path, d.Message = "services", fmt.Sprintf("the %s file can't be read: %v", kind, cause(err))
	return d
}
