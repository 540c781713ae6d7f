package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"galley/engine"
)

// live redraws one line for each resource at the bottom of a terminal, with its state and the time it has taken. While the
// walk goes on it takes no more lines than the terminal has: what is under way comes first. At the end every resource is
// printed once, for good.
type live struct {
	ui    *ui
	size  func() (width, height int)
	now   func() time.Time
	title string
	// total is the number of steps, 0 if it isn't known; ended how many have ended.
	total, ended int
	began        time.Time
	// pulls adds up what the pulls have moved.
	pulls transfer

	mu    sync.Mutex
	rows  []*row
	drawn int // lines on the terminal that the next drawing replaces
	stop  chan struct{}
	idle  sync.WaitGroup
}

// row is one resource.
type row struct {
	target engine.Target
	state  string
	detail string
	style  style
	// underWay counts the resource's steps that have begun and not ended.
	underWay int
	began    time.Time
	took     time.Duration
}

// redrawEvery is often enough for a clock that shows tenths of a second.
const redrawEvery = 100 * time.Millisecond

// newLive begins a show whose clock runs until close.
func newLive(u *ui, size func() (int, int), title string, total int) *live {
	l := &live{ui: u, size: size, now: time.Now, title: title, total: total, began: time.Now(), stop: make(chan struct{})}
	l.idle.Go(l.tick)
	return l
}

// terminalSize returns a function that asks the terminal for its size, which may change at any time.
func terminalSize(w io.Writer) func() (int, int) {
	return func() (int, int) {
		if f, ok := w.(*os.File); ok {
			if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
				return width, height
			}
		}
		return 80, 24
	}
}

func (l *live) tick() {
	ticker := time.NewTicker(redrawEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
			l.mu.Lock()
			l.draw()
			l.mu.Unlock()
		}
	}
}

func (l *live) event(e engine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Kind == engine.Warned {
		l.above(func() { l.ui.warn(fmt.Sprintf("%s: %s", e.Step.Action.Target(), e.Detail)) })
		return
	}
	l.pulls.take(e)
	l.row(e.Step.Action.Target()).take(e, l.now())
	switch e.Kind {
	case engine.Done, engine.Failed, engine.Skipped:
		l.ended++
	}
}

func (l *live) say(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.above(func() { l.ui.say("%s", text) })
}

// above has something printed for good above the lines that are redrawn. The caller holds mu.
func (l *live) above(print func()) {
	l.erase()
	print()
	l.draw()
}

func (l *live) close() {
	close(l.stop)
	l.idle.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	width, _ := l.size()
	l.replace(l.lines(l.rows, width))
	l.drawn = 0
}

func (l *live) row(t engine.Target) *row {
	for _, r := range l.rows {
		if r.target.Kind == t.Kind && r.target.Name == t.Name {
			return r
		}
	}
	r := &row{target: t}
	l.rows = append(l.rows, r)
	return r
}

// take brings the row up to date. A failure stays visible whatever else happens to the resource.
func (r *row) take(e engine.Event, now time.Time) {
	verb := wordsOf(e.Step.Action.Verb())
	if r.began.IsZero() {
		r.began = now
	}
	switch e.Kind {
	case engine.Begun:
		r.underWay++
		r.set(verb.doing, cyan)
		r.detail = ""
	case engine.Progress:
		r.detail = e.Detail
		if e.Bytes != nil {
			r.detail = bar(e.Bytes) + amountWords(e)
		}
	case engine.Done:
		r.underWay--
		r.took = now.Sub(r.began)
		r.set(ended(e), green)
		r.detail = ""
	case engine.Failed:
		r.underWay--
		r.took = now.Sub(r.began)
		r.set("failed", red)
	case engine.Skipped:
		r.set("skipped", dim)
	}
}

func (r *row) set(state string, s style) {
	if state == "waiting for" {
		state = "waiting"
	}
	if r.state != "failed" {
		r.state, r.style = state, s
	}
}

// draw replaces what was drawn before. The caller holds mu.
func (l *live) draw() {
	if len(l.rows) == 0 {
		return
	}
	width, height := l.size()
	shown := l.fitting(max(1, height-3))
	lines := l.lines(shown, width)
	if more := len(l.rows) - len(shown); more > 0 {
		lines = append(lines, cut(fmt.Sprintf(" and %d more", more), width-1))
	}
	l.replace(lines)
	l.drawn = len(lines)
}

// fitting picks at most n rows, in their order: first what has failed or is under way, then what came last.
func (l *live) fitting(n int) []*row {
	if len(l.rows) <= n {
		return l.rows
	}
	chosen := map[*row]bool{}
	for _, urgent := range []bool{true, false} {
		for _, r := range slices.Backward(l.rows) {
			if len(chosen) < n && (r.underWay > 0 || r.state == "failed") == urgent {
				chosen[r] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(l.rows), func(r *row) bool { return !chosen[r] })
}

// erase takes away what was drawn and leaves the cursor where it began. The caller holds mu.
func (l *live) erase() {
	if l.drawn > 0 {
		fmt.Fprintf(l.ui.err, "\x1b[%dA\r\x1b[J", l.drawn)
	}
	l.drawn = 0
}

// replace prints lines where the ones drawn before stand, in one write and clearing behind what is new, so that nothing
// flickers. The caller holds mu.
func (l *live) replace(lines []string) {
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", l.drawn)
	}
	for _, line := range lines {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	io.WriteString(l.ui.err, b.String())
}

// lines are the header and the rows, none wider than the terminal: a line that wraps would spoil the next drawing.
func (l *live) lines(rows []*row, width int) []string {
	counter := fmt.Sprint(l.ended)
	if l.total > 0 {
		counter = fmt.Sprintf("%d/%d", l.ended, max(l.total, l.ended))
	}
	header := fmt.Sprintf("%s  %s  %s", l.title, counter, seconds(l.now().Sub(l.began)))
	if pulls := l.pulls.String(); pulls != "" {
		header += "  " + pulls
	}
	header = cut(header, width-1)
	lines := []string{paint(l.ui.errColor, bold, header)}
	names := 0
	for _, r := range rows {
		names = max(names, utf8.RuneCountInString(r.target.Name))
	}
	for _, r := range rows {
		lines = append(lines, l.line(r, names, width-1))
	}
	return lines
}

// The widths of a row's columns but the name's; kindWidth is given up first on a narrow terminal.
const (
	kindWidth  = 10 // "container "
	stateWidth = 13 // "disconnecting"
	timeWidth  = 6
	leastName  = 8
)

// line lays out a row in at most width columns.
func (l *live) line(r *row, names, width int) string {
	took := r.took
	if r.underWay > 0 {
		took = l.now().Sub(r.began)
	}
	kind := fmt.Sprintf("%-*s", kindWidth, r.target.Kind)
	room := width - 1 - kindWidth - 2 - stateWidth - 1 - timeWidth
	if room < min(names, 2*leastName) {
		kind, room = "", room+kindWidth
	}
	names = max(leastName, min(names, room))
	name := fmt.Sprintf("%-*s", names, cut(r.target.Name, names))
	before := cut(" "+kind+name+"  ", width)
	rest := width - utf8.RuneCountInString(before)
	state := cut(fmt.Sprintf("%-*s", stateWidth, r.state), rest)
	rest -= utf8.RuneCountInString(state)
	after := cut(strings.TrimRight(fmt.Sprintf(" %*s  %s", timeWidth, seconds(took), r.detail), " "), rest)
	return before + paint(l.ui.errColor, r.style, state) + paint(l.ui.errColor, dim, after)
}

// cut shortens text to n columns; what is missing shows as "~" at its end.
func cut(text string, n int) string {
	if n <= 0 {
		return ""
	}
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	runes := []rune(text)
	if strings.TrimSpace(string(runes[n:])) == "" {
		return string(runes[:n])
	}
	return string(runes[:n-1]) + "~"
}
