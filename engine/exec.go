package engine

import (
	"bytes"
	"context"
	"errors"
	"io"

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
	created, err := r.api.ContainerExecCreate(ctx, id, options)
	if err != nil {
		return execResult{}, err
	}
	stream, err := r.api.ContainerExecAttach(ctx, created.ID, container.ExecAttachOptions{Tty: options.Tty})
	if err != nil {
		return execResult{}, err
	}
	defer stream.Close()
	closeOnEnd := context.AfterFunc(ctx, stream.Close)
	defer closeOnEnd()
	var output tail
	if _, err := stdcopy.StdCopy(&output, &output, stream.Reader); err != nil && !errors.Is(err, io.EOF) {
		return execResult{}, errors.Join(ctx.Err(), err)
	}
	ended, err := r.api.ContainerExecInspect(ctx, created.ID)
	if err != nil {
		return execResult{}, err
	}
	return execResult{code: ended.ExitCode, output: output.String()}, nil
}

// tail keeps the last part of what is written to it.
type tail struct {
	bytes.Buffer
}

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.Buffer.Write(p)
	if over := t.Len() - tailSize; over > 0 {
		t.Next(over)
	}
	return len(p), nil
}
