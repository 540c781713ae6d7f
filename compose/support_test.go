package compose

import (
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
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
