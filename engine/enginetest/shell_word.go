package enginetest

import "strings"

// word reads one argument, or nil where none is.
func (p *parser) word() word {
	p.blanks()
	var w word
	add := func(text string, quoted bool) { w = append(w, part{text: text, quoted: quoted}) }
	for p.at < len(p.text) {
		c := p.text[p.at]
		switch {
		case strings.ContainsRune(" \t\n;&|()<>", rune(c)):
			return w
		case c == '\'':
			end := strings.IndexByte(p.text[p.at+1:], '\'')
			if end < 0 {
				panic(syntaxError{"unterminated quoted string"})
			}
			add(p.text[p.at+1:p.at+1+end], true)
			p.at += end + 2
		case c == '"':
			p.at++
			w = append(w, p.quoted()...)
		case c == '\\' && p.at+1 < len(p.text):
			add(p.text[p.at+1:p.at+2], true)
			p.at += 2
		case c == '$' || c == '`':
			w = append(w, p.dollar(false))
		default:
			end := p.at
			for end < len(p.text) && !strings.ContainsRune(" \t\n;&|()<>'\"\\$`", rune(p.text[end])) {
				end++
			}
			add(p.text[p.at:end], false)
			p.at = end
		}
	}
	return w
}

// quoted reads to the closing double quote.
func (p *parser) quoted() word {
	w := word{{quoted: true}} // so that "" is an argument, too
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			w = append(w, part{text: text.String(), quoted: true})
			text.Reset()
		}
	}
	for p.at < len(p.text) {
		c := p.text[p.at]
		switch {
		case c == '"':
			p.at++
			flush()
			return w
		case c == '\\' && p.at+1 < len(p.text) && strings.ContainsRune("\"\\$`", rune(p.text[p.at+1])):
			text.WriteByte(p.text[p.at+1])
			p.at += 2
		case c == '$' || c == '`':
			flush()
			w = append(w, p.dollar(true))
		default:
			text.WriteByte(c)
			p.at++
		}
	}
	panic(syntaxError{"unterminated quoted string"})
}

// dollar reads $name, ${name}, ${name:-word}, $(commands), $((expression)), `commands`.
func (p *parser) dollar(quoted bool) part {
	rest := p.text[p.at:]
	switch {
	case rest[0] == '`':
		end := strings.IndexByte(rest[1:], '`')
		if end < 0 {
			panic(syntaxError{"unterminated quoted string"})
		}
		p.at += end + 2
		return part{kind: substitution, text: rest[1 : 1+end], quoted: quoted}
	case strings.HasPrefix(rest, "$(("):
		end := strings.Index(rest, "))")
		if end < 0 {
			panic(syntaxError{"missing '))'"})
		}
		p.at += end + 2
		return part{kind: arithmetic, text: rest[3:end], quoted: quoted}
	case strings.HasPrefix(rest, "$("):
		start := p.at + 2
		inner := &parser{text: p.text, at: start}
		inner.list()
		if inner.at >= len(p.text) || p.text[inner.at] != ')' {
			inner.bad()
		}
		p.at = inner.at + 1
		return part{kind: substitution, text: p.text[start:inner.at], quoted: quoted}
	case strings.HasPrefix(rest, "${"):
		return p.braced(quoted)
	}
	end := 1
	for end < len(rest) && isName(rest[end], end > 1) {
		end++
	}
	if end == 1 {
		if len(rest) > 1 && strings.ContainsRune("?$#@*!0123456789", rune(rest[1])) {
			end = 2
		} else {
			p.at++
			return part{text: "$", quoted: quoted}
		}
	}
	p.at += end
	return part{kind: variable, text: rest[1:end], quoted: quoted}
}

func (p *parser) braced(quoted bool) part {
	rest := p.text[p.at+2:]
	end := strings.IndexByte(rest, '}')
	if end < 0 {
		panic(syntaxError{"missing '}'"})
	}
	p.at += end + 3
	inside := rest[:end]
	for _, op := range []string{":-", "-"} {
		if name, otherwise, ok := strings.Cut(inside, op); ok {
			fallback := &parser{text: otherwise}
			return part{kind: variable, text: name, quoted: quoted, otherwise: fallback.word(), hasElse: true}
		}
	}
	return part{kind: variable, text: inside, quoted: quoted}
}
