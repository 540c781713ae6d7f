package dockerd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// readiness hears from dockerd when it answers requests: dockerd tells whom NOTIFY_SOCKET names, as sd_notify(3) says,
// so that nobody has to poll.
type readiness struct {
	path   string
	socket *net.UnixConn
}

func newReadiness(path string) (*readiness, error) {
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listening for dockerd's readiness: %w", err)
	}
	return &readiness{path: path, socket: socket}, nil
}

func (r *readiness) Close() error {
	return errors.Join(r.socket.Close(), os.Remove(r.path))
}

// wait returns when dockerd is ready, with an error when ctx or dockerd ends before.
func (r *readiness) wait(ctx context.Context, exited <-chan struct{}) error {
	told := make(chan struct{})
	defer close(told)
	cause := make(chan error, 1)
	go func() {
		select {
		case <-told:
			return
		case <-ctx.Done():
			cause <- context.Cause(ctx)
		case <-exited:
			cause <- errors.New("it exited")
		}
		_ = r.socket.SetReadDeadline(time.Unix(1, 0)) // a date long past ends the read below
	}()
	message := make([]byte, 4096)
	for {
		n, err := r.socket.Read(message)
		if err != nil {
			select {
			case err = <-cause:
			default:
			}
			return err
		}
		for line := range strings.Lines(string(message[:n])) {
			if strings.TrimSpace(line) == "READY=1" {
				return nil
			}
		}
	}
}
