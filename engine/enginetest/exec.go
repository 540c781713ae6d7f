package enginetest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

// execution is a command that is run in a container. Engine.mu guards started, done and code.
type execution struct {
	id            string
	container     *ctr
	argv, env     []string
	user, dir     string
	tty           bool
	stdin, stdout bool
	stderr        bool
	started, done bool
	code          *int
}

// createExec answers POST /containers/*/exec.
func (e *Engine) createExec(r *request) error {
	var body container.ExecOptions
	if err := r.read(&body); err != nil {
		return err
	}
	var x *execution
	if err := e.with(r, func(c *ctr) error {
		if len(body.Cmd) == 0 {
			return fail(http.StatusBadRequest, "No exec command specified")
		}
		if err := e.mustRun(c, r.name); err != nil {
			return err
		}
		x = &execution{
			id: newID(), container: c, argv: body.Cmd, env: body.Env, user: body.User, dir: body.WorkingDir, tty: body.Tty,
			stdin: body.AttachStdin, stdout: body.AttachStdout, stderr: body.AttachStderr,
		}
		e.execs[x.id] = x
		e.tell(c, x.action("exec_create"), "execID", x.id)
		return nil
	}); err != nil {
		return err
	}
	return r.reply(http.StatusCreated, map[string]string{"Id": x.id})
}

// mustRun refuses an exec in a container that can't have one; ref is what the caller named.
func (e *Engine) mustRun(c *ctr, ref string) error {
	switch {
	case !c.running:
		return e.notRunning(c)
	case c.paused:
		return fail(http.StatusConflict, "Container %s is paused, unpause the container before exec", ref)
	case c.restarting:
		return fail(http.StatusConflict, "Container %s is restarting, wait until the container is running", c.id)
	}
	return nil
}

// action names the command in an event: "exec_create: sh -c true".
func (x *execution) action(what string) events.Action {
	return events.Action(what + ": " + x.argv[0] + " " + strings.Join(x.argv[1:], " "))
}

// exec finds an execution.
func (e *Engine) exec(id string) (*execution, error) {
	if x := e.execs[id]; x != nil {
		return x, nil
	}
	return nil, fail(http.StatusNotFound, "No such exec instance: %s", id)
}

// startExec answers POST /exec/*/start: in the background, or over the call's own connection.
func (e *Engine) startExec(r *request) error {
	var body container.ExecStartOptions
	if err := r.read(&body); err != nil {
		return err
	}
	e.mu.Lock()
	x, err := e.exec(r.name)
	var p *process
	if err == nil {
		p = x.container.proc
		switch {
		case x.started && x.done, x.started:
			err = fail(http.StatusConflict, "Error: Exec command %s has already run", x.id)
		case p == nil:
			err = e.mustRun(x.container, x.container.id)
		default:
			x.started = true
		}
	}
	e.mu.Unlock()
	if err != nil {
		return err
	}
	if body.Detach {
		e.task(func() { e.runExec(p.ctx, x, strings.NewReader(""), io.Discard, io.Discard) })
		return r.done(http.StatusOK)
	}
	conn, in, done, err := r.hijack(r.streamType(x.tty))
	if err != nil {
		return err
	}
	defer done()
	var stdin io.Reader = strings.NewReader("")
	if x.stdin {
		pipe := newStdinPipe()
		e.task(func() { pipe.copyFrom(in) })
		stdin = pipe
	}
	stdout, stderr := outputs(conn, x.tty, x.stdout, x.stderr)
	e.runExec(p.ctx, x, stdin, stdout, stderr)
	return nil
}

// outputs are the writers for a hijacked connection's two streams.
func outputs(conn io.Writer, tty, stdout, stderr bool) (io.Writer, io.Writer) {
	mu := &sync.Mutex{}
	pick := func(on bool, stream byte) io.Writer {
		if !on {
			return io.Discard
		}
		if tty {
			return conn
		}
		return frames{mu, conn, stream}
	}
	return pick(stdout, 1), pick(stderr, 2)
}

// frames writes a multiplexed stream.
type frames struct {
	mu     *sync.Mutex
	w      io.Writer
	stream byte
}

func (f frames) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(p), frame(f.w, f.stream, p)
}

// runExec runs a command in a container to its end, with its events, and returns its exit code.
func (e *Engine) runExec(ctx context.Context, x *execution, stdin io.Reader, stdout, stderr io.Writer) int {
	e.mu.Lock()
	c := x.container
	if e.execs[x.id] == nil { // a probe's
		e.tell(c, x.action("exec_create"), "execID", x.id)
	}
	e.tell(c, x.action("exec_start"), "execID", x.id)
	e.mu.Unlock()
	s := newShell(e, c, ctx)
	s.stdin, s.stdout, s.stderr = stdin, stdout, stderr
	if x.tty {
		s.stderr = stdout
	}
	if x.dir != "" {
		s.dir = x.dir
	}
	for _, variable := range x.env {
		name, value, _ := strings.Cut(variable, "=")
		s.env[name] = value
	}
	code := 0
	if message := c.files.unexecutable(x.argv[0], s.dir); message != "" {
		code = 126
		if e.atLeast("1.44") {
			code = 127
		}
		_, _ = io.WriteString(stdout, "OCI runtime exec failed: exec failed: unable to start container process: "+message+": unknown\r\n")
	} else {
		code = s.exec(x.argv)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		code = 128 + sigKill
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	x.done, x.code = true, &code
	e.tell(c, events.ActionExecDie, "execID", x.id, "exitCode", strconv.Itoa(code))
	return code
}

// inspectExec answers GET /exec/*/json.
func (e *Engine) inspectExec(r *request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	x, err := e.exec(r.name)
	if err != nil {
		return err
	}
	return r.reply(http.StatusOK, map[string]any{
		"ID": x.id, "Running": x.started && !x.done, "ExitCode": x.code, "ContainerID": x.container.id, "Pid": 0, "CanRemove": false,
		"OpenStdin": x.stdin, "OpenStdout": x.stdout, "OpenStderr": x.stderr, "DetachKeys": "",
		"ProcessConfig": map[string]any{"tty": x.tty, "entrypoint": x.argv[0], "arguments": slices.Clone(x.argv[1:]), "privileged": false, "user": x.user},
	})
}

// attachContainer answers POST /containers/*/attach: the container's output from now on (with logs=1, from its
// beginning), and its standard input.
func (e *Engine) attachContainer(r *request) error {
	q := logQuery{streams: [3]bool{1: r.flag("stdout"), 2: r.flag("stderr")}, tail: -1}
	var c *ctr
	var exits int
	var p *process
	if err := e.with(r, func(found *ctr) error {
		c, exits, p = found, found.exits, found.proc
		if c.paused {
			return fail(http.StatusConflict, "container %s is paused, unpause the container before attach", r.name)
		}
		return nil
	}); err != nil {
		return err
	}
	q.raw = c.config.Tty
	lines, _ := c.log.since(0)
	next := len(lines)
	conn, in, done, err := r.hijack(r.streamType(q.raw))
	if err != nil {
		return err
	}
	defer done()
	if r.flag("logs") {
		if err := q.write(conn, q.choose(lines, true)); err != nil {
			return gone(err)
		}
	}
	if !r.flag("stream") {
		return nil
	}
	if r.flag("stdin") && c.config.OpenStdin {
		e.task(func() { e.feed(c, p, in) })
	}
	// The request's own context ends with the caller's input.
	return e.follow(e.background, conn, c, q, next, exits)
}

// feed passes an attached caller's input on to the process, the next one if none runs yet.
func (e *Engine) feed(c *ctr, p *process, in io.Reader) {
	for p == nil {
		e.mu.Lock()
		p = c.proc
		changed := c.changed
		e.mu.Unlock()
		if p != nil {
			break
		}
		select {
		case <-changed:
		case <-e.background.Done():
			return
		}
	}
	p.stdin.copyFrom(in)
}

// stdinPipe is a process's standard input: what is written into it is kept until it is read.
type stdinPipe struct {
	mu     sync.Mutex
	data   []byte
	closed bool
	more   chan struct{}
}

func newStdinPipe() *stdinPipe { return &stdinPipe{more: make(chan struct{})} }

func (p *stdinPipe) copyFrom(r io.Reader) {
	buffer := make([]byte, 4096)
	for {
		n, err := r.Read(buffer)
		p.mu.Lock()
		p.data = append(p.data, buffer[:n]...)
		p.closed = err != nil
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// readOr reads what is there, or waits for more until ctx ends.
func (p *stdinPipe) readOr(ctx context.Context, b []byte) (int, error) {
	for {
		p.mu.Lock()
		n := copy(b, p.data)
		p.data = p.data[n:]
		closed, more := p.closed, p.more
		p.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		if closed {
			return 0, io.EOF
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, io.EOF
		}
	}
}

// Read reads what is there, or waits for more.
func (p *stdinPipe) Read(b []byte) (int, error) { return p.readOr(context.Background(), b) }
