package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
)

// tailer reads one container's log, and takes the reading up again behind the last line: after a restart of the container,
// or of the Engine.
type tailer struct {
	*Engine
	c     *Container
	opts  LogOptions
	watch *watch
	// read is how far each stream was read, stdout first.
	read [2]mark
	// active is kept by who runs it.
	active bool
	// unreadable is why the Engine can't read the log: its driver keeps none.
	unreadable error
}

// mark is a place in a stream, whose stamps never go back: behind n lines of the same stamp.
type mark struct {
	at time.Time
	n  int
}

// disorder bounds how much earlier than a line of one stream the line of the other may be that stands behind it in the log:
// the Engine stamps each stream's lines before it takes turns in writing them down.
const disorder = 10 * time.Second

// resumeAt is the time from which the log must be read again, so that no line is missing; what was read is left out by
// [position]. It is zero before the first line.
func (t *tailer) resumeAt() time.Time {
	first, last := t.read[0].at, t.read[1].at
	if last.Before(first) {
		first, last = last, first
	}
	if oldest := last.Add(-disorder); !last.IsZero() && first.Before(oldest) {
		return oldest
	}
	return first
}

// position counts the lines of one reading, to leave out those of earlier ones.
type position struct {
	mark *mark
	// until is where the earlier readings ended, passed the number of lines with that stamp.
	until  mark
	passed int
}

// isNew takes note of a line with that stamp, and tells whether no earlier reading had it.
func (p *position) isNew(at time.Time) bool {
	switch {
	case at.Before(p.until.at):
		return false
	case at.Equal(p.until.at):
		if p.passed++; p.passed <= p.until.n {
			return false
		}
	}
	if !at.Equal(p.mark.at) {
		*p.mark = mark{at: at}
	}
	p.mark.n++
	return true
}

// readOnce hands on what the log holds.
func (t *tailer) readOnce(ctx context.Context, sink func(LogLine)) error {
	c, err := t.inspectLog(ctx)
	if err != nil || c.Config == nil {
		return err
	}
	return t.stream(ctx, c.Config.Tty, nil, sink)
}

// inspectLog reads the container; one that is gone, or whose reading was given up, is none.
func (t *tailer) inspectLog(ctx context.Context) (container.InspectResponse, error) {
	brief, cancel := context.WithTimeout(ctx, t.Engine.opts.AnswerWithin)
	defer cancel()
	c, err := t.api.ContainerInspect(brief, t.c.ID)
	switch {
	case errdefs.IsNotFound(err), ctx.Err() != nil:
		return container.InspectResponse{}, nil
	case err != nil:
		return c, t.reading(brief, "the log of "+t.c.Name, err)
	}
	return c, nil
}

// follow hands on lines until the container will write no more.
func (t *tailer) follow(ctx context.Context, sink func(LogLine)) error {
	woken, done := t.watch.on(ctx, t.c.ID)
	defer done()
	for {
		c, err := t.inspectLog(ctx)
		if err != nil || c.Config == nil {
			return err
		}
		if err := t.stream(ctx, c.Config.Tty, woken, sink); err != nil {
			return err
		}
		if !t.comesBack(ctx, woken) {
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

// overdue is how long after a container's end the Engine may take to end the log that is followed.
const overdue = 5 * time.Second

// stream hands on what the log holds, and, where woken is given, what comes, until the container has ended. An Engine forgets
// to end a log that it began to give in the moment of the container's end (moby daemon/logger/jsonfilelog: who follows is
// told by Close, if it was entered before): such a one is cut off, and its rest read.
func (t *tailer) stream(ctx context.Context, tty bool, woken <-chan struct{}, sink func(LogLine)) error {
	if woken == nil {
		return t.copy(ctx, tty, false, sink)
	}
	following, cut := context.WithCancel(ctx)
	defer cut()
	ended := make(chan struct{})
	var guard sync.WaitGroup
	guard.Go(func() { t.guard(following, woken, ended, cut) })
	err := t.copy(following, tty, true, sink)
	close(ended)
	guard.Wait()
	if following.Err() != nil && ctx.Err() == nil {
		return t.copy(ctx, tty, false, sink)
	}
	return err
}

// guard cuts a log that goes on although its container has ended a while ago.
func (t *tailer) guard(ctx context.Context, woken <-chan struct{}, ended <-chan struct{}, cut func()) {
	check := time.NewTimer(overdue)
	check.Stop() // whoever calls looked at the container, and is woken by what happened since
	defer check.Stop()
	for {
		select {
		case <-woken:
			check.Reset(overdue)
		case <-check.C:
			if c, err := t.inspectLog(ctx); err == nil && (c.Config == nil || !c.State.Running) {
				cut()
				return
			}
		case <-ended:
			return
		}
	}
}

// copy hands on lines until the Engine's answer ends. Stamps are always asked for, so that reading can be taken up again.
func (t *tailer) copy(ctx context.Context, tty, follow bool, sink func(LogLine)) error {
	options := container.LogsOptions{
		ShowStdout: true, ShowStderr: true, Timestamps: true,
		Follow: follow, Tail: t.opts.Tail, Since: exactly(t.opts.Since), Until: exactly(t.opts.Until),
	}
	if resume := t.resumeAt(); !resume.IsZero() {
		options.Since, options.Tail = fmt.Sprintf("%d.%09d", resume.Unix(), resume.Nanosecond()), ""
	}
	answer, err := t.api.ContainerLogs(ctx, t.c.ID, options)
	switch {
	case err == nil:
	case ctx.Err() != nil, errdefs.IsNotFound(err):
		return nil
	case errdefs.IsNotImplemented(err):
		t.unreadable = fmt.Errorf("reading the log of %s: %w", t.c.Name, err)
		return nil
	default:
		return fmt.Errorf("reading the log of %s: %w", t.c.Name, err)
	}
	defer answer.Close()
	stdout, stderr := t.lines(false, sink), t.lines(true, sink)
	if tty {
		_, err = io.Copy(stdout, answer)
	} else {
		err = copyFrames(stdout, stderr, answer)
	}
	stdout.flush()
	stderr.flush()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("reading the log of %s: %w", t.c.Name, err)
	}
	return nil
}

// lines gives a writer that parts one stream into lines and hands on those that no earlier reading had.
func (t *tailer) lines(stderr bool, sink func(LogLine)) *lineWriter {
	read := &t.read[0]
	if stderr {
		read = &t.read[1]
	}
	place := &position{mark: read, until: *read}
	return &lineWriter{emit: func(at time.Time, text string) {
		if place.isNew(at) {
			sink(LogLine{Container: t.c.Name, Service: t.c.Service, Stderr: stderr, Time: at, Text: text})
		}
	}}
}

// lineWriter parts a log with stamps into lines. The Engine keeps a line that is longer than 16 KiB in pieces, stamps each of
// them alike, and gives each in a frame of its own, or, for a terminal, one behind the other: they become one line again. One
// longer than the limit is handed on in parts, for a container must not be able to fill this process's memory.
type lineWriter struct {
	emit func(at time.Time, text string)
	// rest is a line that was begun, without its stamp.
	rest  []byte
	at    time.Time
	stamp []byte
}

const (
	maxLine = 1 << 20
	// pieceSize is where the Engine cuts (moby daemon/logger/copier.go).
	pieceSize = 16 << 10
)

func (w *lineWriter) Write(p []byte) (int, error) {
	written := len(p)
	if w.stamp != nil {
		p = bytes.TrimPrefix(p, w.stamp) // the next piece of the same line
	}
	for len(p) > 0 {
		text, rest, ended := bytes.Cut(p, []byte("\n"))
		w.rest = append(w.rest, text...)
		w.begin()
		if ended || len(w.rest) > maxLine {
			w.end(!ended)
		}
		p = rest
	}
	return written, nil
}

// begin takes the stamp off a line, once it is there as a whole.
func (w *lineWriter) begin() {
	if w.stamp != nil {
		return
	}
	stamp, _, found := bytes.Cut(w.rest, []byte(" "))
	if at, err := time.Parse(time.RFC3339Nano, string(stamp)); found && err == nil {
		w.at, w.stamp = at, append(bytes.Clone(stamp), ' ')
		w.rest = w.rest[len(w.stamp):]
	}
}

// end hands a line on, or a part of it that goes on.
func (w *lineWriter) end(part bool) {
	w.emit(w.at, strings.TrimSuffix(string(w.joined()), "\r"))
	w.rest = w.rest[:0]
	if !part {
		w.stamp = nil
	}
}

// joined is the line without the stamps of its further pieces, where they were not frames.
func (w *lineWriter) joined() []byte {
	if len(w.rest) <= pieceSize || w.stamp == nil {
		return w.rest
	}
	var whole []byte
	rest := w.rest
	for len(rest) > pieceSize {
		whole = append(whole, rest[:pieceSize]...)
		rest = bytes.TrimPrefix(rest[pieceSize:], w.stamp)
	}
	return append(whole, rest...)
}

func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.end(false)
	}
}
