package compose

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/types"
)

// stdin is the file name that stands for standard input.
const stdin = "-"

// The default file names, in order of preference (compose-spec, "The Compose file").
func defaultNames() []string {
	return []string{"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}
}

func overrideNames() []string {
	return []string{
		"compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml",
	}
}

// place is where a recipe stands and what surrounds it, found without reading any YAML.
type place struct {
	paths []string // absolute, or "-"
	dir   string   // absolute: the project directory
	env   types.Mapping
}

// discover finds a source's files, project directory and environment in the order docker compose does: the process
// environment wins over env files, the env files of the first directory may name the recipe's files (COMPOSE_FILE),
// and the env file beside those files is read last. A nil paths means that there is no recipe.
func discover(src Source) (*place, error) {
	p := &place{env: types.NewMapping(src.Environ)}
	given, err := expand(src, src.Files)
	if err != nil {
		return nil, err
	}
	p.paths, p.dir = given, projectDir(src, given)
	read := p.dir
	if err := p.readEnvFiles(src, read); err != nil {
		return nil, err
	}
	if len(p.paths) > 0 {
		return p, nil
	}
	if p.paths, err = named(src, p.env); err != nil {
		return nil, err
	}
	if p.paths == nil {
		p.paths = search(p.dir)
	}
	if p.dir = projectDir(src, p.paths); p.dir != read {
		return p, p.readEnvFiles(src, p.dir)
	}
	return p, nil
}

// projectDir is the directory that a recipe's relative paths start from.
func projectDir(src Source, paths []string) string {
	if src.ProjectDir != "" {
		return absolute(src.Dir, src.ProjectDir)
	}
	for _, path := range paths {
		if path != stdin {
			return filepath.Dir(path)
		}
	}
	return filepath.Clean(src.Dir)
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// named returns the files that COMPOSE_FILE names.
func named(src Source, env types.Mapping) ([]string, error) {
	list := env["COMPOSE_FILE"]
	if list == "" {
		return nil, nil
	}
	separator := env["COMPOSE_PATH_SEPARATOR"]
	if separator == "" {
		separator = string(os.PathListSeparator)
	}
	return expand(src, strings.Split(list, separator))
}

// expand makes file names absolute and replaces a directory by the recipe in it.
func expand(src Source, names []string) ([]string, error) {
	var paths []string
	for _, name := range names {
		if name == stdin {
			paths = append(paths, stdin)
			continue
		}
		path := absolute(src.Dir, name)
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("reading recipe %q: %w", name, cause(err))
		}
		if !info.IsDir() {
			paths = append(paths, path)
			continue
		}
		found := recipeIn(path)
		if found == nil {
			return nil, fmt.Errorf("%w in the directory %q: looked for %s", ErrNoRecipe, name, alternatives(defaultNames()))
		}
		paths = append(paths, found...)
	}
	return paths, nil
}

// search looks for the default names in a directory and its parents.
func search(dir string) []string {
	for {
		if found := recipeIn(dir); found != nil {
			return found
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

// recipeIn returns a directory's recipe by its default name, with its override file.
func recipeIn(dir string) []string {
	main := first(dir, defaultNames())
	if main == "" {
		return nil
	}
	paths := []string{main}
	if override := first(dir, overrideNames()); override != "" {
		paths = append(paths, override)
	}
	return paths
}

func first(dir string, names []string) string {
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// readEnvFiles adds what the env files say and the environment doesn't.
func (p *place) readEnvFiles(src Source, dir string) error {
	files, err := envFiles(src, p.env, dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("reading env file %q: %w", file, cause(err))
		}
	}
	vars, err := dotenv.GetEnvFromFile(p.env, files)
	if err != nil {
		d := fileFault("env", err)
		return fmt.Errorf("reading env file %q: %s", d.Position(), d.Message)
	}
	p.env.Merge(vars)
	return nil
}

// envFiles are the files that interpolation reads: those asked for, or .env in the project directory.
func envFiles(src Source, env types.Mapping, dir string) ([]string, error) {
	files := src.EnvFiles
	if list := env["COMPOSE_ENV_FILES"]; len(files) == 0 && list != "" {
		files = strings.Split(list, ",")
	}
	if len(files) > 0 {
		var paths []string
		for _, file := range files {
			paths = append(paths, absolute(src.Dir, file))
		}
		return paths, nil
	}
	if value := env["COMPOSE_DISABLE_ENV_FILE"]; value != "" {
		off, err := strconv.ParseBool(value)
		if err != nil {
			return nil, fmt.Errorf("reading COMPOSE_DISABLE_ENV_FILE: %q is neither true nor false", value)
		}
		if off {
			return nil, nil
		}
	}
	path := filepath.Join(dir, ".env")
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return nil, nil
	}
	return []string{path}, nil
}

// ErrNoRecipe is in the chain of an error when there is no recipe where one was looked for.
var ErrNoRecipe = errors.New("no recipe")

// nothing is the error of a source without any recipe.
func nothing(dir string) error {
	return fmt.Errorf("%w in %q or above: looked for %s; name one with -f", ErrNoRecipe, dir, alternatives(defaultNames()))
}

// cause strips the path that the os package repeats.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

func alternatives(names []string) string {
	names = slices.Clone(names)
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// read returns a file's bytes. Standard input may be read once only.
func read(src Source, path string) ([]byte, error) {
	if path == stdin {
		if src.Stdin == nil {
			return nil, errors.New("reading recipe \"-\": there is no standard input")
		}
		text, err := io.ReadAll(src.Stdin)
		if err != nil {
			return nil, fmt.Errorf("reading recipe \"-\": %w", err)
		}
		if rewindable(src.Stdin) {
			_, err = src.Stdin.(io.Seeker).Seek(0, io.SeekStart)
		}
		return text, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading recipe %q: %w", path, cause(err))
	}
	return text, nil
}
