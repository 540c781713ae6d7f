package engine_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/versions"

	"galley/compose"
	"galley/engine"
	"galley/engine/enginetest/dockerd"
)

// family is a family of attributes in one recipe: what its containers see of them, and what an inspect shows.
type family struct {
	recipe string
	// api is the least Engine API that the recipe needs; an older Engine must refuse it before anything is touched.
	api string
	// machine is what the Engine says where the kernel, or what the tests run in, can't do it.
	machine string
	// refused is what the Engine says on starting where the machine lacks what the recipe asks for, warns what it warns of.
	refused, warns string
	// files lie beside the recipe.
	files map[string]string
	// before prepares the Engine.
	before func(t *testing.T, s *suite)
	// inside are commands by container and shell script, with what they print.
	inside map[string]map[string]string
	// alone is why docker compose 2.40 can't be held against it, unlike what it makes of it otherwise.
	alone  string
	unlike []difference
	// outside tells what is wrong with what an inspect shows.
	outside func(t *testing.T, s *suite)
}

// TestFamiliesOnARealEngine holds the attributes of a recipe against running containers. The recipes say SUBNET and SUBNET6
// for the first three parts of a subnet of the test's own.
func TestFamiliesOnARealEngine(t *testing.T) {
	host := dockerd.ForTest(t).Host()
	all := families()
	for i, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t, host, fmt.Sprintf("family%d", i), fmt.Sprintf("10.232.%d", i))
			testFamily(t, s, all[name], i)
		})
	}
}

func families() map[string]family {
	all := map[string]family{}
	for _, group := range []map[string]family{processFamilies(), resourceFamilies(), storageFamilies(), networkFamilies(), lifeFamilies()} {
		maps.Copy(all, group)
	}
	return all
}

func testFamily(t *testing.T, s *suite, f family, number int) {
	fill := f.prepare(t, s, number)
	p := s.load(t, fill.Replace(f.recipe))
	if f.api != "" && versions.LessThan(s.engine.API, f.api) {
		refusesTooOld(t, s, p)
		return
	}
	if !f.comesUp(t, s, p) {
		return
	}
	f.looksRightInside(t, s, fill)
	if f.outside != nil {
		f.outside(t, s)
	}
}

// prepare makes what the recipe needs, and returns what fills in the words in capitals.
func (f family) prepare(t *testing.T, s *suite, number int) *strings.Replacer {
	t.Helper()
	for name, text := range f.files {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(s.dir, name)), 0o755))
		s.write(t, name, text)
	}
	if f.before != nil {
		f.before(t, s)
	}
	// Longer names first: SUBNET is the beginning of SUBNET6.
	words := append([]string{"SUBNET6", fmt.Sprintf("fd00:232:%d:", number), "SUBNET", s.subnet, "PROJECT", s.project, "FOLDER", s.dir}, s.words...)
	return strings.NewReplacer(words...)
}

// comesUp brings the recipe up. Where the machine can't do it the test is skipped; where the Engine refuses it for what the
// machine lacks, it is false if nothing was created that could be looked at.
func (f family) comesUp(t *testing.T, s *suite, p *compose.Project) bool {
	t.Helper()
	s.engine.Notify = func(e engine.Event) {
		if e.Kind != engine.Warned {
			return
		}
		s.warnings = append(s.warnings, e.Detail)
		if f.warns == "" || !strings.Contains(e.Detail, f.warns) {
			t.Errorf("got the warning %q", e.Detail)
		}
	}
	err := s.up(t, p, engine.DiffOptions{})
	s.engine.Notify = nil
	switch {
	case err == nil:
		s.mustUp(t, p, engine.DiffOptions{})
		return true
	case f.machine != "" && strings.Contains(err.Error(), f.machine):
		t.Skipf("this machine can't do it: %v", err)
	case f.refused == "" || !strings.Contains(err.Error(), f.refused):
		t.Fatal(err)
	}
	return len(s.state(t).Containers) > 0
}

// looksRightInside holds what the containers see.
func (f family) looksRightInside(t *testing.T, s *suite, fill *strings.Replacer) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(f.inside)) {
		for script, want := range f.inside[name] {
			if got := s.exec(t, name, "sh", "-c", fill.Replace(script)); got != fill.Replace(want) {
				t.Errorf("in %s, %s\nprints %q\nwant   %q", name, script, got, fill.Replace(want))
			}
		}
	}
}

// refusesTooOld holds that an Engine that is too old for a recipe is told so, and left as it is.
func refusesTooOld(t *testing.T, s *suite, p *compose.Project) {
	t.Helper()
	err := s.up(t, p, engine.DiffOptions{})
	var old *engine.TooOldError
	if !errors.As(err, &old) || old.Place == "" || old.Have != s.engine.API {
		t.Errorf("got error %v, want one that says what needs which API, and where", err)
	}
	s.expect(t, nil)
}

// config and host are what an inspect shows of a container.
func (s *suite) config(t *testing.T, name string) *container.Config { return s.inspect(t, name).Config }

func (s *suite) hostConfig(t *testing.T, name string) *container.HostConfig {
	return s.inspect(t, name).HostConfig
}

// equal compares one value that an inspect shows.
func equal[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}
