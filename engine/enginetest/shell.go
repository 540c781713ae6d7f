package enginetest

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// shell runs commands in a container as busybox's sh does, as far as a test's images need it.
type shell struct {
	e   *Engine
	c   *ctr
	ctx context.Context
	// process is set in the shell that is the container's first process: only that one gets signals.
	process *process

	env                    map[string]string
	args                   []string
	dir                    string
	stdin                  io.Reader
	stdout, stderr         io.Writer
	last                   int
	jobs                   *sync.WaitGroup
	exitOnError, unguarded bool
	// depth bounds recursion: a script can call itself.
	depth int
}

// outcome is how a command ended, if it was not by simply being done.
type outcome int

const (
	goOn outcome = iota
	leave
	breakLoop
	continueLoop
)

func newShell(e *Engine, c *ctr, ctx context.Context) *shell {
	s := &shell{e: e, c: c, ctx: ctx, dir: "/", jobs: &sync.WaitGroup{}, env: map[string]string{
		"PATH":     "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOSTNAME": c.config.Hostname,
		"HOME":     "/root",
	}}
	for _, variable := range c.config.Env {
		name, value, _ := strings.Cut(variable, "=")
		s.env[name] = value
	}
	if c.config.WorkingDir != "" {
		s.dir = c.config.WorkingDir
	}
	return s
}

// exec runs a command that no shell has read, and returns its exit code.
func (s *shell) exec(argv []string) int {
	code, _ := s.call(argv)
	return code
}

// clone is the shell for a subshell, a pipeline's part, or a job.
func (s *shell) clone() *shell {
	sub := *s
	sub.env = map[string]string{}
	for name, value := range s.env {
		sub.env[name] = value
	}
	sub.process = nil
	return &sub
}

// script parses and runs a text.
func (s *shell) script(text string) (int, outcome) {
	l, err := parse(text)
	if err != nil {
		fmt.Fprintf(s.stderr, "sh: %s\n", err)
		return 2, leave
	}
	code, how := s.list(l)
	return code, how
}

func (s *shell) list(l list) (int, outcome) {
	for _, it := range l.items {
		if it.background {
			s.background(it.cmd)
			s.last = 0
			continue
		}
		code, how := s.run(it.cmd)
		s.last = code
		if how == goOn {
			code, how = s.trapped(code)
			s.last = code
		}
		if how != goOn {
			return code, how
		}
		if s.exitOnError && code != 0 && !s.unguarded {
			return code, leave
		}
	}
	return s.last, goOn
}

// background runs a command as a job, which ends with the container.
func (s *shell) background(cmd command) {
	sub := s.clone()
	sub.jobs = &sync.WaitGroup{}
	s.jobs.Add(1)
	s.e.task(func() {
		defer s.jobs.Done()
		sub.run(cmd)
		sub.jobs.Wait()
	})
}

func (s *shell) run(cmd command) (int, outcome) {
	if s.ctx.Err() != nil {
		return 128 + sigKill, leave
	}
	switch c := cmd.(type) {
	case list:
		return s.list(c)
	case andOr:
		code, how := s.guarded(c.left)
		if how != goOn || (code == 0) == c.or {
			return code, how
		}
		return s.run(c.right)
	case pipeline:
		return s.pipeline(c)
	case conditional:
		code, how := s.guardedList(c.test)
		switch {
		case how != goOn:
			return code, how
		case code == 0:
			return s.list(c.then)
		case c.otherwise != nil:
			return s.run(c.otherwise)
		}
		return 0, goOn
	case loop:
		return s.loop(c)
	case forLoop:
		return s.forLoop(c)
	case group:
		return s.group(c)
	case simple:
		return s.simple(c)
	}
	return 0, goOn
}

// guarded runs a command whose failure "set -e" takes no notice of.
func (s *shell) guarded(cmd command) (int, outcome) {
	before := s.unguarded
	s.unguarded = true
	defer func() { s.unguarded = before }()
	return s.run(cmd)
}

func (s *shell) guardedList(l list) (int, outcome) { return s.guarded(l) }

func (s *shell) loop(c loop) (int, outcome) {
	last := 0
	for {
		code, how := s.guardedList(c.test)
		if how != goOn {
			return code, how
		}
		if (code == 0) == c.until {
			return last, goOn
		}
		last, how = s.list(c.body)
		if how == breakLoop {
			return 0, goOn
		}
		if how == leave {
			return last, leave
		}
		if s.ctx.Err() != nil {
			return 128 + sigKill, leave
		}
		// A loop without a pause in it must not take a whole core.
		if !rest(s.ctx, 100*time.Microsecond) {
			return 128 + sigKill, leave
		}
	}
}

func (s *shell) forLoop(c forLoop) (int, outcome) {
	last := 0
	for _, value := range s.expandAll(c.words) {
		s.env[c.name] = value
		code, how := s.list(c.body)
		if how == breakLoop {
			return 0, goOn
		}
		if how == leave {
			return code, leave
		}
		last = code
	}
	return last, goOn
}

func (s *shell) group(c group) (int, outcome) {
	run := s
	if c.sub {
		run = s.clone()
	}
	restore, problem := run.redirect(c.redirs)
	defer restore()
	if problem != "" {
		fmt.Fprintln(s.stderr, problem)
		return 1, goOn
	}
	code, how := run.list(c.body)
	if c.sub {
		how = goOn
	}
	return code, how
}

// pipeline runs its parts at the same time, each reading what the one before writes.
func (s *shell) pipeline(c pipeline) (int, outcome) {
	code, how := 0, goOn
	if len(c.cmds) == 1 {
		code, how = s.guarded(c.cmds[0])
	} else {
		code = s.pipe(c.cmds)
	}
	if c.negate {
		if code == 0 {
			code = 1
		} else {
			code = 0
		}
	}
	return code, how
}

func (s *shell) pipe(cmds []command) int {
	var parts sync.WaitGroup
	in := s.stdin
	code := 0
	for i, cmd := range cmds {
		sub := s.clone()
		sub.stdin = in
		var out *io.PipeWriter
		if i < len(cmds)-1 {
			var next *io.PipeReader
			next, out = io.Pipe()
			in, sub.stdout = next, out
		}
		from, last := sub.stdin, i == len(cmds)-1
		parts.Add(1)
		s.e.task(func() {
			defer parts.Done()
			result, _ := sub.run(cmd)
			if last {
				code = result
			}
			if out != nil {
				out.Close()
			}
			if r, ok := from.(*io.PipeReader); ok {
				r.Close() // who writes on gets the broken pipe
			}
		})
	}
	parts.Wait()
	return code
}

func (s *shell) simple(c simple) (int, outcome) {
	argv := s.expandAll(c.words)
	restore, problem := s.redirect(c.redirs)
	defer restore()
	if problem != "" {
		fmt.Fprintln(s.stderr, problem)
		return 1, goOn
	}
	if len(argv) == 0 {
		for _, a := range c.assigns {
			s.env[a.name] = s.joined(a.value)
		}
		return 0, goOn
	}
	if len(c.assigns) == 0 {
		return s.call(argv)
	}
	sub := s.clone()
	sub.process = s.process
	for _, a := range c.assigns {
		sub.env[a.name] = s.joined(a.value)
	}
	return sub.call(argv)
}

// maxDepth is how deep scripts may call scripts.
const maxDepth = 50

// call runs one command with its arguments: built in, or a script among the container's files.
func (s *shell) call(argv []string) (int, outcome) {
	if s.process != nil {
		s.process.thaw()
	}
	name := argv[0]
	if strings.Contains(name, "/") {
		full := s.path(name)
		if f := s.c.files.get(full); f != nil {
			return s.file(f, argv)
		}
		if !slices.Contains(binDirs(), path.Dir(full)) {
			fmt.Fprintf(s.stderr, "sh: %s: not found\n", name)
			return 127, goOn
		}
		name = path.Base(name)
	}
	if full := s.c.files.find(name); full != "" {
		return s.file(s.c.files.get(full), argv)
	}
	if f := commands()[name]; f != nil {
		return f(s, argv[1:])
	}
	fmt.Fprintf(s.stderr, "sh: %s: not found\n", name)
	return 127, goOn
}

// file runs a script.
func (s *shell) file(f *file, argv []string) (int, outcome) {
	if s.depth >= maxDepth {
		fmt.Fprintf(s.stderr, "sh: %s: too deep\n", argv[0])
		return 2, goOn
	}
	sub := s.clone()
	sub.process, sub.args, sub.depth = s.process, argv, s.depth+1
	code, _ := sub.script(string(f.data))
	return code, goOn
}

// path makes a path absolute.
func (s *shell) path(name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join("/", s.dir, name)
}
