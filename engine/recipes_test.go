package engine_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"galley/compose"
	"galley/engine"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestRecipesOnAnEmptyEngine holds the plan that each valid recipe of testdata/recipes makes where nothing is there yet.
func TestRecipesOnAnEmptyEngine(t *testing.T) {
	recipes, err := filepath.Glob("../testdata/recipes/*/project.json")
	if err != nil || len(recipes) == 0 {
		t.Fatalf("no recipes: %v", err)
	}
	for _, path := range recipes {
		dir, err := filepath.Abs(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(dir), func(t *testing.T) { testEmpty(t, dir) })
	}
}

func testEmpty(t *testing.T, dir string) {
	src := compose.Source{Dir: dir, Environ: []string{"PWD=" + dir}}
	if _, err := os.Stat(filepath.Join(dir, "manifest.yml")); err == nil {
		src.Files = []string{"manifest.yml"}
	}
	projects, _, err := compose.LoadAll(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, p := range projects {
		plan, err := engine.Diff(p, &engine.State{Project: p.Name, API: "1.41", Files: &engine.Files{Dir: "/run/galley/files"}}, engine.DiffOptions{})
		if err != nil {
			fmt.Fprintf(&got, "error: %s\n", strings.ReplaceAll(err.Error(), dir, "RECIPE"))
			continue
		}
		got.WriteString(plan.String())
	}
	golden := filepath.Join(dir, "plan.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("plan differs (-want +got):\n%s", diff)
	}
}
