package imports

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The limits of a list; a tarball that was named *.lst by mistake stops there.
const (
	maxList = 1 << 20
	maxPath = 4096 // Linux's PATH_MAX
)

// mention is a place that names an archive, perhaps with the checksum that its file must have.
type mention struct {
	place Position
	sum   string
}

// entry is an archive to read, or why there is none.
type entry struct {
	path     string
	mentions []mention
	err      error
}

// listing collects the archives that patterns and lists name, each path once, in their order.
type listing struct {
	// root is what absolute paths in lists start from.
	root    string
	entries []*entry
	byPath  map[string]*entry
}

// collect expands patterns: a match that ends in .lst is a list, any other is an archive.
func collect(root string, patterns []string) []*entry {
	l := &listing{root: root, byPath: map[string]*entry{}}
	for _, pattern := range patterns {
		for _, path := range expand(pattern) {
			if strings.HasSuffix(path, ".lst") {
				l.readList(path)
			} else {
				l.add(path, mention{})
			}
		}
	}
	return l.entries
}

// expand is the shell's pathname expansion: what is there under that very name, or is no well-formed pattern, is taken as
// it is.
func expand(pattern string) []string {
	if _, err := os.Lstat(pattern); err == nil || !strings.ContainsAny(pattern, `*?[\`) {
		return []string{pattern}
	}
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return []string{pattern}
	}
	slices.Sort(paths)
	return paths
}

// Unmatched are the patterns that match no file: for Scan they name nothing, which whoever wrote them may not have meant.
func Unmatched(patterns ...string) []string {
	var none []string
	for _, pattern := range patterns {
		if len(expand(pattern)) == 0 {
			none = append(none, pattern)
		}
	}
	return none
}

func (l *listing) add(path string, m mention) {
	path = filepath.Clean(path)
	e := l.byPath[path]
	if e == nil {
		e = &entry{path: path}
		l.byPath[path] = e
		l.entries = append(l.entries, e)
	}
	if m.place.File != "" {
		e.mentions = append(e.mentions, m)
	}
}

func (l *listing) fail(fault Fault, place Position, path string, err error) {
	l.entries = append(l.entries, &entry{err: &Error{Fault: fault, Listed: place, Path: path, Err: err}})
}

// readList adds what a list names. Words are separated as the shell separates those of $(cat *.lst), and a carriage return
// separates too; a word that begins with "#" begins a comment.
func (l *listing) readList(path string) {
	file, err := openRegular(path)
	if err != nil {
		l.fail(faultOf(err), Position{}, path, err)
		return
	}
	defer file.Close()
	l.readLines(path, file)
}

// readLines adds what the text of the list at path names.
func (l *listing) readLines(path string, text io.Reader) {
	lines := bufio.NewScanner(io.LimitReader(text, maxList+1))
	lines.Buffer(nil, maxList+2)
	read := 0
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		read += len(line) + 1
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		place := Position{path, n}
		if strings.HasPrefix(line, "\xff\xfe") || strings.HasPrefix(line, "\xfe\xff") { // the byte order marks of UTF-16
			l.fail(BadList, place, path, errors.New("this is UTF-16, as PowerShell writes it: save the list as UTF-8"))
			return
		}
		if strings.ContainsRune(line, 0) || read > maxList {
			l.fail(BadList, place, path, fmt.Errorf("this is no list of paths, but binary or over %d bytes long", maxList))
			return
		}
		l.readLine(line, place)
	}
	if err := lines.Err(); err != nil {
		err = fileError(err)
		l.fail(faultOf(err), Position{}, path, err)
	}
}

func (l *listing) readLine(line string, place Position) {
	words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\v\f", r) })
	for i := 0; i < len(words) && !strings.HasPrefix(words[i], "#"); i++ {
		word := words[i]
		if isChecksum(word) {
			l.fail(BadList, place, place.File, fmt.Errorf("checksum %q has no path before it on its line", word))
			continue
		}
		m := mention{place: place}
		if i+1 < len(words) && isChecksum(words[i+1]) {
			i++
			m.sum = strings.ToLower(words[i])
		}
		l.readWord(word, m)
	}
}

// readWord adds the archive, or the archives, that a word of a list names.
func (l *listing) readWord(word string, m mention) {
	if m.sum != "" && !isDigest(m.sum) {
		l.fail(BadList, m.place, m.place.File, fmt.Errorf(`checksum %q is not "sha256:" and 64 hexadecimal digits`, m.sum))
		return
	}
	if len(word) > maxPath {
		l.fail(BadList, m.place, m.place.File, fmt.Errorf("a path is longer than %d bytes", maxPath))
		return
	}
	if filepath.IsAbs(word) {
		word = filepath.Join(l.root, word)
	} else {
		word = filepath.Join(filepath.Dir(m.place.File), word)
	}
	paths := expand(word)
	if len(paths) == 0 {
		paths = []string{word} // the shell leaves a pattern without a match as it is, and so it is missed
	}
	if len(paths) > 1 && m.sum != "" {
		l.fail(BadList, m.place, word, fmt.Errorf("%q names %d files, and one checksum can't fit them all", word, len(paths)))
		return
	}
	for _, path := range paths {
		l.add(path, m)
	}
}

func isChecksum(word string) bool {
	return len(word) >= 7 && strings.EqualFold(word[:7], "sha256:")
}

// isDigest tells whether a digest is SHA-256's, well formed.
func isDigest(digest string) bool {
	digits, ok := strings.CutPrefix(digest, "sha256:")
	sum, err := hex.DecodeString(digits)
	return ok && err == nil && len(sum) == 32 && digits == strings.ToLower(digits)
}
