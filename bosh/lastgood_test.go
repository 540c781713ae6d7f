package bosh

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func good(name string) Good {
	return Good{
		Saved:   time.Unix(1700000000, 0).UTC(),
		Project: json.RawMessage(fmt.Sprintf(`{"name":%q}`, name)),
		Images:  map[string]Image{"app": {ID: "sha256:" + name}},
	}
}

func names(h *History) (names []string) {
	for _, g := range h.Good {
		var p struct{ Name string }
		_ = json.Unmarshal(g.Project, &p)
		names = append(names, p.Name)
	}
	return names
}

func TestHistoryComesBackAsItWasSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "shop.good.json")
	h, err := LoadHistory(path)
	if err != nil || h.Last() != nil {
		t.Fatalf("a history that isn't there yet: %v, %v", h, err)
	}
	h.Keep(good("a"))
	h.Keep(good("b"))
	h.Changed = true
	if err := h.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := LoadHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h, again); diff != "" {
		t.Errorf("it came back changed (-saved +loaded):\n%s", diff)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode: %v, %v; want 0600", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the file: %v, %v; want it alone", entries, err)
	}
}

func TestHistoryOrder(t *testing.T) {
	h := &History{}
	goBack := func(from int) bool {
		before, ok := h.Target()
		h.GoBack(before)
		after, _ := h.Target() // should it fail on its way
		h.Changed = false
		return ok && before == from && after == 0
	}
	tests := []struct {
		name     string
		do       func() bool
		changed  bool
		want     []string
		wentBack bool
	}{
		{"the first", func() bool { return h.Keep(good("a")) }, true, []string{"a"}, false},
		{"the same again", func() bool { return h.Keep(good("a")) }, false, []string{"a"}, false},
		{"a second", func() bool { return h.Keep(good("b")) }, true, []string{"b", "a"}, false},
		{"the first once more", func() bool { return h.Keep(good("a")) }, true, []string{"a", "b"}, false},
		{"the second brought back", func() bool { return goBack(1) }, true, []string{"b", "a"}, true},
		{"that brought back again", func() bool { return goBack(0) }, true, []string{"b", "a"}, true},
		{"that applied as a recipe", func() bool { return h.Keep(good("b")) }, false, []string{"b", "a"}, true},
		{"a new one", func() bool { return h.Keep(good("c")) }, true, []string{"c", "b", "a"}, false},
		{"after a failure", func() bool { h.Changed = true; return h.Keep(good("c")) }, true, []string{"c", "b", "a"}, false},
		{"more than are kept", func() bool {
			return h.Keep(good("d")) && h.Keep(good("e")) && h.Keep(good("f"))
		}, true, []string{"f", "e", "d", "c", "b"}, false},
	}
	for _, test := range tests { // each begins where the one before ended
		if changed := test.do(); changed != test.changed {
			t.Errorf("%s: changed: %v, want %v", test.name, changed, test.changed)
		}
		if diff := cmp.Diff(test.want, names(h)); diff != "" || h.WentBack != test.wentBack || h.Changed {
			t.Errorf("%s: went back: %v, changed: %v, order (-want +got):\n%s", test.name, h.WentBack, h.Changed, diff)
		}
	}
}

func TestCorruptHistory(t *testing.T) {
	for _, text := range []string{"", "{", `{"version":2}`, `{"version":1,"good":[{}]}`, `[]`} {
		path := filepath.Join(t.TempDir(), "shop.good.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var corrupt *CorruptError
		if _, err := LoadHistory(path); !errors.As(err, &corrupt) || corrupt.Path != path {
			t.Errorf("%q: %v, want a *CorruptError", text, err)
		}
	}
}

func TestTarget(t *testing.T) {
	tests := []struct {
		name    string
		history History
		want    int
		ok      bool
	}{
		{"nothing was good", History{}, 1, false},
		{"one is good, and runs", History{Good: []Good{good("a")}}, 1, false},
		{"one is good, and something failed since", History{Good: []Good{good("a")}, Changed: true}, 0, true},
		{"two are good", History{Good: []Good{good("b"), good("a")}}, 1, true},
		{"two are good, and something failed since", History{Good: []Good{good("b"), good("a")}, Changed: true}, 0, true},
		{"it was gone back already", History{Good: []Good{good("a"), good("b")}, WentBack: true}, 0, true},
	}
	for _, test := range tests {
		if got, ok := test.history.Target(); got != test.want || ok != test.ok {
			t.Errorf("%s: target %d, %v; want %d, %v", test.name, got, ok, test.want, test.ok)
		}
	}
}
