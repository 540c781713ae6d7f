package imports

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzList feeds bytes to the reader of lists. Whatever they are, there is no panic; each entry has a path below the root or
// beside the list, or says what is wrong in which line; and as long as nothing but paths are in it, they are the words that a
// shell would make of it.
func FuzzList(f *testing.F) {
	for _, text := range []string{
		"", "a.tar\n/b.tar c.tar\n", "a.tar sha256:" + strings.Repeat("0f", 32) + "\n", "sha256:00 a.tar", "a SHA256:zz",
		"# all of it\r\n\ufeffa.tar\r\n", "a*.tar [b", "\\a b\x00c", "../../a /../b //c", strings.Repeat("n", maxPath+1), "a\fb\vc\td",
	} {
		f.Add([]byte(text))
	}
	dir := f.TempDir()
	root, at := filepath.Join(dir, "root"), filepath.Join(dir, "a", "b", "images.lst")
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.ContainsAny(text, `*?[\`) && bytes.Contains(text, []byte("..")) {
			t.Skip("patterns that lead out of the directory name whatever is on the machine")
		}
		l := &listing{root: root, byPath: map[string]*entry{}}
		l.readLines(at, bytes.NewReader(text))
		var paths []string
		faulty := false
		for _, e := range l.entries {
			if e.err != nil {
				faulty = true
				expectPlace(t, e.err, at, bytes.Count(text, []byte("\n"))+1)
				continue
			}
			paths = append(paths, e.path)
			for _, m := range e.mentions {
				if m.sum != "" && !isDigest(m.sum) || m.place.File != at || m.place.Line < 1 {
					t.Errorf("%q is mentioned as %+v", e.path, m)
				}
			}
			if len(e.mentions) == 0 || e.path != filepath.Clean(e.path) || !filepath.IsAbs(e.path) {
				t.Errorf("entry %+v", e)
			}
		}
		if !faulty && !bytes.ContainsAny(text, "#:*?[\\\ufeff") {
			expectWords(t, string(text), paths, root, filepath.Dir(at))
		}
	})
}

func expectPlace(t *testing.T, err error, list string, lines int) {
	t.Helper()
	var fault *Error
	if !errors.As(err, &fault) || fault.Fault == "" || fault.Error() == "" {
		t.Fatalf("error %#v", err)
	}
	if p := fault.Listed; p != (Position{}) && (p.File != list || p.Line < 1 || p.Line > lines) {
		t.Errorf("%v is at %v", err, p)
	}
}

// expectWords compares paths with a list's words, each once.
func expectWords(t *testing.T, text string, paths []string, root, dir string) {
	t.Helper()
	seen := map[string]bool{}
	var want []string
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n\r\v\f", r) }) {
		from := dir
		if strings.HasPrefix(word, "/") {
			from = root
		}
		if path := filepath.Join(from, word); !seen[path] {
			seen[path] = true
			want = append(want, path)
		}
	}
	if strings.Join(want, "\n") != strings.Join(paths, "\n") {
		t.Errorf("%q: got %q, want %q", text, paths, want)
	}
}
