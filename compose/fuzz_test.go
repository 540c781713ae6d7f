package compose

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// secretInEnviron is the value of a variable that a recipe may put anywhere: no finding may tell it.
const secretInEnviron = "s3cr3t-of-the-environment"

// FuzzLoad feeds texts to Load. Whatever they are, there is no panic, each finding stands in a file that is there, in one of
// its lines, has a stable code and tells no value of the environment, and the error is an InvalidError exactly if there is an
// Error among them.
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
		src := Source{Files: []string{"-"}, Stdin: strings.NewReader(text), Dir: t.TempDir(), Name: "fuzz", Environ: []string{"A=b", "SECRET=" + secretInEnviron}}
		projects, diagnostics, err := LoadAll(context.Background(), src)
		var refused *InvalidError
		if errors.As(err, &refused) != (invalid(diagnostics) != nil) {
			t.Fatalf("error %v with findings %v", err, diagnostics)
		}
		if err == nil && len(projects) == 0 {
			t.Fatal("neither a project nor an error")
		}
		if !slices.IsSortedFunc(diagnostics, byPosition) && len(projects) < 2 {
			t.Errorf("the findings are not sorted: %v", diagnostics)
		}
		for _, d := range diagnostics {
			if fault := faultOf(d, text); fault != "" {
				t.Errorf("%s: %+v", fault, d)
			}
		}
	})
}

// faultOf says what is wrong with a finding about a recipe that has one file, of this text; "" if nothing is.
func faultOf(d Diagnostic, text string) string {
	if _, _, known := Explain(d.Code); !known {
		return "the code is none of the list"
	}
	if d.Message == "" || strings.Contains(d.Message+d.Hint, "%!") || strings.ContainsAny(d.Message+d.Hint+d.Path, "\n") {
		return "the message is none"
	}
	if strings.Contains(d.Message+d.Hint+d.Path, secretInEnviron) {
		return "it tells what stands in the environment"
	}
	if strings.HasPrefix(d.Path, ".") && !strings.Contains(text, d.Path) { // a key may begin so
		return "the path is none"
	}
	all := text
	if d.File != "-" {
		read, err := os.ReadFile(d.File)
		if err != nil {
			return "there is no such file"
		}
		all = string(read)
	}
	lines := lines(all)
	if d.Line < 0 || d.Line > len(lines) || d.Line == 0 && d.Column != 0 {
		return "the line is not in the file"
	}
	if d.Line > 0 && (d.Column < 0 || d.Column > len(lines[d.Line-1])+1) {
		return "the column is not in the line"
	}
	return ""
}
