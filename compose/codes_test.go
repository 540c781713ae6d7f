package compose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEveryCodeIsDocumented holds the codes that the source gives to findings against [Codes], in both directions.
func TestEveryCodeIsDocumented(t *testing.T) {
	used := codesInSource(t)
	documented := map[string]bool{}
	for _, code := range Codes() {
		if documented[code.Name] {
			t.Errorf("%s is documented twice", code.Name)
		}
		documented[code.Name] = true
		if code.Sentence == "" || !strings.HasSuffix(code.Sentence, ".") || code.Severity == "" {
			t.Errorf("%s has no sentence, or no severity", code.Name)
		}
		if !slices.ContainsFunc(used, func(pattern string) bool { return matches(pattern, code.Name) }) {
			t.Errorf("%s is documented, but nothing gives it to a finding", code.Name)
		}
	}
	for _, pattern := range used {
		known := slices.ContainsFunc(Codes(), func(c Code) bool { return matches(pattern, c.Name) })
		if !known {
			t.Errorf("the source gives the code %s, which is not documented", pattern)
		}
	}
}

// matches tells whether a code is what a pattern of [codesInSource] means: "undefined-*" is any with that start.
func matches(pattern, code string) bool {
	before, after, open := strings.Cut(pattern, "*")
	return pattern == code || open && strings.HasPrefix(code, before) && strings.HasSuffix(code, after)
}

// codesInSource finds what the package gives as codes: the argument of the functions that make a finding, and what is
// assigned to a field Code. A part that isn't constant is "*".
func codesInSource(t *testing.T) []string {
	t.Helper()
	// The place of the code among the arguments of each function that takes one.
	takers := map[string]int{"find": 2, "refuse": 1, "warn": 1, "finding": 2, "whole": 0, "at": 3}
	s := codeScan{constants: map[string]string{}, found: map[string]bool{}, takers: takers}
	files := token.NewFileSet()
	var parsed []*ast.File
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			file, err := parser.ParseFile(files, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, file)
			ast.Inspect(file, s.constant)
		}
	}
	for _, file := range parsed {
		ast.Inspect(file, s.visit)
	}
	return sortedKeys(s.found)
}

type codeScan struct {
	constants map[string]string
	found     map[string]bool
	takers    map[string]int
}

func (s *codeScan) constant(n ast.Node) bool {
	if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Names) == 1 && len(spec.Values) == 1 {
		if text := s.text(spec.Values[0]); strings.HasPrefix(strings.ToLower(spec.Names[0].Name), "code") && text != "*" {
			s.constants[spec.Names[0].Name] = text
			if spec.Names[0].IsExported() {
				s.found[text] = true // its callers give it
			}
		}
	}
	return true
}

func (s *codeScan) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CallExpr:
		name := ""
		if selector, ok := n.Fun.(*ast.SelectorExpr); ok {
			name = selector.Sel.Name
		}
		at, takes := s.takers[name]
		if name == "add" { // of a checker after the severity, of a schema's violations after the place
			at, takes = 1, len(n.Args) >= 3
		}
		if takes && at < len(n.Args) {
			s.take(n.Args[at])
		}
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && strings.EqualFold(key.Name, "code") {
			s.take(n.Value)
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			name := ""
			switch left := left.(type) {
			case *ast.SelectorExpr:
				name = left.Sel.Name
			case *ast.Ident:
				name = left.Name
			}
			if strings.EqualFold(name, "code") && i < len(n.Rhs) {
				s.take(n.Rhs[i])
			}
		}
	}
	return true
}

// take notes a code; a variable that was assigned elsewhere is found there.
func (s *codeScan) take(e ast.Expr) {
	text := s.text(e)
	if regexp.MustCompile(`^[a-z0-9.*_-]+$`).MatchString(text) && text != "*" {
		s.found[text] = true
	}
}

func (s *codeScan) text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return text
		}
	case *ast.Ident:
		if text, ok := s.constants[e.Name]; ok {
			return text
		}
	case *ast.BinaryExpr:
		return strings.ReplaceAll(s.text(e.X)+s.text(e.Y), "**", "*")
	}
	return "*"
}

func TestExplainNamesTheNearestCode(t *testing.T) {
	if code, _, ok := Explain("unknown-key"); !ok || code.Severity != Error {
		t.Errorf("unknown-key: %+v, %v", code, ok)
	}
	if _, hint, ok := Explain("unknwon-key"); ok || hint != `did you mean "unknown-key"?` {
		t.Errorf("unknwon-key: %q, %v", hint, ok)
	}
}

// TestEveryCodeHasAGolden holds that each code is in a text that is compared exactly: of a recipe, a script or a test.
func TestEveryCodeHasAGolden(t *testing.T) {
	elsewhere := map[string]string{
		"loader-panic": "no input is known that makes the loader panic; what did was reported and mended there",
	}
	var texts strings.Builder
	for _, pattern := range []string{"../testdata/recipes/*/diagnostics.txt", "../testdata/script/*.txt", "*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts.Write(text)
		}
	}
	for _, code := range Codes() {
		found := regexp.MustCompile(`\[` + regexp.QuoteMeta(code.Name) + `\\?\]`).MatchString(texts.String())
		if _, excused := elsewhere[code.Name]; found == excused {
			t.Errorf("%s: in a golden %v, excused %v", code.Name, found, excused)
		}
	}
}
