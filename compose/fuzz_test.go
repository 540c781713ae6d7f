package compose

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad feeds texts to Load. Whatever they are, there is no panic, findings are sorted and in the file, and the error
// is an InvalidError exactly if there is an Error among them.
func FuzzLoad(f *testing.F) {
	recipes, err := filepath.Glob("../testdata/recipes/*/*.yml")
	if err != nil || len(recipes) == 0 {
		f.Fatalf("no recipes to start from: %v", err)
	}
	for _, path := range recipes {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		src := Source{Files: []string{"-"}, Stdin: strings.NewReader(text), Dir: t.TempDir(), Name: "fuzz", Environ: []string{"A=b"}}
		projects, diagnostics, err := LoadAll(context.Background(), src)
		var refused *InvalidError
		if errors.As(err, &refused) != (invalid(diagnostics) != nil) {
			t.Fatalf("error %v with findings %v", err, diagnostics)
		}
		if err == nil && len(projects) == 0 {
			t.Fatal("neither a project nor an error")
		}
		lines := strings.Count(text, "\n") + 2
		for _, d := range diagnostics {
			if d.Code == "" || d.Message == "" || d.Line < 0 || d.File == "-" && d.Line > lines {
				t.Errorf("finding %+v", d)
			}
			if strings.Contains(d.Message, "%!") || strings.ContainsAny(d.Message, "\n") {
				t.Errorf("message %q", d.Message)
			}
		}
	})
}
