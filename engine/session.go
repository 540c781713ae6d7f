package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/moby/term"

	"galley/compose"
)

// Size is that of a terminal, in characters.
type Size struct {
	Rows, Columns uint
}

// Console is what a process in a container talks to.
type Console struct {
	// Stdin is passed on, and its end too; nil: the process has none.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// TTY gives the process a terminal: all that it writes comes to Stdout then.
	TTY bool
	// Sizes gives the terminal's size, first of all what it is at the beginning, then each change. nil leaves it alone.
	Sizes <-chan Size
	// DetachKeys are those that end the session and leave the process, as "ctrl-p,ctrl-q", which is what "" means. They
	// count where there is a TTY and a Stdin.
	DetachKeys string
}

// ErrDetached says that somebody pressed the detach keys: the process goes on without its console.
var ErrDetached = errors.New("detached")

// Command is what Exec runs in a container.
type Command struct {
	Args       []string
	User, Dir  string
	Env        []string
	Privileged bool
}

// Execution is what [Engine.Exec] would do, as a plan to be shown.
func Execution(project string, c *Container, command Command) *Plan {
	return &Plan{Project: project, Steps: []Step{{
		Action: runHook{subject: subject{c.ref(), c.Service}, stage: "exec", hook: compose.Hook{Command: command.Args}},
		Why:    strings.Join(command.Args, " "),
	}}}
}

// Exec runs a command in a container, talking to the console, and returns the command's exit code. When ctx ends, the
// session does, and the command goes on by itself: the Engine has no call to end it.
func (e *Engine) Exec(ctx context.Context, c *Container, command Command, console Console) (int, error) {
	options := command.options()
	options.Tty, options.DetachKeys = console.TTY, console.DetachKeys
	options.AttachStdin, options.AttachStdout, options.AttachStderr = console.Stdin != nil, true, true
	created, err := e.createExec(ctx, c, options)
	if err != nil {
		return 0, err
	}
	stream, err := e.attachExec(ctx, created, container.ExecAttachOptions{Tty: console.TTY})
	if err != nil {
		return 0, fmt.Errorf("running a command in %s: %w", c.Name, err)
	}
	resize := func(ctx context.Context, o container.ResizeOptions) error {
		return e.api.ContainerExecResize(ctx, created, o)
	}
	if err := console.session(ctx, stream, resize); err != nil {
		return 0, err
	}
	return e.execCode(ctx, c, created)
}

// ExecDetached starts a command in a container and leaves it to itself.
func (e *Engine) ExecDetached(ctx context.Context, c *Container, command Command) error {
	created, err := e.createExec(ctx, c, command.options())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, e.opts.FinishWithin)
	defer cancel()
	if err := e.api.ContainerExecStart(ctx, created, container.ExecStartOptions{Detach: true}); err != nil {
		return e.calling(ctx, "running a command in "+c.Name, err)
	}
	return nil
}

func (c Command) options() container.ExecOptions {
	return container.ExecOptions{Cmd: c.Args, User: c.User, WorkingDir: c.Dir, Env: c.Env, Privileged: c.Privileged}
}

func (e *Engine) createExec(ctx context.Context, c *Container, options container.ExecOptions) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.FinishWithin)
	defer cancel()
	created, err := e.api.ContainerExecCreate(ctx, c.ID, options)
	return created.ID, e.calling(ctx, "running a command in "+c.Name, err)
}

// execCode is the exit code of a command whose output has ended. The Engine may take a moment to learn of the end itself.
func (e *Engine) execCode(ctx context.Context, c *Container, id string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.FinishWithin)
	defer cancel()
	state, err := e.api.ContainerExecInspect(ctx, id)
	if err != nil || !state.Running {
		return state.ExitCode, e.calling(ctx, "asking how the command ended", err)
	}
	ended, broken := e.api.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)),
		filters.Arg("container", c.ID),
		filters.Arg("event", string(events.ActionExecDie)),
	)})
	for {
		state, err := e.api.ContainerExecInspect(ctx, id)
		if err != nil || !state.Running {
			return state.ExitCode, e.calling(ctx, "asking how the command ended", err)
		}
		select {
		case <-ended:
		case err := <-broken:
			return 0, e.calling(ctx, "asking how the command ended", err)
		}
	}
}

// session passes everything on between the console and a process, until the process's output ends.
func (c Console) session(ctx context.Context, stream types.HijackedResponse, resize func(context.Context, container.ResizeOptions) error) error {
	defer stream.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, stream.Close)()
	if c.Sizes != nil && c.TTY {
		go c.resizes(ctx, resize)
	}
	if c.Stdin != nil {
		keys, err := c.detachKeys()
		if err != nil {
			return err
		}
		go func() {
			if err := c.input(stream, keys); err != nil {
				cancel(err)
			}
		}()
	} else {
		// A process that reads finds the end.
		_ = stream.CloseWrite()
	}
	err := c.output(stream)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (c Console) detachKeys() ([]byte, error) {
	text := c.DetachKeys
	if text == "" {
		text = "ctrl-p,ctrl-q"
	}
	keys, err := term.ToBytes(text)
	if err != nil {
		return nil, fmt.Errorf("reading the detach keys %q: %w", text, err)
	}
	return keys, nil
}

// input passes what is typed, or piped, on to the process. It returns ErrDetached when the keys came; that a process does not
// take its input is nobody's error.
func (c Console) input(stream types.HijackedResponse, keys []byte) error {
	in := c.Stdin
	if c.TTY {
		in = term.NewEscapeProxy(in, keys)
	}
	if _, err := io.Copy(stream.Conn, in); errors.As(err, new(term.EscapeError)) {
		return ErrDetached
	}
	_ = stream.CloseWrite()
	return nil
}

func (c Console) output(stream types.HijackedResponse) (err error) {
	if c.TTY {
		_, err = io.Copy(c.Stdout, stream.Reader)
	} else {
		_, err = stdcopy.StdCopy(c.Stdout, c.Stderr, stream.Reader)
	}
	return err
}

// resizes tells the Engine the terminal's size. The process may not be there yet when the Engine answers, and there is no
// event for it: the first size is told again after a moment, as the docker CLI does.
func (c Console) resizes(ctx context.Context, resize func(context.Context, container.ResizeOptions) error) {
	const attempts = 10
	tell := func(size Size) error {
		return resize(ctx, container.ResizeOptions{Height: size.Rows, Width: size.Columns})
	}
	for {
		select {
		case size, ok := <-c.Sizes:
			if !ok {
				return
			}
			for try := 1; tell(size) != nil && try < attempts; try++ {
				select {
				case <-time.After(time.Duration(try) * 10 * time.Millisecond):
				case <-ctx.Done():
					return
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// calling explains the failure of a call that is no step of a plan.
func (e *Engine) calling(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() == context.DeadlineExceeded || client.IsErrConnectionFailed(err) {
		return e.unreachable(ctx, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
