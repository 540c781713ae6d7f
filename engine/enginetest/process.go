package enginetest

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The signals that matter here, by their Linux numbers.
const (
	sigKill = 9
	sigTerm = 15
)

// signalNames are those that a stop_signal or a trap may name.
func signalNames() map[string]int {
	return map[string]int{
		"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11,
		"USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "CHLD": 17, "CONT": 18, "STOP": 19, "TSTP": 20, "TTIN": 21, "TTOU": 22,
		"URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "WINCH": 28, "IO": 29, "PWR": 30, "SYS": 31,
	}
}

// parseSignal reads "SIGTERM", "term" or "15".
func parseSignal(text string) (int, error) {
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n < 65 {
		return n, nil
	}
	if n, ok := signalNames()[strings.TrimPrefix(strings.ToUpper(text), "SIG")]; ok {
		return n, nil
	}
	return 0, fail(http.StatusBadRequest, "Invalid signal: %s", text)
}

// harmless tells whether the default action of a signal is not to end a process.
func harmless(number int) bool {
	return slices.Contains([]int{17, 18, 19, 20, 21, 22, 23, 28}, number)
}

// program is what a container or an exec runs.
type program struct {
	argv []string
	// nap: it only sleeps, for that long, or for ever if negative; no goroutine is needed for that.
	nap      bool
	duration time.Duration
}

// program resolves the container's command, and fails in runc's words where there is none.
func (e *Engine) program(c *ctr) (*program, error) {
	argv := slices.Concat(c.config.Entrypoint, c.config.Cmd)
	if problem := c.files.unexecutable(argv[0], c.config.WorkingDir); problem != "" {
		problem = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: " + problem
		if e.atLeast("1.44") {
			problem = "failed to create task for container: " + problem
		}
		if !e.atLeast("1.48") {
			problem += ": unknown"
		}
		return nil, fail(http.StatusBadRequest, "%s", problem)
	}
	p := &program{argv: argv}
	switch path.Base(argv[0]) {
	case "sleep":
		if d, err := sleepTime(argv[1:]); err == nil {
			p.nap, p.duration = true, d
		}
	case "tail":
		if slices.Equal(argv[1:], []string{"-f", "/dev/null"}) {
			p.nap, p.duration = true, -1
		}
	}
	return p, nil
}

// unexecutable says, in the words of Go's exec as runc prints them, why a command can't be run; "" if it can.
func (f *files) unexecutable(name, dir string) string {
	if !strings.Contains(name, "/") {
		if isCommand(name) || f.find(name) != "" {
			return ""
		}
		return `exec: "` + name + `": executable file not found in $PATH`
	}
	full := path.Join("/", dir, name)
	if path.IsAbs(name) {
		full = path.Clean(name)
	}
	switch {
	case f.exists(full), isCommand(path.Base(full)) && slices.Contains(binDirs(), path.Dir(full)):
		return ""
	}
	return `exec: "` + name + `": stat ` + name + `: no such file or directory`
}

// binDirs are where programs are looked for.
func binDirs() []string {
	return []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
}

// process is a container's first process. Engine.mu guards it but for ctx.
type process struct {
	e      *Engine
	c      *ctr
	prog   *program
	ctx    context.Context
	cancel context.CancelFunc

	// traps are the commands for signals, "" for one that is ignored; pending the signals that wait for theirs.
	traps   map[int]string
	pending chan int
	// resumed is closed when a paused process goes on; nil while it isn't paused.
	resumed chan struct{}
	timer   *time.Timer
	// due: its sleep ended while it was paused.
	due bool
	// healthSet: SetHealth decides, no longer the probes.
	healthSet bool
	stdin     *stdinPipe
}

func (e *Engine) newProcess(c *ctr, prog *program) *process {
	ctx, cancel := context.WithCancel(e.background)
	p := &process{e: e, c: c, prog: prog, ctx: ctx, traps: map[int]string{}, pending: make(chan int, 16), stdin: newStdinPipe()}
	p.cancel = func() {
		cancel()
		if p.timer != nil {
			p.timer.Stop()
		}
	}
	return p
}

// run sets the process going. The caller holds e.mu.
func (p *process) run() {
	if !p.prog.nap {
		p.e.task(func() {
			code := p.shell().exec(p.prog.argv)
			p.c.log.flush()
			p.e.mu.Lock()
			defer p.e.mu.Unlock()
			p.e.exited(p.c, p, code)
		})
		return
	}
	if p.prog.duration < 0 {
		return
	}
	p.timer = time.AfterFunc(p.e.scaled(p.prog.duration), func() {
		p.e.mu.Lock()
		defer p.e.mu.Unlock()
		if p.resumed != nil {
			p.due = true
			return
		}
		p.e.exited(p.c, p, 0)
	})
}

// shell is the shell that runs the container's command, with what it may reach.
func (p *process) shell() *shell {
	s := newShell(p.e, p.c, p.ctx)
	s.process = p
	s.stdout, s.stderr = p.c.log.writer(1), p.c.log.writer(2)
	s.stdin = p.stdin
	if !p.c.config.OpenStdin {
		s.stdin = strings.NewReader("")
	}
	if p.c.config.Tty {
		s.stderr = s.stdout
	}
	return s
}

// deliver acts on a signal as the kernel does: the first process of a PID namespace gets only what it asks for.
func (p *process) deliver(number int) {
	command, trapped := p.traps[number]
	switch {
	case number == sigKill:
		p.e.exited(p.c, p, 128+sigKill)
	case trapped && command != "":
		select {
		case p.pending <- number:
		default: // as the kernel: one that is pending already is not queued again
		}
	case trapped, number == 0, harmless(number), p.isFirst():
	default:
		p.e.exited(p.c, p, 128+number)
	}
}

// isFirst tells whether the process is its namespace's first; with "init: true" tini is.
func (p *process) isFirst() bool {
	withInit := p.c.host.Init != nil && *p.c.host.Init
	return !withInit && p.c.host.PidMode == ""
}

// pause freezes the process, or lets it go on.
func (p *process) pause(on bool) {
	if on {
		p.resumed = make(chan struct{})
		return
	}
	if p.resumed != nil {
		close(p.resumed)
		p.resumed = nil
	}
	if p.due {
		p.due = false
		p.e.exited(p.c, p, 0)
	}
}

// thaw waits while the process is paused.
func (p *process) thaw() {
	p.e.mu.Lock()
	resumed := p.resumed
	p.e.mu.Unlock()
	if resumed == nil {
		return
	}
	select {
	case <-resumed:
	case <-p.ctx.Done():
	}
}

// Exit ends a container's process from within, with that code: its restart policy applies.
func (e *Engine) Exit(name string, code int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.container(name)
	if err != nil {
		return err
	}
	if c.proc == nil {
		return fail(http.StatusConflict, "container %s is not running", name)
	}
	e.exited(c, c.proc, code)
	return nil
}

// Kill ends a container's process as a SIGKILL that nobody asked the Engine for does: its restart policy applies.
func (e *Engine) Kill(name string) error { return e.Exit(name, 128+sigKill) }
