package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// ProjectName finds the project's name without needing a readable recipe: src.Name, COMPOSE_PROJECT_NAME of the
// environment or the env files, name: of the recipe as far as it can be read (the last file wins), or the project
// directory's name. Commands that work from labels alone need no more.
func ProjectName(src Source) (string, error) {
	if src.Name != "" {
		return explicit(src.Name)
	}
	p, err := discover(src)
	if errors.Is(err, ErrNoRecipe) || p == nil && err != nil && len(src.Files) > 0 {
		p, err = surroundings(src)
	}
	if err != nil {
		return "", err
	}
	var files []*file
	for _, path := range p.paths {
		if path == stdin && !rewindable(src.Stdin) {
			continue // what can be read once only is for Load
		}
		if text, err := read(src, path); err == nil {
			files = append(files, &file{name: path, text: text})
		}
	}
	if len(files) == 1 && isManifest(files[0]) {
		return manifestName(src, files[0])
	}
	return projectName(src, p, files)
}

// Environment returns the variables that count for a recipe: those of src.Environ, and of the env files those that it lacks.
// No recipe is needed.
func Environment(src Source) (map[string]string, error) {
	p, err := discover(src)
	if errors.Is(err, ErrNoRecipe) || p == nil && err != nil && len(src.Files) > 0 {
		p, err = surroundings(src)
	}
	if err != nil {
		return nil, err
	}
	return p.env, nil
}

// rewindable tells whether standard input is a file or a text that Load can read again.
func rewindable(input io.Reader) bool {
	seeker, ok := input.(io.Seeker)
	if !ok {
		return false
	}
	_, err := seeker.Seek(0, io.SeekCurrent)
	return err == nil
}

// surroundings is discover without the files, which are not there.
func surroundings(src Source) (*place, error) {
	dir := projectDir(src, nil)
	if src.ProjectDir == "" && len(src.Files) > 0 && src.Files[0] != stdin {
		dir = filepath.Dir(absolute(src.Dir, src.Files[0]))
	}
	p := &place{dir: dir, env: types.NewMapping(src.Environ)}
	return p, p.readEnvFiles(src, dir)
}

// projectName applies docker compose's order of precedence.
func projectName(src Source, p *place, files []*file) (string, error) {
	if src.Name != "" {
		return explicit(src.Name)
	}
	if name := p.env["COMPOSE_PROJECT_NAME"]; name != "" {
		return explicit(name)
	}
	named := ""
	for _, f := range files {
		if name := f.projectName(p.env); name != "" {
			named = name
		}
	}
	if name := loader.NormalizeProjectName(named); name != "" {
		return name, nil
	}
	name := loader.NormalizeProjectName(filepath.Base(p.dir))
	if name == "" {
		return "", fmt.Errorf("naming the project: the directory %q gives no name; choose one with -p", p.dir)
	}
	return name, nil
}

func explicit(name string) (string, error) {
	if name != loader.NormalizeProjectName(name) {
		return "", fmt.Errorf("naming the project %q: a name has lower-case letters, digits, \"-\" and \"_\", and starts with a letter or digit", name)
	}
	return name, nil
}

// projectName returns a file's name:, or "". Most files have none, and are not parsed to know it.
func (f *file) projectName(env types.Mapping) string {
	if !mayHaveName(f.text) {
		return ""
	}
	name := ""
	decoder := yaml.NewDecoder(bytes.NewReader(f.text))
	for {
		var top struct {
			Name string `yaml:"name"`
		}
		if err := decoder.Decode(&top); err != nil {
			break // the end, or a fault that loading tells better
		}
		if top.Name != "" {
			name = top.Name
		}
	}
	expanded, err := template.SubstituteWithOptions(name, env.Resolve, template.WithoutLogging)
	if err != nil {
		return ""
	}
	return expanded
}

// mayHaveName tells whether the top level of a text may have the key name: in block style its lines are indented as
// the first one; any other style may.
func mayHaveName(text []byte) bool {
	start := regexp.MustCompile(`(?m)^( *)([^\s#])`).FindSubmatch(text)
	if start == nil {
		return false
	}
	if strings.ContainsAny(string(start[2]), "{[?<&*!|>%-\ufeff") {
		return true
	}
	key := regexp.MustCompile(`(?m)^` + string(start[1]) + `(?:["']?name["']?\s*:|<<|\?)`)
	return key.Match(text)
}
