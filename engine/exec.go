package engine

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// execResult is how a command in a container ended.
type execResult struct {
	code int
	// output is the end of what it wrote, stdout and stderr together.
	output string
}

// exec runs a command in a container and waits for its end, or for ctx's: then the command goes on by itself, since the
// Engine has no call to end it.
func (r *run) exec(ctx context.Context, id string, options container.ExecOptions) (execResult, error) {
	options.AttachStdout, options.AttachStderr = true, true
	brief, cancel := r.bounded(ctx, 0)
	defer cancel()
	created, err := r.api.ContainerExecCreate(brief, id, options)
	if err != nil {
		return execResult{}, r.explain(brief, err)
	}
	stream, err := r.attachExec(brief, created.ID, container.ExecAttachOptions{Tty: options.Tty})
	if err != nil {
		return execResult{}, r.explain(brief, err)
	}
	defer stream.Close()
	closeOnEnd := context.AfterFunc(ctx, stream.Close)
	defer closeOnEnd()
	output := tail{limit: tailSize}
	if _, err := stdcopy.StdCopy(&output, &output, stream.Reader); err != nil && !errors.Is(err, io.EOF) {
		return execResult{}, errors.Join(ctx.Err(), err)
	}
	brief, cancel = context.WithTimeout(ctx, r.opts.AnswerWithin)
	defer cancel()
	ended, err := r.api.ContainerExecInspect(brief, created.ID)
	if err != nil {
		return execResult{}, r.explain(brief, err)
	}
	return execResult{code: ended.ExitCode, output: output.String()}, nil
}

// attachExec starts a command and returns its output. The client that waits for the answer to this call does not heed ctx, and
// tells a connection that broke from no other error.
func (e *Engine) attachExec(ctx context.Context, execID string, options container.ExecAttachOptions) (types.HijackedResponse, error) {
	type answer struct {
		stream types.HijackedResponse
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		stream, err := e.api.ContainerExecAttach(ctx, execID, options)
		if err == nil && ctx.Err() != nil {
			stream.Close() // nobody waits any more
		}
		answered <- answer{stream, err}
	}()
	select {
	case a := <-answered:
		if errors.Is(a.err, io.EOF) || errors.Is(a.err, io.ErrUnexpectedEOF) {
			a.err = &UnreachableError{Host: e.Host, Err: a.err}
		}
		return a.stream, a.err
	case <-ctx.Done():
		return types.HijackedResponse{}, ctx.Err()
	}
}

// tail keeps the last limit bytes of what is written to it.
type tail struct {
	bytes.Buffer
	limit int
}

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.Buffer.Write(p)
	if over := t.Len() - t.limit; over > 0 {
		t.Next(over)
	}
	return len(p), nil
}
