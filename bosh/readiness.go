package bosh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// readiness hears from dockerd when it answers: dockerd tells the socket that NOTIFY_SOCKET names, as sd_notify(3) says.
type readiness struct {
	path   string
	socket *net.UnixConn
}

func listenForReadiness(path string) (*readiness, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listening for dockerd's readiness: %w", err)
	}
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listening for dockerd's readiness: %w", err)
	}
	return &readiness{path, socket}, nil
}

func (r *readiness) close() {
	r.socket.Close()
	os.Remove(r.path)
}

// wait returns when dockerd is ready, with an error when ctx or dockerd ends before.
func (r *readiness) wait(ctx context.Context, exited <-chan struct{}) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-exited:
			cancel(errors.New("it ended"))
		case <-ctx.Done():
		}
	}()
	stop := context.AfterFunc(ctx, func() { r.socket.SetReadDeadline(time.Unix(1, 0)) }) // a date long past ends the read
	defer stop()
	message := make([]byte, 4096)
	for {
		n, err := r.socket.Read(message)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("listening for dockerd's readiness: %w", err)
		}
		if slices.Contains(strings.Split(string(message[:n]), "\n"), "READY=1") {
			return nil
		}
	}
}
