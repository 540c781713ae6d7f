package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"galley/engine"
)

// logFile is a file that is appended to, and opened anew when somebody has moved it away.
type logFile struct {
	path string
	mu   sync.Mutex
	file *os.File
}

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	return l, l.reopen()
}

// reopen opens the file of that name, and makes it if need be. When that fails the one before stays in use.
func (l *logFile) reopen() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		// What was written to it is written.
		_ = l.file.Close()
	}
	l.file = file
	return nil
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Write(p)
}

// newLogger logs records as text, a line each, or as JSON objects.
func newLogger(w io.Writer, format string) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: plainTime}))
}

// plainTime shortens times to what people read: RFC 3339 with milliseconds.
func plainTime(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindTime {
		return slog.String(a.Key, a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	}
	return a
}

// journal writes what the supervisor does into its log.
type journal struct {
	log *slog.Logger
}

// step logs what was done to something, or was not.
func (j journal) step(e engine.Event) {
	target := e.Step.Action.Target()
	attrs := []any{"kind", target.Kind, "name", target.Name}
	if target.Service != "" {
		attrs = append(attrs, "service", target.Service)
	}
	words := wordsOf(e.Step.Action.Verb())
	switch e.Kind {
	case engine.Done:
		j.log.Info(ended(e), append(attrs, "why", e.Step.Why, "took", e.Took.Round(time.Millisecond).String())...)
	case engine.Failed:
		for _, f := range failures(e.Err) {
			if len(f.logs) > 0 {
				attrs = append(attrs, "last_lines", f.logs)
			}
			j.log.Error(words.doing+" failed", append(attrs, "error", f.text, "hint", f.hint)...)
		}
	case engine.Warned:
		j.log.Warn(e.Detail, attrs...)
	}
}

// note logs what else happens.
func (j journal) note(n engine.Note) {
	var attrs []any
	if n.Service != "" {
		attrs = append(attrs, "service", n.Service)
	}
	switch n.Kind {
	case engine.NoteConnected:
		j.log.Info("connected to the engine", "host", n.Text)
	case engine.NoteLoaded:
		j.log.Info("recipe in force", "project", n.Text)
	case engine.NoteDrift:
		j.log.Warn("not as wanted", append(attrs, "what", n.Text)...)
	case engine.NoteWarned:
		if n.Err != nil {
			attrs = append(attrs, "error", words(n.Err), "hint", hintFor(n.Err))
		}
		j.log.Warn(n.Text, attrs...)
	case engine.NoteConverged:
		j.log.Info("as wanted", "took", n.Took.Round(time.Millisecond).String())
	case engine.NoteYielded:
		j.log.Info("standing by: another command has its turn")
	case engine.NoteLost:
		j.failed("the engine can't be reached", attrs, n.Err)
	case engine.NoteInvalid:
		j.failed("the recipe can't be used; what was in force stays", attrs, n.Err)
	case engine.NoteRolledBack:
		j.failed("the recipe did not come up; the last good one takes its place", attrs, n.Err)
	case engine.NoteFailed:
		j.failed("not as wanted", attrs, n.Err)
	}
}

// failed logs each thing that went wrong. Those of a walk's steps were logged when they failed.
func (j journal) failed(what string, attrs []any, err error) {
	for _, f := range failures(err) {
		j.log.Log(context.Background(), slog.LevelError, what, append(attrs[:len(attrs):len(attrs)], "error", f.text, "hint", f.hint)...)
	}
}
