package imports

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// strangerSize is how many bytes of a file [stranger] looks at.
const strangerSize = 64

// stranger says what a file is that often lies in a tarball's place, by its first bytes; "" is anything else. No tar begins so:
// it begins with the name of a file.
func stranger(head []byte) string {
	first := bytes.ToLower(bytes.TrimLeft(head, " \t\r\n\ufeff"))
	switch {
	case bytes.HasPrefix(head, []byte("version https://git-lfs.github.com/spec/")): // Source: git-lfs, docs/spec.md
		return "it is a pointer to a file that Git LFS keeps: `git lfs pull` brings that"
	case bytes.HasPrefix(first, []byte("<!doctype html")), bytes.HasPrefix(first, []byte("<html")), bytes.HasPrefix(first, []byte("<?xml")):
		return "it is a web page, as servers give it for an error or a login"
	case bytes.HasPrefix(first, []byte(`{"`)), bytes.HasPrefix(first, []byte("{\n")):
		return "it is JSON, as servers give it for an error"
	}
	for magic, kind := range map[string]string{
		"PK\x03\x04": "a zip archive", "7z\xbc\xaf\x27\x1c": "a 7z archive", "Rar!\x1a\x07": "a rar archive",
		"\x04\x22\x4d\x18": "compressed with lz4", "LZIP": "compressed with lzip", "\x1f\x9d": "compressed with compress",
	} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return fmt.Sprintf("it is %s: only plain tars are read, and those compressed with gzip, bzip2, xz or zstd", kind)
		}
	}
	return ""
}

// directoryWords are what is wrong with a directory in a tarball's place.
func directoryWords(dir string) string {
	if _, err := os.Stat(filepath.Join(dir, layoutName)); err == nil {
		return fmt.Sprintf("it is a directory, and a tarball of it is wanted: `tar -C %s -cf %s.tar .`", dir, dir)
	}
	return "it is a directory"
}

// wrapped is the folder in the archive that holds what belongs at its top; "" if there is none.
func (c *contents) wrapped() string {
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		if base := path.Base(name); base == layoutName || base == manifestName || base == indexName && c.files[name].doc != nil {
			return path.Dir(name)
		}
	}
	return ""
}
