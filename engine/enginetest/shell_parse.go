package enginetest

import (
	"fmt"
	"strings"
)

// The shell's grammar: what test images' commands use of POSIX sh. Not in it: functions, case, here-documents.

// list is commands one after the other; a command that ends in & runs in the background.
type list struct{ items []item }

type item struct {
	cmd        command
	background bool
}

// command is one of list, andOr, pipeline, simple, conditional, loop, forLoop, group.
type command any

type andOr struct {
	left  command
	or    bool
	right command
}

type pipeline struct {
	cmds   []command
	negate bool
}

type simple struct {
	assigns []assign
	words   []word
	redirs  []redir
}

type assign struct {
	name  string
	value word
}

type redir struct {
	fd     int
	op     string // > >> < >&
	target word
}

type conditional struct {
	test, then list
	otherwise  command
}

type loop struct {
	test, body list
	until      bool
}

type forLoop struct {
	name  string
	words []word
	body  list
}

type group struct {
	body   list
	sub    bool
	redirs []redir
}

// word is an argument before expansion.
type word []part

// part of a word: literal text, a variable, or a command's output.
type part struct {
	kind   partKind
	text   string
	quoted bool
	// otherwise is what ${name:-otherwise} falls back to.
	otherwise word
	hasElse   bool
}

type partKind int

const (
	literal partKind = iota
	variable
	substitution
	arithmetic
)

// parser reads a script.
type parser struct {
	text string
	at   int
}

// syntaxError ends the parse from deep within.
type syntaxError struct{ what string }

// parse reads a script, or says what is wrong with it as busybox does.
func parse(script string) (l list, err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(syntaxError)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("syntax error: %s", e.what)
		}
	}()
	p := &parser{text: script}
	l = p.list()
	if p.skip(); p.at < len(p.text) {
		p.bad()
	}
	return l, nil
}

func (p *parser) bad() {
	if p.at >= len(p.text) {
		panic(syntaxError{"unexpected end of file"})
	}
	if w := p.peekWord(); w != "" {
		panic(syntaxError{fmt.Sprintf("unexpected %q", w)})
	}
	panic(syntaxError{fmt.Sprintf("unexpected %q", p.text[p.at:p.at+1])})
}

// blanks skips blanks, continued lines and a comment.
func (p *parser) blanks() {
	for p.at < len(p.text) {
		switch {
		case p.text[p.at] == ' ' || p.text[p.at] == '\t' || p.text[p.at] == '\r':
			p.at++
		case strings.HasPrefix(p.text[p.at:], "\\\n"):
			p.at += 2
		case p.text[p.at] == '#' && (p.at == 0 || strings.ContainsRune(" \t\n;", rune(p.text[p.at-1]))):
			for p.at < len(p.text) && p.text[p.at] != '\n' {
				p.at++
			}
		default:
			return
		}
	}
}

// skip skips blanks and line feeds.
func (p *parser) skip() {
	for p.blanks(); p.at < len(p.text) && p.text[p.at] == '\n'; p.blanks() {
		p.at++
	}
}

func (p *parser) take(s string) bool {
	p.blanks()
	if strings.HasPrefix(p.text[p.at:], s) {
		p.at += len(s)
		return true
	}
	return false
}

// peekWord is the plain word that comes next, to find keywords.
func (p *parser) peekWord() string {
	p.blanks()
	end := p.at
	for end < len(p.text) && !strings.ContainsRune(" \t\n;&|()<>\"'$\\", rune(p.text[end])) {
		end++
	}
	return p.text[p.at:end]
}

// keyword takes the word if it comes next.
func (p *parser) keyword(w string) bool {
	p.skip()
	if p.peekWord() != w {
		return false
	}
	p.at += len(w)
	return true
}

func (p *parser) expect(w string) {
	if !p.keyword(w) {
		p.bad()
	}
}

// ends tells whether a list ends here.
func (p *parser) ends() bool {
	p.skip()
	if p.at >= len(p.text) || p.text[p.at] == ')' {
		return true
	}
	switch p.peekWord() {
	case "then", "else", "elif", "fi", "do", "done", "}":
		return true
	}
	return false
}

func (p *parser) list() list {
	var l list
	for !p.ends() {
		it := item{cmd: p.andOr()}
		p.blanks()
		switch {
		case strings.HasPrefix(p.text[p.at:], ";"):
			p.at++
		case strings.HasPrefix(p.text[p.at:], "&"):
			p.at++
			it.background = true
		case p.at < len(p.text) && p.text[p.at] != '\n' && p.text[p.at] != ')':
			if !p.ends() {
				p.bad()
			}
		}
		l.items = append(l.items, it)
	}
	return l
}

func (p *parser) andOr() command {
	left := p.pipeline()
	for {
		or := p.take("||")
		if !or && !p.take("&&") {
			return left
		}
		p.skip()
		left = andOr{left, or, p.pipeline()}
	}
}

func (p *parser) pipeline() command {
	var pl pipeline
	for p.peekWord() == "!" {
		p.at++
		pl.negate = !pl.negate
		p.blanks()
	}
	pl.cmds = append(pl.cmds, p.command())
	for {
		p.blanks()
		if !strings.HasPrefix(p.text[p.at:], "|") || strings.HasPrefix(p.text[p.at:], "||") {
			break
		}
		p.at++
		p.skip()
		pl.cmds = append(pl.cmds, p.command())
	}
	if len(pl.cmds) == 1 && !pl.negate {
		return pl.cmds[0]
	}
	return pl
}

func (p *parser) command() command {
	p.blanks()
	switch {
	case strings.HasPrefix(p.text[p.at:], "("):
		p.at++
		body := p.list()
		if !p.take(")") {
			p.bad()
		}
		return group{body, true, p.redirs()}
	}
	switch p.peekWord() {
	case "{":
		p.at++
		body := p.list()
		p.expect("}")
		return group{body, false, p.redirs()}
	case "if":
		p.at += 2
		return p.conditional()
	case "while", "until":
		until := p.peekWord() == "until"
		p.at += 5
		test := p.list()
		return loop{test, p.body(), until}
	case "for":
		p.at += 3
		return p.forLoop()
	}
	return p.simple()
}

func (p *parser) conditional() command {
	c := conditional{test: p.list()}
	p.expect("then")
	c.then = p.list()
	switch {
	case p.keyword("elif"):
		c.otherwise = p.conditional()
		return c
	case p.keyword("else"):
		c.otherwise = p.list()
	}
	p.expect("fi")
	return c
}

func (p *parser) body() list {
	p.expect("do")
	body := p.list()
	p.expect("done")
	return body
}

func (p *parser) forLoop() command {
	f := forLoop{name: p.peekWord()}
	p.at += len(f.name)
	if p.keyword("in") {
		for {
			w := p.word()
			if w == nil {
				break
			}
			f.words = append(f.words, w)
		}
	}
	p.take(";")
	f.body = p.body()
	return f
}

func (p *parser) redirs() []redir {
	var rs []redir
	for {
		r, ok := p.redir()
		if !ok {
			return rs
		}
		rs = append(rs, r)
	}
}

// redir reads "2>&1", ">file", ">>file", "<file".
func (p *parser) redir() (redir, bool) {
	p.blanks()
	at, r := p.at, redir{fd: -1}
	if at+1 < len(p.text) && p.text[at] >= '0' && p.text[at] <= '9' && strings.ContainsRune("<>", rune(p.text[at+1])) {
		r.fd = int(p.text[at] - '0')
		at++
	}
	for _, op := range []string{">>", ">&", ">", "<"} {
		if strings.HasPrefix(p.text[at:], op) {
			r.op = op
			p.at = at + len(op)
			break
		}
	}
	if r.op == "" {
		return r, false
	}
	if r.fd < 0 {
		r.fd = 1
		if r.op == "<" {
			r.fd = 0
		}
	}
	if r.target = p.word(); r.target == nil {
		p.bad()
	}
	return r, true
}

func (p *parser) simple() command {
	var s simple
	for {
		if r, ok := p.redir(); ok {
			s.redirs = append(s.redirs, r)
			continue
		}
		if len(s.words) == 0 {
			if name, ok := p.assignment(); ok {
				s.assigns = append(s.assigns, assign{name, p.adjacentWord()})
				continue
			}
		}
		w := p.word()
		if w == nil {
			break
		}
		s.words = append(s.words, w)
	}
	if s.words == nil && s.assigns == nil && s.redirs == nil {
		p.bad()
	}
	return s
}

// assignment takes "NAME=" if that comes next.
func (p *parser) assignment() (string, bool) {
	end := p.at
	for end < len(p.text) && isName(p.text[end], end > p.at) {
		end++
	}
	if end == p.at || end >= len(p.text) || p.text[end] != '=' {
		return "", false
	}
	name := p.text[p.at:end]
	p.at = end + 1
	return name, true
}

// adjacentWord is the word that begins right here; none in "NAME= command".
func (p *parser) adjacentWord() word {
	if p.at >= len(p.text) || strings.ContainsRune(" \t\n;&|", rune(p.text[p.at])) {
		return nil
	}
	return p.word()
}

func isName(c byte, digits bool) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || digits && c >= '0' && c <= '9'
}
