package bosh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Listen listens on a unix socket at path that the given mode lets others use. A socket that a process left which is gone
// is replaced; one on which somebody answers, and a file that is no socket, are errors.
func Listen(path string, mode os.FileMode) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the socket's directory: %w", err)
	}
	if err := clearSocket(path); err != nil {
		return nil, err
	}
	var listener net.Listener
	err := nearby(path, func(short string) (err error) {
		listener, err = net.Listen("unix", short)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening on %q: %w", path, err)
	}
	// The path that it listened by may be a passing one: whoever listens removes the socket.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(fmt.Errorf("listening on %q: %w", path, err), listener.Close())
	}
	return listener, nil
}

// clearSocket removes a socket on which nobody answers.
func clearSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listening on %q: %w", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listening on %q: a file is there that is no socket", path)
	}
	conn, err := Dial(context.Background(), path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("listening on %q: %w", path, syscall.EADDRINUSE)
	}
	return os.Remove(path)
}

// Dial connects to the unix socket at path.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	var conn net.Conn
	err := nearby(path, func(short string) (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", short)
		return err
	})
	return conn, err
}

// nearby gives a path that is short enough for a socket: the kernel takes 107 bytes. A longer one is reached through its
// directory's descriptor.
func nearby(path string, use func(short string) error) error {
	if len(path) < 108 {
		return use(path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return use(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}
