package compose

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// quoted is a text in quotes, taken apart as YAML's scanner does: where each of its characters stands in the file.
// Source: YAML 1.2, "Double-Quoted Style" and "Single-Quoted Style"; go.yaml.in/yaml/v4, internal/libyaml/scanner.go.
type quoted struct {
	rest         []rune // of the file
	line, column int    // of rest's first character, from 1
	quote        rune
	text         strings.Builder
	last         rune
	places       [][]filePlace // by line and column of the text
}

type filePlace struct{ line, column int }

// quotedShift maps positions in a text in quotes to the manifest; nil if it can't be taken apart. That it is right is known from
// the text: it must be the parser's.
func quotedShift(n *yaml.Node, manifest []byte) func(line, column int) (int, int) {
	column := n.Column + properties(manifest, n.Line, n.Column)
	q := &quoted{rest: []rune(string(manifest)), line: 1, column: 1, places: [][]filePlace{nil}}
	for len(q.rest) > 0 && (q.line < n.Line || q.column < column) {
		q.skip(max(lineBreak(q.rest), 1))
	}
	if len(q.rest) == 0 || q.rest[0] != '"' && q.rest[0] != '\'' {
		return nil
	}
	q.quote = q.rest[0]
	q.skip(1)
	for len(q.rest) > 0 && q.rest[0] != q.quote || q.escapedQuote() {
		if joined := q.word(); !q.atQuote() {
			q.blanks(joined)
		}
	}
	if q.text.String() != n.Value {
		return nil
	}
	return q.shift
}

// escapedQuote tells whether the text goes on with two single quotes, which are one.
func (q *quoted) escapedQuote() bool {
	return q.quote == '\'' && len(q.rest) > 1 && q.rest[0] == '\'' && q.rest[1] == '\''
}

// atQuote tells whether the text is at its end.
func (q *quoted) atQuote() bool {
	return len(q.rest) == 0 || q.rest[0] == q.quote && !q.escapedQuote()
}

// word takes characters up to a blank, a line's end or the closing quote. It tells whether it took an escaped line's end, from
// which on the text is joined without a space.
func (q *quoted) word() (joined bool) {
	for !q.atQuote() && !isBlank(q.rest[0]) && lineBreak(q.rest) == 0 {
		switch {
		case q.escapedQuote():
			q.emit('\'', 2)
		case q.quote == '\'' || q.rest[0] != '\\' || len(q.rest) < 2:
			q.emit(q.rest[0], 1)
		case lineBreak(q.rest[1:]) > 0:
			q.skip(1)
			q.skip(lineBreak(q.rest))
			return true
		default:
			q.escape()
		}
	}
	return false
}

// escape takes a character that is written with a backslash.
func (q *quoted) escape() {
	escapes := map[rune]rune{
		'0': 0, 'a': '\a', 'b': '\b', 't': '\t', '\t': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r', 'e': '\x1b', ' ': ' ', '"': '"',
		'\'': '\'', '/': '/', '\\': '\\', 'N': '\u0085', '_': '\u00a0', 'L': '\u2028', 'P': '\u2029',
	}
	digits := map[rune]int{'x': 2, 'u': 4, 'U': 8}[q.rest[1]]
	if digits == 0 || len(q.rest) < 2+digits {
		q.emit(escapes[q.rest[1]], 2)
		return
	}
	number, _ := strconv.ParseUint(string(q.rest[2:2+digits]), 16, 32)
	q.emit(rune(number), 2+digits)
}

// blanks takes white space. A line's end becomes a space, or the line ends after it; blanks around it are none of the text.
func (q *quoted) blanks(folding bool) {
	type character struct {
		r  rune
		at filePlace
	}
	var spaces, first, breaks []character
	for len(q.rest) > 0 && (isBlank(q.rest[0]) || lineBreak(q.rest) > 0) {
		c := character{q.rest[0], filePlace{q.line, q.column}}
		length := lineBreak(q.rest)
		if length > 0 && c.r != '\u2028' && c.r != '\u2029' {
			c.r = '\n'
		}
		switch {
		case length == 0 && !folding:
			spaces = append(spaces, c)
		case length == 0:
		case !folding:
			spaces, first, folding = nil, []character{c}, true
		default:
			breaks = append(breaks, c)
		}
		q.skip(max(length, 1))
	}
	switch {
	case len(first) == 0 || first[0].r != '\n':
		breaks = append(first, breaks...)
	case len(breaks) == 0:
		breaks = []character{{' ', first[0].at}}
	}
	for _, c := range append(spaces, breaks...) {
		q.put(c.r, c.at)
	}
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' }

// lineBreak is the number of characters that end a line at the start of a text; 0 if it goes on.
func lineBreak(text []rune) int {
	switch {
	case len(text) == 0 || !strings.ContainsRune("\r\n\u0085\u2028\u2029", text[0]):
		return 0
	case text[0] == '\r' && len(text) > 1 && text[1] == '\n':
		return 2
	default:
		return 1
	}
}

func (q *quoted) emit(r rune, length int) {
	q.put(r, filePlace{q.line, q.column})
	q.skip(length)
}

func (q *quoted) put(r rune, at filePlace) {
	q.text.WriteRune(r)
	if r != '\n' || q.last != '\r' { // which ended the line
		last := len(q.places) - 1
		q.places[last] = append(q.places[last], at)
		if lineBreak([]rune{r}) > 0 {
			q.places = append(q.places, nil)
		}
	}
	q.last = r
}

// skip passes over characters of one line, or over a line's end.
func (q *quoted) skip(n int) {
	if lineBreak(q.rest) > 0 {
		q.line, q.column = q.line+1, 1
	} else {
		q.column += n
	}
	q.rest = q.rest[n:]
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
