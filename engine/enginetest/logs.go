package enginetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// logLine is one line that a container wrote, with its line feed unless it was cut.
type logLine struct {
	at     time.Time
	stream byte
	text   []byte
}

// logBook is a container's log, over all of its runs.
type logBook struct {
	mu    sync.Mutex
	lines []logLine
	// rest are the beginnings of lines, by stream.
	rest [3][]byte
	more chan struct{}
}

func newLogBook() *logBook { return &logBook{more: make(chan struct{})} }

// maxLogLine is where dockerd's copier cuts a line.
const maxLogLine = 16 << 10

func (b *logBook) write(stream byte, p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := append(b.rest[stream], p...)
	for {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 && len(rest) >= maxLogLine {
			end = maxLogLine
		}
		if end == 0 {
			break
		}
		b.add(stream, rest[:end])
		rest = rest[end:]
	}
	b.rest[stream] = bytes.Clone(rest)
}

func (b *logBook) add(stream byte, text []byte) {
	b.lines = append(b.lines, logLine{time.Now().UTC(), stream, bytes.Clone(text)})
	close(b.more)
	b.more = make(chan struct{})
}

// flush ends the lines that were begun, as the end of a process does.
func (b *logBook) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for stream, rest := range b.rest {
		if len(rest) > 0 {
			b.add(byte(stream), append(rest, '\n'))
			b.rest[stream] = nil
		}
	}
}

// since returns the lines from index i on, and the bell for more.
func (b *logBook) since(i int) ([]logLine, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines[min(i, len(b.lines)):], b.more
}

type logWriter struct {
	book   *logBook
	stream byte
}

func (w logWriter) Write(p []byte) (int, error) {
	w.book.write(w.stream, p)
	return len(p), nil
}

func (b *logBook) writer(stream byte) io.Writer { return logWriter{b, stream} }

// frame writes p as one frame of the multiplexed stream: its stream, three zeros, its length, itself.
func frame(w io.Writer, stream byte, p []byte) error {
	head := make([]byte, 8, 8+len(p))
	head[0] = stream
	binary.BigEndian.PutUint32(head[4:], uint32(len(p)))
	_, err := w.Write(append(head, p...))
	return err
}

// logQuery is what a caller wants of a log.
type logQuery struct {
	streams      [3]bool
	stamps       bool
	since, until time.Time
	tail         int
	raw          bool
}

func (r *request) logQuery() (q logQuery, err error) {
	q.streams = [3]bool{1: r.flag("stdout"), 2: r.flag("stderr")}
	if !q.streams[1] && !q.streams[2] {
		return q, fail(http.StatusBadRequest, "Bad parameters: you must choose at least one stream")
	}
	q.stamps = r.flag("timestamps")
	if q.since, err = parseTime(r.query.Get("since")); err != nil {
		return q, err
	}
	if q.until, err = parseTime(r.query.Get("until")); err != nil {
		return q, err
	}
	q.tail = -1
	if n, err := strconv.Atoi(r.query.Get("tail")); err == nil {
		q.tail = n
	}
	return q, nil
}

// choose keeps the lines that were asked for. The tail counts the lines of both streams, as json-file does.
func (q logQuery) choose(lines []logLine, tail bool) []logLine {
	if tail && q.tail >= 0 {
		lines = lines[max(0, len(lines)-q.tail):]
	}
	var chosen []logLine
	for _, l := range lines {
		if q.streams[l.stream] && !l.at.Before(q.since) && (q.until.IsZero() || !l.at.After(q.until)) {
			chosen = append(chosen, l)
		}
	}
	return chosen
}

func (q logQuery) write(w io.Writer, lines []logLine) error {
	for _, l := range lines {
		text := l.text
		if q.stamps {
			// Nine digits always, so that stamps sort as text (pkg jsonmessage, RFC3339NanoFixed).
			text = append([]byte(l.at.Format("2006-01-02T15:04:05.000000000Z07:00")+" "), text...)
		}
		var err error
		if q.raw {
			_, err = w.Write(text)
		} else {
			err = frame(w, l.stream, text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// containerLogs answers GET /containers/*/logs.
func (e *Engine) containerLogs(r *request) error {
	q, err := r.logQuery()
	if err != nil {
		return err
	}
	var c *ctr
	exits, running := 0, false
	if err := e.with(r, func(found *ctr) error {
		c, exits, running = found, found.exits, found.running
		if c.host.LogConfig.Type == "none" {
			return fail(http.StatusNotImplemented, "configured logging driver does not support reading")
		}
		return nil
	}); err != nil {
		return err
	}
	q.raw = c.config.Tty
	out := r.stream(r.streamType(q.raw))
	lines, _ := c.log.since(0)
	next := len(lines)
	if err := q.write(out, q.choose(lines, true)); err != nil || !r.flag("follow") || !running {
		return gone(err)
	}
	return e.follow(r.Context(), out, c, q, next, exits)
}

// streamType is the content type of a container's output.
func (r *request) streamType(raw bool) string {
	if raw || r.older("1.42") {
		return "application/vnd.docker.raw-stream"
	}
	return "application/vnd.docker.multiplexed-stream"
}

// follow writes new lines until the process ends, as a follower does whether or not it is started again, or ctx does.
func (e *Engine) follow(ctx context.Context, out io.Writer, c *ctr, q logQuery, next, exits int) error {
	var over <-chan time.Time
	if !q.until.IsZero() {
		timer := time.NewTimer(time.Until(q.until))
		defer timer.Stop()
		over = timer.C
	}
	for ended := false; ; {
		e.mu.Lock()
		ended = c.exits != exits || c.removed
		changed := c.changed
		e.mu.Unlock()
		lines, more := c.log.since(next)
		next += len(lines)
		if err := q.write(out, q.choose(lines, false)); err != nil || ended {
			return gone(err)
		}
		select {
		case <-more:
		case <-changed:
		case <-over:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}
