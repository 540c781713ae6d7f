package engine

import (
	"context"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"galley/compose"
)

// Events hands what happens to the project's containers to sink, until ctx ends or, where one is given, until is reached.
// Both are as for logs.
func (e *Engine) Events(ctx context.Context, project, since, until string, sink func(events.Message)) error {
	messages, broken := e.api.Events(ctx, events.ListOptions{Since: exactly(since), Until: exactly(until), Filters: filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)),
		filters.Arg("label", compose.LabelProject+"="+project),
	)})
	for {
		select {
		case m := <-messages:
			sink(m)
		case err := <-broken:
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case until != "" && err == io.EOF:
				return nil
			}
			return &UnreachableError{Host: e.Host, Err: err}
		}
	}
}

// exactly is the time that is so long ago as a duration says, to the nanosecond: the Engine's client knows only seconds, and
// leaves out what happened in the one under way. What is no duration stays as it is.
func exactly(ago string) string {
	d, err := time.ParseDuration(ago)
	if err != nil || ago == "0" {
		return ago
	}
	return time.Now().Add(-d).Format(time.RFC3339Nano)
}

// Talks tells whether a container has a terminal, and whether it takes input.
func (e *Engine) Talks(ctx context.Context, c *Container) (tty, stdin bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	seen, err := e.api.ContainerInspect(ctx, c.ID)
	if err != nil || seen.Config == nil {
		return false, false, e.calling(ctx, "reading "+c.Name, err)
	}
	return seen.Config.Tty, seen.Config.OpenStdin, nil
}

// Attach lets a running container talk to the console, until its output ends or somebody detaches. Where it ended, its exit
// code is returned.
func (e *Engine) Attach(ctx context.Context, c *Container, console Console) (int, error) {
	stream, err := e.api.ContainerAttach(ctx, c.ID, container.AttachOptions{
		Stream: true, Stdin: console.Stdin != nil, Stdout: true, Stderr: true, DetachKeys: console.DetachKeys,
	})
	if err != nil {
		return 0, e.calling(ctx, "attaching to "+c.Name, err)
	}
	ended, broken := e.api.ContainerWait(ctx, c.ID, container.WaitConditionNotRunning)
	resize := func(ctx context.Context, o container.ResizeOptions) error { return e.api.ContainerResize(ctx, c.ID, o) }
	if err := console.session(ctx, stream, resize); err != nil {
		return 0, err
	}
	select {
	case end := <-ended:
		return int(end.StatusCode), nil
	case err := <-broken:
		return 0, e.calling(ctx, "waiting for the end of "+c.Name, err)
	}
}
