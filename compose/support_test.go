package compose

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestEveryAttributeHasAStanding holds the table against the whole compose-spec: an attribute that a new version brings
// must be put into it before the upgrade.
func TestEveryAttributeHasAStanding(t *testing.T) {
	root := supportTree()
	for _, path := range schema.AttributePaths() {
		if standingOf(root, string(path)) == nil {
			t.Errorf("%s has no standing", path)
		}
	}
}

// TestTheSupportTableHasNoDeadRows finds attributes that the compose-spec doesn't have, or that a row above covers.
func TestTheSupportTableHasNoDeadRows(t *testing.T) {
	root := supportTree()
	known := map[string]bool{}
	for _, path := range schema.AttributePaths() {
		known[string(path)] = true
	}
	for _, row := range supportTable() {
		for attribute := range strings.FieldsSeq(row.attributes) {
			path := attribute
			if row.under != "" {
				path = row.under + "." + attribute
			}
			if !known[path] {
				t.Errorf("%s is no attribute of the compose-spec", path)
			}
			if parent := path[:max(strings.LastIndex(path, "."), 0)]; parent != "" {
				if above := standingOf(root, parent); above != nil && above.standing != handled {
					t.Errorf("%s can't be reached: a row covers all of %s", path, parent)
				}
			}
		}
	}
}

// TestIgnoredAndRefusedSayWhy: people must know what becomes of what they wrote.
func TestIgnoredAndRefusedSayWhy(t *testing.T) {
	for _, row := range supportTable() {
		if needs := row.standing == ignored || row.standing == refused || row.standing == judged; needs != (row.why != "") {
			t.Errorf("%s %q: a reason is for what is ignored, refused or judged, and only for that", row.under, row.attributes)
		}
	}
}

// standingOf is the row that decides about a path.
func standingOf(root *supportNode, path string) *support {
	row, _ := standingAt(root, path)
	return row
}

func TestAnUnknownAttributeIsNotSupportedYet(t *testing.T) {
	model := map[string]any{"services": map[string]any{"web": map[string]any{
		"image": "app:1", "levitate": true, "healthcheck": map[string]any{"test": "x", "mood": "good"},
		"ports": []any{map[string]any{"target": 80}, map[string]any{"target": 81, "colour": "red"}},
	}}}
	var got []string
	for _, d := range unsupported(model, nil) {
		got = append(got, d.String())
	}
	want := "error: healthcheck.mood is not supported yet [not-supported-yet]\n" +
		"error: levitate is not supported yet [not-supported-yet]\n" +
		"error: ports[1].colour is not supported yet [not-supported-yet]"
	if strings.Join(got, "\n") != want {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), want)
	}
}

// TestEveryHandledAttributeIsInAGolden holds that what is made of each attribute is written down in testdata/lowering.
func TestEveryHandledAttributeIsInAGolden(t *testing.T) {
	root := supportTree()
	// These are gone from the merged model.
	loadersOwn := regexp.MustCompile(`^(include|version|name|services\.\*\.extends|.*\.external\.name)(\..*)?$`)
	used := map[*supportNode]bool{}
	lowerCases(t, func(archive *txtar.Archive, _ string) {
		for _, f := range archive.Files {
			if strings.HasSuffix(f.Name, ".yml") {
				markUsed(root, modelOf(t, recipeOf(string(f.Data))), used)
			}
		}
	})
	for _, path := range schema.AttributePaths() {
		row, node := standingOf(root, string(path)), root.at(string(path))
		// What a container of pre_start has in common with a service is lowered by the same code.
		shared := root.at(strings.Replace(string(path), ".pre_start.[]", "", 1))
		if row.standing == handled && !used[node] && !used[shared] && !loadersOwn.MatchString(string(path)) {
			t.Errorf("%s is in no case of testdata/lowering", path)
		}
	}
}

// modelOf is a recipe as the loader merges it; nil for one that it refuses.
func modelOf(t *testing.T, text string) any {
	t.Helper()
	dir, err := filepath.Abs("../testdata/lowering/files")
	if err != nil {
		t.Fatal(err)
	}
	recipes, err := open(Source{Files: []string{"-"}, Stdin: strings.NewReader(text), Dir: dir, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := recipes[0].load(t.Context())
	if err != nil {
		return nil
	}
	return l.model
}

func markUsed(n *supportNode, value any, used map[*supportNode]bool) {
	used[n] = true
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			if child := n.child(key); child != nil {
				markUsed(child, inner, used)
			}
		}
	case []any:
		for _, item := range value {
			if child := n.children["[]"]; child != nil {
				markUsed(child, item, used)
			}
		}
	}
}
