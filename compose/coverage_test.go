package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
)

// TestRecipesUseEveryAttribute holds the recipes in testdata/recipes to use, between them, each attribute of the
// compose-spec in its long form.
func TestRecipesUseEveryAttribute(t *testing.T) {
	files, err := filepath.Glob("../testdata/recipes/*/*.y*ml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d recipes: %v", len(files), err)
	}
	root := &supportNode{}
	for _, path := range schema.AttributePaths() {
		root.at(string(path))
	}
	used := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs, _ := parse(file, text)
		for _, doc := range docs {
			p := plainer{budget: maxNodes}
			noteUse(root, p.plain(doc.root), "", used)
		}
	}
	for _, path := range schema.AttributePaths() {
		if !used[string(path)] {
			t.Errorf("no recipe uses %s", path)
		}
	}
}

// noteUse notes the attributes that a value has, by their patterns.
func noteUse(n *supportNode, value any, at string, used map[string]bool) {
	used[at] = true
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			pattern := key
			if _, known := n.children[key]; !known {
				pattern = "*"
			}
			if child := n.child(key); child != nil && !strings.HasPrefix(key, "x-") {
				noteUse(child, inner, join(at, pattern), used)
			}
		}
	case []any:
		if items := n.children["[]"]; items != nil {
			for _, item := range value {
				noteUse(items, item, join(at, "[]"), used)
			}
		}
	}
}
