package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// The rules of what is printed:
//
//   - Standard output carries what was asked for: a plan, a table, a container's log, findings of check. Everything else,
//     progress included, goes to standard error.
//   - Messages are lower case, without full stop: "error: …", "warning: …", "note: …", each perhaps followed by "hint: …",
//     the way out. Further lines of one message are indented.
//   - Colour only marks what the words say already. It needs a terminal, or --ansi always; NO_COLOR and --ansi never
//     switch it off.
//   - Lines are redrawn only on a terminal. Elsewhere each line is final.
//   - With --progress json every line of Galley's own on standard error is a JSON object.

// ui prints. Its methods may be called from several goroutines.
type ui struct {
	out, err io.Writer
	// outColor and errColor allow colour, live allows redrawing, on standard error.
	outColor, errColor, live bool
	// json makes each line on standard error a JSON object.
	json bool
	// quiet leaves out progress.
	quiet bool

	mu sync.Mutex
}

// newUI decides from the settings and the terminals what may be printed how.
func newUI(out, err io.Writer, ansi, progress string, getenv func(string) string) *ui {
	dumb := getenv("TERM") == "dumb" || getenv("TERM") == ""
	color := func(w io.Writer) bool {
		switch ansi {
		case "always":
			return true
		case "never":
			return false
		}
		return isTerminal(w) && !dumb && getenv("NO_COLOR") == ""
	}
	u := &ui{out: out, err: err, outColor: color(out), errColor: color(err)}
	switch progress {
	case "json":
		u.json, u.errColor = true, false
	case "quiet":
		u.quiet = true
	case "tty":
		u.live = ansi != "never"
	case "auto":
		u.live = ansi != "never" && isTerminal(err) && !dumb
	}
	return u
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// style is a way to print a word, as the parameters of the terminal's SGR sequence.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// paint gives text a style, where colour is allowed.
func paint(allowed bool, s style, text string) string {
	if !allowed || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// warn prints a warning on standard error.
func (u *ui) warn(text string) { u.message("warning", yellow, text) }

// note prints a note on standard error.
func (u *ui) note(text string) { u.message("note", cyan, text) }

// fail prints an error on standard error.
func (u *ui) fail(text string) { u.message("error", red, text) }

// hint prints the way out of what was printed before; "" is none.
func (u *ui) hint(text string) {
	if text != "" {
		u.message("hint", cyan, text)
	}
}

// message prints "level: text". The further lines of text are indented.
func (u *ui) message(level string, s style, text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.json {
		u.object(struct {
			Level   string `json:"level"`
			Message string `json:"message"`
		}{level, text})
		return
	}
	text = strings.ReplaceAll(sanitize(strings.TrimRight(text, "\n")), "\n", "\n  ")
	fmt.Fprintf(u.err, "%s %s\n", paint(u.errColor, s, level+":"), text)
}

// say prints a line about how things are going on standard error, unless --progress quiet.
func (u *ui) say(format string, args ...any) {
	if u.quiet {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.json {
		u.object(struct {
			Level   string `json:"level"`
			Message string `json:"message"`
		}{"info", fmt.Sprintf(format, args...)})
		return
	}
	fmt.Fprintf(u.err, format+"\n", args...)
}

// ask puts a question that is answered with yes or no on standard input; no answer is no.
func (c *cli) ask(question string) (bool, error) {
	fmt.Fprintf(c.err, "%s? [y/N] ", question)
	answer, err := bufio.NewReader(c.stdin).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	if err == io.EOF {
		fmt.Fprintln(c.err)
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}

// object prints one JSON object as a line on standard error. The caller holds mu.
func (u *ui) object(v any) {
	encoder := json.NewEncoder(u.err)
	encoder.SetEscapeHTML(false)
	// A standard error that can't be written to leaves nobody to tell.
	_ = encoder.Encode(v)
}

// sanitize takes control characters out of text that others wrote, so that it can't steer the terminal.
func sanitize(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, text)
}
