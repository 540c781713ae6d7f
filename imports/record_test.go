package imports

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// remembered is a scanner with a record whose clock is late enough for every file.
func remembered(path string) Scanner {
	s := onAMD64()
	s.Record = OpenRecord(path)
	s.Record.now = func() time.Time { return time.Now().Add(time.Hour) }
	return s
}

// tell changes what is recorded of a file, so that what comes from the record can be told from what was read.
func tell(t *testing.T, s Scanner, path, tag string) {
	t.Helper()
	had, ok := s.Record.content.Archives[path]
	if !ok {
		t.Fatalf("%q is not recorded", path)
	}
	had.Archive.Images[0].Tags = []string{tag}
	s.Record.changed = true
}

func firstTag(t *testing.T, s Scanner, pattern string) string {
	t.Helper()
	archives, err := s.Scan(t.Context(), pattern)
	if err != nil {
		t.Fatal(err)
	}
	return archives[0].Images[0].Tags[0]
}

func TestWhatDidNotChangeIsNotReadAgain(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "a.tar", tarOf(t, dockerParts(db())...))
	file := filepath.Join(dir, "state", "tarballs")
	s := remembered(file)
	read := firstTag(t, s, path)
	tell(t, s, path, "recorded:1")
	if err := s.Record.Save(); err != nil {
		t.Fatal(err)
	}
	if got := firstTag(t, remembered(file), path); got != "recorded:1" {
		t.Errorf("got %q, want what the record says", got)
	}
	verifying := remembered(file)
	verifying.Verify = true
	if got := firstTag(t, verifying, path); got != read {
		t.Errorf("verifying: got %q, want what is in the file", got)
	}
	list := write(t, dir, "all.lst", []byte("a.tar sha256:"+sum(string(tarOf(t, dockerParts(db())...)))))
	if got := firstTag(t, remembered(file), list); got != read {
		t.Errorf("with a checksum that was not taken before: got %q, want what is in the file", got)
	}
	other := remembered(file)
	other.Platform.Architecture = "arm64"
	if archives, _ := other.Scan(t.Context(), path); archives[0].Images[0].Tags[0] != read {
		t.Error("for another machine the record was taken")
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := firstTag(t, remembered(file), path); got != read {
		t.Errorf("got %q of a file that changed, want what is in it", got)
	}
}

func TestAFreshFileIsReadAgain(t *testing.T) {
	path := write(t, t.TempDir(), "a.tar", tarOf(t, dockerParts(db())...))
	s := remembered("")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	_, changed := identity(info)
	s.Record.now = func() time.Time { return changed.Add(time.Millisecond) }
	firstTag(t, s, path)
	if len(s.Record.content.Archives) != 0 {
		t.Error("a file that may still be written was recorded")
	}
}

func TestARecordThatIsLostOrDamagedIsEmpty(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "a.tar", tarOf(t, dockerParts(db())...))
	file := filepath.Join(dir, "record")
	s := remembered(file)
	firstTag(t, s, path)
	s.Record.SetManifest("sha256:config", "sha256:manifest")
	if err := s.Record.Save(); err != nil {
		t.Fatal(err)
	}
	if got := OpenRecord(file).Manifest("sha256:config"); got != "sha256:manifest" {
		t.Fatalf("got manifest %q", got)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(whole); i += 17 {
		broken := append([]byte{}, whole...)
		broken[i] ^= 1
		for _, content := range [][]byte{broken, whole[:i]} {
			write(t, dir, "record", content)
			if r := OpenRecord(file); len(r.content.Archives) != 0 || len(r.content.Manifests) != 0 {
				t.Fatalf("damaged at %d it holds %+v", i, r.content)
			}
		}
	}
	os.Remove(path)
	write(t, dir, "record", whole)
	r := OpenRecord(file)
	if err := r.Save(); err != nil || len(r.content.Archives) != 0 {
		t.Errorf("got %v and %v, want nothing of a file that is gone", r.content.Archives, err)
	}
}

func TestFindTellsWhatThereIs(t *testing.T) {
	a := one(t, onAMD64(), tarOf(t, dockerParts(web(), db())...))
	for ref, want := range map[string]string{
		"web": "", "web:1": "", "docker.io/library/web:latest": "", "registry.example:5000/team/db:15": "", a.Images[1].ID: "",
		"web:2":                    `image "web:2" is in no tarball; they have web:1, web:latest`,
		"nothing":                  `image "nothing" is in no tarball`,
		"web@sha256:" + sum("web"): `image "web@sha256:` + sum("web") + `" is in no tarball; they have web:1, web:latest`,
	} {
		_, err := Find([]Archive{a}, ref)
		if got := ""; err != nil {
			if got = err.Error(); got != want {
				t.Errorf("%s: got %q, want %q", ref, got, want)
			}
		} else if want != "" {
			t.Errorf("%s was found", ref)
		}
	}
}
