package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
	"golang.org/x/sync/errgroup"
)

// LogLine is one line that a container wrote.
type LogLine struct {
	// Container and Service name the writer.
	Container, Service string
	// Stderr tells which stream; a container with a terminal has only stdout.
	Stderr bool
	// Time is when the Engine received the line.
	Time time.Time
	Text string
}

// LogOptions choose log lines.
type LogOptions struct {
	// Project is the containers' project.
	Project    string
	Containers []*Container
	// Follow goes on with new lines, through restarts, until ctx ends or no container will write any more.
	Follow bool
	// Tail is "all" or a number of last lines; "" means all.
	Tail string
	// Since and Until are as the Engine takes them: RFC 3339, Unix seconds, or a duration before now.
	Since, Until string
}

// Logs hands the containers' log lines to sink, from one goroutine, each container's own in order.
func (e *Engine) Logs(ctx context.Context, opts LogOptions, sink func(LogLine)) error {
	lines := make(chan LogLine)
	watch := e.newWatch(opts.Project)
	defer watch.close()
	readers, ctx := errgroup.WithContext(ctx)
	for _, c := range opts.Containers {
		readers.Go(func() error {
			t := &tailer{Engine: e, c: c, opts: opts, watch: watch, lines: lines}
			return t.run(ctx)
		})
	}
	ended := make(chan error, 1)
	go func() {
		ended <- readers.Wait()
		close(lines)
	}()
	for line := range lines {
		sink(line)
	}
	return <-ended
}

// tailer reads one container's log.
type tailer struct {
	*Engine
	c     *Container
	opts  LogOptions
	watch *watch
	lines chan<- LogLine
	// last is the time of the last line handed on: after a restart, reading goes on behind it.
	last time.Time
}

func (t *tailer) run(ctx context.Context) error {
	woken, done := (<-chan struct{})(nil), func() {}
	if t.opts.Follow {
		woken, done = t.watch.on(ctx, t.c.ID)
	}
	defer done()
	for {
		c, err := t.api.ContainerInspect(ctx, t.c.ID)
		switch {
		case errdefs.IsNotFound(err), ctx.Err() != nil:
			return nil
		case err != nil:
			return t.reading(ctx, "log", err)
		}
		if err := t.read(ctx, c.Config != nil && c.Config.Tty); err != nil {
			return err
		}
		if !t.opts.Follow || !t.comesBack(ctx, woken) {
			return nil
		}
	}
}

// comesBack waits for a container whose log has ended, and tells whether it runs again.
func (t *tailer) comesBack(ctx context.Context, woken <-chan struct{}) bool {
	for {
		c, err := t.api.ContainerInspect(ctx, t.c.ID)
		switch {
		case err != nil || c.ContainerJSONBase == nil || c.State == nil:
			return false
		case c.State.Status == container.StateRunning:
			return true
		case c.State.Status != container.StateRestarting && c.State.Status != container.StateCreated:
			return false
		}
		select {
		case <-woken:
		case <-ctx.Done():
			return false
		}
	}
}

// read hands on lines until the stream ends. Timestamps are always asked for, so that reading can be taken up again.
func (t *tailer) read(ctx context.Context, tty bool) error {
	options := container.LogsOptions{
		ShowStdout: true, ShowStderr: true, Timestamps: true,
		Follow: t.opts.Follow, Tail: t.opts.Tail, Since: t.opts.Since, Until: t.opts.Until,
	}
	if !t.last.IsZero() {
		next := t.last.Add(time.Nanosecond)
		options.Since, options.Tail = fmt.Sprintf("%d.%09d", next.Unix(), next.Nanosecond()), ""
	}
	stream, err := t.api.ContainerLogs(ctx, t.c.ID, options)
	if err != nil {
		if ctx.Err() != nil || errdefs.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("reading the log of %s: %w", t.c.Name, err)
	}
	defer stream.Close()
	stdout := &lineWriter{emit: func(line string) { t.emit(ctx, line, false) }}
	stderr := &lineWriter{emit: func(line string) { t.emit(ctx, line, true) }}
	defer stdout.flush()
	defer stderr.flush()
	if tty {
		_, err = io.Copy(stdout, stream)
	} else {
		_, err = stdcopy.StdCopy(stdout, stderr, stream)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("reading the log of %s: %w", t.c.Name, err)
	}
	return nil
}

func (t *tailer) emit(ctx context.Context, line string, stderr bool) {
	stamp, text, _ := strings.Cut(line, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		text = line // the second piece of an overlong line
	} else {
		t.last = at
	}
	select {
	case t.lines <- LogLine{Container: t.c.Name, Service: t.c.Service, Stderr: stderr, Time: at, Text: strings.TrimSuffix(text, "\r")}:
	case <-ctx.Done():
	}
}

// lineWriter cuts what is written into lines. A line longer than the limit is handed on in pieces: a container must not
// be able to fill this process's memory.
type lineWriter struct {
	emit func(string)
	rest []byte
}

const maxLine = 1 << 20

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			break
		}
		w.emit(string(line))
		w.rest = rest
	}
	if len(w.rest) > maxLine {
		w.flush()
	}
	return len(p), nil
}

func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.emit(string(w.rest))
		w.rest = nil
	}
}

// lastLogs reads the last lines that a container wrote, for the report of its failure; none if they can't be had.
func (r *run) lastLogs(ctx context.Context, c ref) []string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.opts.AnswerWithin)
	defer cancel()
	var lines []string
	// What can't be read is left out: the failure itself is what must be told.
	_ = r.Logs(ctx, LogOptions{
		Project:    r.plan.Project,
		Containers: []*Container{{ID: r.id(c), Name: c.name}},
		Tail:       strconv.Itoa(failureLines),
	}, func(l LogLine) { lines = append(lines, l.Text) })
	return lines
}

// failureLines is how many last lines of a log, or of a hook, tell of a failure.
const failureLines = 10
