package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"galley/engine"
)

// terminal is the terminal that the command was called from, while a process in a container has it.
type terminal struct {
	file *os.File
	// before is how the terminal was set.
	before *term.State
	sizes  chan engine.Size
	stop   func()
}

// inputTerminal is standard input where it is a terminal, or nil.
func (c *cli) inputTerminal() *os.File {
	if f, ok := c.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// takeTerminal passes each key on as it is typed, and tells each change of the size. The terminal must be given back.
func (c *cli) takeTerminal() (*terminal, error) {
	t := &terminal{file: c.inputTerminal(), sizes: make(chan engine.Size, 1)}
	before, err := term.MakeRaw(int(t.file.Fd()))
	if err != nil {
		return nil, err
	}
	t.before = before
	changed, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(changed, syscall.SIGWINCH)
	t.stop = func() { signal.Stop(changed); close(done) }
	go t.watch(changed, done)
	return t, nil
}

// watch tells the size at once and after each change; only the newest counts.
func (t *terminal) watch(changed <-chan os.Signal, done <-chan struct{}) {
	for {
		if columns, rows, err := term.GetSize(int(t.file.Fd())); err == nil {
			select {
			case <-t.sizes:
			default:
			}
			t.sizes <- engine.Size{Rows: uint(rows), Columns: uint(columns)}
		}
		select {
		case <-changed:
		case <-done:
			return
		}
	}
}

// giveBack sets the terminal as it was.
func (t *terminal) giveBack() {
	t.stop()
	// A terminal that is gone needs no setting.
	_ = term.Restore(int(t.file.Fd()), t.before)
}
