package compose

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestRecipes holds what is made of each recipe in testdata/recipes: project.json is the project (a list of a manifest's),
// diagnostics.txt what was found. A folder refused-… must be refused.
func TestRecipes(t *testing.T) {
	root, err := filepath.Abs("../testdata/recipes")
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		t.Run(dir.Name(), func(t *testing.T) { testRecipe(t, filepath.Join(root, dir.Name())) })
	}
}

func testRecipe(t *testing.T, dir string) {
	src := Source{Dir: dir, Environ: []string{"PWD=" + dir}, Lint: true}
	if _, err := os.Stat(filepath.Join(dir, "manifest.yml")); err == nil {
		src.Files = []string{"manifest.yml"}
	}
	projects, diagnostics, err := LoadAll(context.Background(), src)
	var refused *InvalidError
	if err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
	name := filepath.Base(dir)
	if want := strings.HasPrefix(name, "refused-"); want != (refused != nil) {
		t.Errorf("refused: %v, want %v: %v", refused != nil, want, err)
	}
	var text strings.Builder
	for _, d := range diagnostics {
		text.WriteString(d.String() + "\n")
		if d.Hint != "" {
			text.WriteString("    hint: " + d.Hint + "\n")
		}
	}
	golden(t, filepath.Join(dir, "diagnostics.txt"), portable(text.String(), dir))
	if len(projects) == 0 {
		return
	}
	var value any = projects[0]
	if len(projects) > 1 {
		value = projects
	}
	golden(t, filepath.Join(dir, "project.json"), portable(terse(t, projects, value), dir))
}

// terse writes projects as JSON without what is not set, and without the digests of services, which depend on where
// the recipe lies.
func terse(t *testing.T, projects []*Project, value any) string {
	t.Helper()
	for _, p := range projects {
		for _, s := range p.Services {
			s.Hash, s.Fields = "", nil
		}
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var model any
	if err := json.Unmarshal(text, &model); err != nil {
		t.Fatal(err)
	}
	text, err = json.MarshalIndent(withoutZeros(model), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// withoutZeros takes out null, "", 0 and false, and the mappings that are empty without them. An empty list stays: the
// Engine tells it from none.
func withoutZeros(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			inner = withoutZeros(inner)
			if m, ok := inner.(map[string]any); inner == nil || ok && len(m) == 0 {
				delete(v, key)
				continue
			}
			v[key] = inner
		}
	case []any:
		zeros := len(v) > 0
		for i := range v {
			v[i] = withoutZeros(v[i])
			zeros = zeros && v[i] == nil
		}
		if zeros {
			return nil // ConsoleSize
		}
	case string:
		if v == "" {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	}
	return value
}

// portable makes a text independent of where the checkout is: files are relative, other paths start with RECIPE.
func portable(text, dir string) string {
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		lines = append(lines, strings.TrimPrefix(line, dir+"/"))
	}
	return strings.ReplaceAll(strings.Join(lines, "\n"), dir, "RECIPE")
}

// golden compares a text with a golden file, which is absent when the text is empty.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if got == "" {
			_ = os.Remove(path)
			return
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", filepath.Base(path), diff)
	}
}
