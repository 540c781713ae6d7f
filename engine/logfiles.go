package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// LogFiles says where and how containers' logs are kept as files: DIR/SERVICE-NUMBER.log for each replica, DIR/SERVICE-run.log
// for the one-off containers of a service. A line is the Engine's stamp (RFC 3339, nine digits), a space, and what was written.
type LogFiles struct {
	// Dir is made where it is missing.
	Dir string
	// MaxSize is how many bytes a file may have before it is put aside; 0 means 10 MiB.
	MaxSize int64
	// MaxAge is how long after a file's first line it is put aside; 0 means a day.
	MaxAge time.Duration
	// Keep is how many files put aside, compressed, are kept of each; 0 means 7.
	Keep int
	// Trouble, if set, is told what hinders the writing, as a full disk; it is called from several goroutines. No line is
	// given up for it: they stay with the Engine until they can be written.
	Trouble func(error)
}

func (f LogFiles) withDefaults() LogFiles {
	if f.MaxSize == 0 {
		f.MaxSize = 10 << 20
	}
	if f.MaxAge == 0 {
		f.MaxAge = 24 * time.Hour
	}
	if f.Keep == 0 {
		f.Keep = 7
	}
	if f.Trouble == nil {
		f.Trouble = func(error) {}
	}
	return f
}

// WriteLogs keeps the logs of the project's containers as files until ctx ends: of those that are there and of those that
// come. It goes on where it, or an earlier process, stopped: after the last line in the file, without a gap and without
// doubling, also when the Engine goes away and comes back. The error says that the directory can't be used.
func (e *Engine) WriteLogs(ctx context.Context, project string, files LogFiles) error {
	files = files.withDefaults()
	if err := files.Usable(); err != nil {
		return err
	}
	w := &logWriter{
		Engine: e, LogFiles: files, project: project, watch: e.newWatch(project),
		reading: map[string]bool{}, files: map[string]*logFile{},
	}
	defer w.watch.close()
	w.run(ctx)
	return nil
}

// KeepLogs is [Engine.WriteLogs] for an Engine that may not be there yet: it is asked again until it answers.
func KeepLogs(ctx context.Context, opts Options, project string, files LogFiles) error {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		e, err := Connect(ctx, opts)
		if err == nil {
			defer e.Close()
			return e.WriteLogs(ctx, project, files)
		}
		if !is[*UnreachableError](err) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// Usable makes the directory, and tries whether files can be made in it.
func (f LogFiles) Usable() error {
	err := os.MkdirAll(f.Dir, 0o750)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(f.Dir, ".probe-*"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("keeping logs in %q: %w", f.Dir, err)
	}
	return nil
}

// logWriter reads the logs of a project, each in a goroutine of its own, and writes them down.
type logWriter struct {
	*Engine
	LogFiles
	project string
	watch   *watch
	readers sync.WaitGroup

	mu      sync.Mutex
	reading map[string]bool     // by container id
	files   map[string]*logFile // by path
}

// run reads the logs of containers as they come. What wakes it are the events of containers whose log is not read yet.
func (w *logWriter) run(ctx context.Context) {
	woken, done := w.watch.on(ctx, anyOther)
	defer done()
	for pause := minPause; ctx.Err() == nil; {
		var retry <-chan time.Time
		if containers, err := w.Containers(ctx, w.project); err == nil {
			w.join(ctx, containers)
			pause = minPause
		} else {
			retry = time.After(pause)
			pause = min(2*pause, maxPause)
		}
		select {
		case <-woken:
		case <-retry:
		case <-ctx.Done():
		}
	}
	w.readers.Wait()
	for _, file := range w.files {
		file.close()
	}
}

// join begins to read the logs of those that are new.
func (w *logWriter) join(ctx context.Context, containers []*Container) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range containers {
		if w.reading[c.ID] {
			continue
		}
		w.reading[c.ID] = true
		path := filepath.Join(w.Dir, logName(c))
		file := w.files[path]
		if file == nil {
			file = newLogFile(path, w.LogFiles)
			w.files[path] = file
		}
		w.readers.Go(func() {
			w.keep(ctx, c, file)
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.reading, c.ID)
		})
	}
}

func logName(c *Container) string {
	switch {
	case c.OneOff:
		return c.Service + "-run.log"
	case c.Service == "" || c.Number == 0:
		return c.Name + ".log"
	}
	return fmt.Sprintf("%s-%d.log", c.Service, c.Number)
}

// keep writes one container's log down until ctx ends or the container is gone.
func (w *logWriter) keep(ctx context.Context, c *Container, file *logFile) {
	t := &tailer{Engine: w.Engine, c: c, watch: w.watch}
	since := file.open(ctx)
	if !since.IsZero() {
		t.opts.Since = since.Format(time.RFC3339Nano)
	}
	woken, done := w.watch.on(ctx, c.ID)
	defer done()
	for pause := minPause; ctx.Err() == nil; {
		state, err := t.inspectLog(ctx)
		if err == nil && state.Config == nil {
			return
		}
		if err == nil {
			err = t.stream(ctx, state.Config.Tty, woken, func(l LogLine) { file.write(ctx, l) })
		}
		if t.unreadable != nil {
			w.Trouble(t.unreadable)
			return
		}
		if err == nil && !t.stillRuns(ctx, woken, state.State.FinishedAt) {
			pause = minPause
			continue
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, maxPause)
		case <-ctx.Done():
		}
	}
}

// stillRuns tells, after a log has ended, whether the container runs nevertheless: then the end may have been the Engine's.
// Else it waits until the container has run again, or is gone.
func (t *tailer) stillRuns(ctx context.Context, woken <-chan struct{}, finished string) bool {
	for {
		c, err := t.inspectLog(ctx)
		switch {
		case err != nil, c.Config == nil:
			return false // keep finds out
		case c.State.Running:
			return true
		case c.State.FinishedAt != finished:
			return false
		}
		select {
		case <-woken:
		case <-ctx.Done():
			return false
		}
	}
}
