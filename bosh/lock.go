package bosh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Lock is held by the one process that may change a project. The kernel gives it back when the process ends, however it
// ends: a lock is never stale.
type Lock struct {
	file *os.File
}

// Holder says who holds a lock.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// HeldError says that somebody else holds the lock. Holder is the zero value if it did not say who it is.
type HeldError struct {
	Path   string
	Holder Holder
}

func (e *HeldError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("the lock %q is held by another process", e.Path)
	}
	return fmt.Sprintf("the lock %q is held by `%s` (pid %d) since %s", e.Path, e.Holder.Command, e.Holder.PID, e.Holder.Since.Format(time.RFC3339))
}

// Acquire takes the lock at path, whose directory it makes if need be. Held by somebody else, it is a *HeldError, or,
// with wait, waited for until ctx ends.
func Acquire(ctx context.Context, path, command string, wait bool) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the lock's directory: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	if err := lock(ctx, file, wait); err != nil {
		holder := readHolder(file)
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &HeldError{Path: path, Holder: holder}
		}
		return nil, fmt.Errorf("locking %q: %w", path, err)
	}
	l := &Lock{file: file}
	if err := l.sign(command); err != nil {
		l.Release()
		return nil, fmt.Errorf("writing the lock %q: %w", path, err)
	}
	return l, nil
}

// lock takes the kernel's lock on an open file. A wait sleeps in the kernel; when ctx ends first, it is given up, and the
// sleeping call ends with the process.
func lock(ctx context.Context, file *os.File, wait bool) error {
	err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if !wait || !errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	taken := make(chan error, 1)
	go func() { taken <- unix.Flock(int(file.Fd()), unix.LOCK_EX) }()
	select {
	case err := <-taken:
		return err
	case <-ctx.Done():
		return unix.EWOULDBLOCK
	}
}

// sign writes who holds the lock, for the message that others get.
func (l *Lock) sign(command string) error {
	text, err := json.Marshal(Holder{PID: os.Getpid(), Command: command, Since: time.Now().Truncate(time.Second)})
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = l.file.WriteAt(append(text, '\n'), 0)
	return err
}

func readHolder(file *os.File) Holder {
	var h Holder
	text, _ := io.ReadAll(io.NewSectionReader(file, 0, 1<<16))
	_ = json.Unmarshal(text, &h) // an unreadable signature is no reason to fail differently
	return h
}

// Release gives the lock back. The file stays: removing it would let two processes lock two files of one name.
func (l *Lock) Release() error {
	return l.file.Close()
}
