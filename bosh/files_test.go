package bosh

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vmWith makes a VM with rendered files under a temporary root.
func vmWith(t *testing.T, files []File) VM {
	t.Helper()
	vm := VM{Root: t.TempDir()}
	for _, dir := range []string{vm.Project(), filepath.Dir(vm.Files()), vm.Run(), vm.Log()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vm.Files(), text, 0o640); err != nil {
		t.Fatal(err)
	}
	return vm
}

func TestFilesAreWrittenByteByByte(t *testing.T) {
	contents := map[string]string{
		"plain.txt":            "hello\n",
		"no-newline":           "x",
		"empty":                "",
		"deep/er/$(id) 'a\"b'": "$(id) `id` ${HOME}\n",
		"looks-like-a-marker":  "====== 0644 /etc/passwd\nroot::0:0::/:/bin/sh\n",
		"binary":               "\x00\xff\xfe\r\n\n",
	}
	var files []File
	for name, content := range contents {
		files = append(files, File{Name: name, Content: []byte(content)})
	}
	files = append(files, File{Name: "run.sh", Content: []byte("#!/bin/sh\n"), Mode: "0755"})
	vm := vmWith(t, files)
	read, err := vm.ReadFiles()
	if err != nil {
		t.Fatal(err)
	}
	if err := Unpack(vm.Project(), read); err != nil {
		t.Fatal(err)
	}
	for name, want := range contents {
		got, err := os.ReadFile(filepath.Join(vm.Project(), name))
		if err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]os.FileMode{"plain.txt": 0o644, "run.sh": 0o755} {
		if info, err := os.Stat(filepath.Join(vm.Project(), name)); err != nil || info.Mode() != want {
			t.Errorf("%q: got %v, %v, want mode %v", name, info, err, want)
		}
	}
}

func TestNamesThatCouldEscapeAreRefused(t *testing.T) {
	for _, name := range []string{
		"", "/etc/passwd", "../x", "a/../../x", "a/..", "..", ".", "a/", "new\nline", "zero\x00", "docker-compose.yml", "./docker-compose.yml",
	} {
		vm := vmWith(t, []File{{Name: name}})
		if _, err := vm.ReadFiles(); err == nil || !strings.Contains(err.Error(), `property "files"`) {
			t.Errorf("%q: got error %v, want one that names the property", name, err)
		}
		if err := Unpack(vm.Project(), []File{{Name: name}}); err == nil {
			t.Errorf("%q was unpacked", name)
		}
	}
}

func TestModesAndClashesAreRefused(t *testing.T) {
	for _, tt := range []struct {
		files []File
		want  string
	}{
		{[]File{{Name: "x", Mode: "4755"}}, `property "file_modes"`},
		{[]File{{Name: "x", Mode: "rwx"}}, `property "file_modes"`},
		{[]File{{Name: "a"}, {Name: "./a"}}, `two files "a"`},
		{[]File{{Name: "a"}, {Name: "a/b"}}, `"a" is a file`},
	} {
		if _, err := vmWith(t, tt.files).ReadFiles(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got error %v, want %s", tt.files, err, tt.want)
		}
	}
}

func TestNothingIsWrittenThroughSymbolicLinks(t *testing.T) {
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for link, target := range map[string]string{"dir": outside, "file": victim} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"dir/victim", "file"} {
		if err := Unpack(dir, []File{{Name: name, Content: []byte("overwritten")}}); err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	if text, err := os.ReadFile(victim); string(text) != "keep" {
		t.Errorf("the victim has %q, %v", text, err)
	}
}

func TestWhatIsThereIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	inode := func() os.FileInfo {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	write := func(f File) {
		if err := Unpack(dir, []File{f}); err != nil {
			t.Fatal(err)
		}
	}
	write(File{Name: "x", Content: []byte("one")})
	first := inode()
	write(File{Name: "x", Content: []byte("one")})
	if !os.SameFile(first, inode()) {
		t.Error("the same content replaced the file, which containers may have mounted")
	}
	write(File{Name: "x", Content: []byte("two")})
	if os.SameFile(first, inode()) {
		t.Error("other content was written into the file that containers may be reading")
	}
}

func TestADigestCoversWhatASourceHolds(t *testing.T) {
	files := []File{{Name: "html/a", Content: []byte("a")}, {Name: "html/b", Content: []byte("b")}, {Name: "conf", Content: []byte("c")}}
	digest := func(sources ...string) string { return DigestBelow("/project", sources, files) }
	if digest("/project/html") == "" || digest("/project/html/a") == "" || digest("/project") == "" {
		t.Error("files that a source holds have no digest")
	}
	if digest("/project/html") == digest("/project/html/a") {
		t.Error("a directory has the digest of one of its files")
	}
	if got := digest("/project/ht", "/elsewhere", ""); got != "" {
		t.Errorf("files that no source holds have the digest %q", got)
	}
	before := digest("/project/html")
	files[1].Mode = "0600"
	if digest("/project/html") == before {
		t.Error("another mode leaves the digest as it was")
	}
}
