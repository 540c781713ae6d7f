package compose

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// quoted is a text in double quotes, taken apart: where each of its characters stands in the file.
type quoted struct {
	rest         []rune // of the file
	line, column int    // of rest's first character, from 1
	text         strings.Builder
	places       [][]filePlace // by line and column of the text
}

type filePlace struct{ line, column int }

// quotedShift maps positions in a text in double quotes to the manifest; nil if it can't be taken apart. Where it is right is
// known from the text: it must be the parser's.
func quotedShift(n *yaml.Node, manifest []byte) func(line, column int) (int, int) {
	lines := strings.SplitAfter(string(manifest), "\n")
	if n.Line > len(lines) {
		return nil
	}
	rest := []rune(strings.Join(lines[n.Line-1:], ""))
	if n.Column > len(rest) || rest[n.Column-1] != '"' {
		return nil
	}
	q := &quoted{rest: rest[n.Column-1:], line: n.Line, column: n.Column, places: [][]filePlace{nil}}
	q.skip(1)
	for len(q.rest) > 0 && q.rest[0] != '"' {
		q.next()
	}
	if q.text.String() != n.Value {
		return nil
	}
	return q.shift
}

// next takes a character of the text: as it stands, escaped, or a line's end.
func (q *quoted) next() {
	escapes := map[rune]rune{'n': '\n', 't': '\t', '"': '"', '\\': '\\', '/': '/', ' ': ' '}
	switch r := q.rest[0]; {
	case r == '\n':
		q.fold()
	case r != '\\' || len(q.rest) < 2:
		q.emit(r, 1)
	case q.rest[1] == '\n': // the line goes on
		q.skip(2)
		q.skipBlanks()
	case escapes[q.rest[1]] != 0:
		q.emit(escapes[q.rest[1]], 2)
	default: // a character by its number: the texts differ then
		q.emit(r, 1)
	}
}

// fold makes a space of a line's end, or line ends of the empty lines after it (YAML 1.2, line folding).
func (q *quoted) fold() {
	at := filePlace{q.line, q.column}
	q.skip(1)
	q.skipBlanks()
	if len(q.rest) == 0 || q.rest[0] != '\n' {
		q.put(' ', at)
		return
	}
	for len(q.rest) > 0 && q.rest[0] == '\n' {
		q.put('\n', filePlace{q.line, q.column})
		q.skip(1)
		q.skipBlanks()
	}
}

func (q *quoted) emit(r rune, length int) {
	q.put(r, filePlace{q.line, q.column})
	q.skip(length)
}

func (q *quoted) put(r rune, at filePlace) {
	q.text.WriteRune(r)
	last := len(q.places) - 1
	q.places[last] = append(q.places[last], at)
	if r == '\n' {
		q.places = append(q.places, nil)
	}
}

func (q *quoted) skip(n int) {
	for _, r := range q.rest[:n] {
		q.column++
		if r == '\n' {
			q.line, q.column = q.line+1, 1
		}
	}
	q.rest = q.rest[n:]
}

func (q *quoted) skipBlanks() {
	for len(q.rest) > 0 && (q.rest[0] == ' ' || q.rest[0] == '\t') {
		q.skip(1)
	}
}

// shift gives the place of a character of the text; where only a line is known, that of its first one.
func (q *quoted) shift(line, column int) (int, int) {
	at := filePlace{q.line, q.column} // the text's end
	if line >= 1 && line <= len(q.places) && len(q.places[line-1]) > 0 {
		all := q.places[line-1]
		at = all[min(max(column, 1), len(all))-1]
	}
	return at.line, at.column
}
