package enginetest

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// redirect points the streams elsewhere; the function returned puts them back.
func (s *shell) redirect(redirs []redir) (restore func(), problem string) {
	in, out, errs := s.stdin, s.stdout, s.stderr
	restore = func() { s.stdin, s.stdout, s.stderr = in, out, errs }
	for _, r := range redirs {
		target := s.joined(r.target)
		switch r.op {
		case "<":
			f := s.c.files.get(s.path(target))
			if f == nil {
				return restore, fmt.Sprintf("sh: can't open %s: no such file", target)
			}
			s.stdin = bytes.NewReader(f.data)
		case ">&":
			if target == "1" {
				s.setOutput(r.fd, s.stdout)
			} else {
				s.setOutput(r.fd, s.stderr)
			}
		default:
			w, why := s.create(s.path(target), r.op == ">>")
			if why != "" {
				return restore, fmt.Sprintf("sh: can't create %s: %s", target, why)
			}
			s.setOutput(r.fd, w)
		}
	}
	return restore, ""
}

func (s *shell) setOutput(fd int, w io.Writer) {
	if fd == 2 {
		s.stderr = w
		return
	}
	s.stdout = w
}

// create opens a file for writing.
func (s *shell) create(full string, more bool) (io.Writer, string) {
	switch full {
	case "/dev/null":
		return io.Discard, ""
	case "/dev/stdout", "/proc/1/fd/1":
		return s.stdout, ""
	case "/dev/stderr", "/proc/1/fd/2":
		return s.stderr, ""
	}
	f := &file{mode: 0o644}
	if old := s.c.files.get(full); more && old != nil {
		f.data = old.data
	}
	if why := s.c.files.put(full, &file{mode: f.mode, data: f.data}); why != "" {
		return nil, why
	}
	return fileWriter{s, full}, ""
}

// fileWriter appends to a file.
type fileWriter struct {
	s    *shell
	name string
}

func (w fileWriter) Write(p []byte) (int, error) {
	f := w.s.c.files.get(w.name)
	if f == nil {
		f = &file{mode: 0o644}
	}
	w.s.c.files.put(w.name, &file{mode: f.mode, data: append(bytes.Clone(f.data), p...)})
	return len(p), nil
}

// expandAll expands words into arguments.
func (s *shell) expandAll(words []word) []string {
	var argv []string
	for _, w := range words {
		argv = append(argv, s.expand(w)...)
	}
	return argv
}

// expand expands one word: what comes out of an unquoted variable is split at blanks.
func (s *shell) expand(w word) []string {
	var fields []string
	current, begun := "", false
	for _, p := range w {
		text := s.value(p)
		if p.quoted || p.kind == literal {
			current, begun = current+text, true
			continue
		}
		pieces := strings.Fields(text)
		if len(pieces) == 0 {
			continue
		}
		if begun && strings.TrimLeft(text, " \t\n") != text {
			fields, current = append(fields, current), ""
		}
		current, begun = current+pieces[0], true
		for _, piece := range pieces[1:] {
			fields, current = append(fields, current), piece
		}
	}
	if begun {
		fields = append(fields, current)
	}
	return fields
}

// joined expands a word without splitting it.
func (s *shell) joined(w word) string {
	var b strings.Builder
	for _, p := range w {
		b.WriteString(s.value(p))
	}
	return b.String()
}

func (s *shell) value(p part) string {
	switch p.kind {
	case variable:
		value, ok := s.lookup(p.text)
		if (!ok || value == "") && p.hasElse {
			return s.joined(p.otherwise)
		}
		return value
	case substitution:
		sub := s.clone()
		var out bytes.Buffer
		sub.stdout = &out
		sub.script(p.text)
		return strings.TrimRight(out.String(), "\n")
	case arithmetic:
		return strconv.Itoa(s.arithmetic(p.text))
	}
	return p.text
}

func (s *shell) lookup(name string) (string, bool) {
	switch name {
	case "?":
		return strconv.Itoa(s.last), true
	case "$":
		return "1", true
	case "#":
		return strconv.Itoa(max(0, len(s.args)-1)), true
	case "@", "*":
		return strings.Join(s.args[min(1, len(s.args)):], " "), true
	}
	if n, err := strconv.Atoi(name); err == nil {
		if n < len(s.args) {
			return s.args[n], true
		}
		return "", false
	}
	value, ok := s.env[name]
	return value, ok
}

// arithmetic evaluates a sum of numbers and variables from the left.
func (s *shell) arithmetic(text string) int {
	total, sign := 0, 1
	for _, term := range strings.Fields(strings.NewReplacer("+", " + ", "-", " - ", "$", "").Replace(text)) {
		switch term {
		case "+":
			sign = 1
		case "-":
			sign = -1
		default:
			n, err := strconv.Atoi(term)
			if err != nil {
				value, _ := s.lookup(term)
				n, _ = strconv.Atoi(value) // what is no number is 0
			}
			total += sign * n
		}
	}
	return total
}
