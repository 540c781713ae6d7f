package imports

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestLists reads lists as the shell's `for image in $(cat *.lst)` does, with comments and checksums.
func TestLists(t *testing.T) {
	content := tarOf(t, dockerParts(web())...)
	checksum := "sha256:" + sum(string(content))
	tests := []struct {
		name, list string
		// archives are the paths found, relative to the list's directory, each with the lines that name it.
		archives []string
		faults   []string
	}{
		{"one a line", "a.tar\nsub/b.tar\n", []string{"a.tar 1", "sub/b.tar 2"}, nil},
		{"white space", "  a.tar\tsub/b.tar \v\n\n  c.tar", []string{"a.tar 1", "sub/b.tar 1", "c.tar 3"}, nil},
		{"carriage returns and a byte order mark", "\ufeffa.tar\r\nc.tar\r\n", []string{"a.tar 1", "c.tar 2"}, nil},
		{"comments", "# a.tar\na.tar # c.tar\n#c.tar\nd#e.tar\n", []string{"a.tar 2", "d#e.tar 4"}, nil},
		{"the same twice", "a.tar\n./a.tar sub/../a.tar\n", []string{"a.tar 1 2 2"}, nil},
		{"pattern", "*.tar\n", []string{"a.tar 1", "c.tar 1", "d#e.tar 1"}, nil},
		{"pattern without a match", "no*.tar\n", nil, []string{`LIST:1: reading "DIR/no*.tar": no such file or directory`}},
		{"a name like a pattern", "sub/[x].tar\n", []string{"sub/[x].tar 1"}, nil},
		{"bad pattern", "[\n", nil, []string{`LIST:1: reading "DIR/[": no such file or directory`}},
		{"checksum", "a.tar " + checksum + " c.tar\n", []string{"a.tar 1", "c.tar 1"}, nil},
		{"checksum in capitals", "a.tar " + strings.ToUpper(checksum) + "\n", []string{"a.tar 1"}, nil},
		{
			"other file than meant", "c.tar\na.tar sha256:" + sum("other") + "\n", []string{"c.tar 1"},
			[]string{`LIST:2: reading "DIR/a.tar": its checksum is ` + checksum + `, and not sha256:` + sum("other")},
		},
		{
			"checksums that differ", "a.tar " + checksum + "\na.tar sha256:" + sum("other") + "\n", nil,
			[]string{`LIST:2: reading "DIR/a.tar": its checksum is ` + checksum + `, and not sha256:` + sum("other")},
		},
		{"checksum cut short", "a.tar sha256:12\nc.tar\n", []string{"c.tar 2"}, []string{`LIST:1: checksum "sha256:12" is not "sha256:" and 64 hexadecimal digits`}},
		{"checksum alone", "a.tar\n" + checksum + "\n", []string{"a.tar 1"}, []string{`LIST:2: checksum "` + checksum + `" has no path before it on its line`}},
		{"checksum of many", "*.tar " + checksum + "\n", nil, []string{`LIST:1: "DIR/*.tar" names 3 files, and one checksum can't fit them all`}},
		{"missing among others", "a.tar\nnowhere.tar\nc.tar\n", []string{"a.tar 1", "c.tar 3"}, []string{`LIST:2: reading "DIR/nowhere.tar": no such file or directory`}},
		{"binary", "a.tar\nb\x00c\nc.tar", []string{"a.tar 1"}, []string{`LIST:2: this is no list of paths, but binary or over 1048576 bytes long`}},
		{"UTF-16", "\xff\xfea\x00.\x00t\x00a\x00r\x00", nil, []string{`LIST:1: this is UTF-16, as PowerShell writes it: save the list as UTF-8`}},
		{"long", "a.tar\n" + strings.Repeat("x", maxList) + "\n", []string{"a.tar 1"}, []string{`LIST:2: this is no list of paths, but binary or over 1048576 bytes long`}},
		{"long path", strings.Repeat("x", maxPath+1) + "\n", nil, []string{`LIST:1: a path is longer than 4096 bytes`}},
		{"nothing", "\n# nothing\n", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"a.tar", "c.tar", "d#e.tar", "sub/b.tar", "sub/[x].tar"} {
				write(t, dir, name, content)
			}
			list := write(t, dir, "images.lst", []byte(tt.list))
			archives, err := onAMD64().Scan(t.Context(), filepath.Join(dir, "*.lst"))
			var got []string
			for _, a := range archives {
				line := strings.TrimPrefix(a.Path, dir+"/")
				for _, at := range a.Listed {
					line += " " + strings.TrimPrefix(at.String(), list+":")
				}
				got = append(got, line)
			}
			if strings.Join(got, "|") != strings.Join(tt.archives, "|") {
				t.Errorf("archives %q, want %q", got, tt.archives)
			}
			var words []string
			for _, fault := range faults(err) {
				words = append(words, strings.NewReplacer(list, "LIST", dir, "DIR").Replace(fault.Error()))
			}
			if strings.Join(words, "|") != strings.Join(tt.faults, "|") {
				t.Errorf("faults %q, want %q", words, tt.faults)
			}
		})
	}
}

// TestPatterns: a pattern matches lists and archives alike; one that matches nothing is no fault, a path that is not there is.
func TestPatterns(t *testing.T) {
	dir := t.TempDir()
	content := tarOf(t, dockerParts(web())...)
	for _, name := range []string{"jobs/a/images/1.tar", "jobs/b/images/2.tar"} {
		write(t, dir, name, content)
	}
	write(t, dir, "jobs/b/docker-bosh-release-import/b.lst", []byte("../images/2.tar\n"))
	write(t, dir, "jobs/a/docker-bosh-release-import/a.lst", []byte("../images/1.tar\n../../b/images/2.tar"))
	bosh := filepath.Join(dir, "jobs", "*", "docker-bosh-release-import", "*.lst")
	archives, err := onAMD64().Scan(t.Context(), bosh, filepath.Join(dir, "jobs/*/images/*"), filepath.Join(dir, "none/*.lst"))
	if err != nil || len(archives) != 2 || len(archives[0].Listed) != 1 || len(archives[1].Listed) != 2 {
		t.Errorf("%+v, %v", archives, err)
	}
	_, err = onAMD64().Scan(t.Context(), filepath.Join(dir, "none.lst"))
	wantFault(t, err, Missing, `reading "`+dir+`/none.lst": no such file`)
	_, err = onAMD64().Scan(t.Context(), "[")
	wantFault(t, err, Missing, "no such file")
}
