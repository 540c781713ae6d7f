package compose

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestFindingsStandWhereTheTextIsToBeMended holds the place of each finding, through all by which a recipe is put together.
// The archives in testdata/positions are recipes in which ⟦code⟧ stands before each character that a finding must point at.
// "files: a.yml b.yml" in an archive's comment names the files that are given with -f.
func TestFindingsStandWhereTheTextIsToBeMended(t *testing.T) {
	archives, err := filepath.Glob("../testdata/positions/*.txt")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			testPositions(t, path)
		})
	}
}

func testPositions(t *testing.T, path string) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	src := Source{Dir: t.TempDir()}
	if named := regexp.MustCompile(`(?m)^files: (.*)$`).FindSubmatch(archive.Comment); named != nil {
		src.Files = strings.Fields(string(named[1]))
	}
	var want []string
	for _, f := range archive.Files {
		text, marks := unmarked(f.Name, string(f.Data))
		want = append(want, marks...)
		name := filepath.Join(src.Dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, found, err := LoadAll(context.Background(), src)
	if refused := new(InvalidError); err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
	var got []string
	for _, d := range found {
		if d.Severity != Note {
			got = append(got, strings.TrimPrefix(d.Position(), src.Dir+"/")+" "+d.Code)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s\n%v", diff, err)
	}
}

// unmarked takes the marks out of a text, and tells where they stood.
func unmarked(name, text string) (plain string, marks []string) {
	mark := regexp.MustCompile(`⟦([a-z-]+)⟧`)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		for at := mark.FindStringSubmatchIndex(line); at != nil; at = mark.FindStringSubmatchIndex(line) {
			column := utf8.RuneCountInString(line[:at[0]]) + 1
			marks = append(marks, fmt.Sprintf("%s:%d:%d %s", name, i+1, column, line[at[2]:at[3]]))
			line = line[:at[0]] + line[at[1]:]
		}
		lines[i] = line
	}
	return strings.Join(lines, "\n"), marks
}
