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
	if err := lock(file, unix.LOCK_NB); err != nil {
		if wait && errors.Is(err, unix.EWOULDBLOCK) {
			return await(ctx, file, path, command)
		}
		return nil, refused(file, path, err)
	}
	return signed(file, command), nil
}

// await sleeps in the kernel until the lock is given back. When ctx ends first, the sleeper gives back what it still gets.
func await(ctx context.Context, file *os.File, path, command string) (*Lock, error) {
	taken := make(chan error, 1)
	go func() { taken <- lock(file, 0) }()
	select {
	case err := <-taken:
		if err != nil {
			return nil, refused(file, path, err)
		}
		return signed(file, command), nil
	case <-ctx.Done():
		holder := readHolder(file)
		go func() {
			<-taken
			file.Close()
		}()
		return nil, &HeldError{Path: path, Holder: holder}
	}
}

// lock takes the kernel's lock on an open file, through signals that interrupt the call.
func lock(file *os.File, how int) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// refused closes the file of a lock that can't be had, and says why.
func refused(file *os.File, path string, err error) error {
	defer file.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return &HeldError{Path: path, Holder: readHolder(file)}
	}
	return fmt.Errorf("locking %q: %w", path, err)
}

// signed writes into the file of a lock just taken whose it is. Where that can't be, as on a full disk, others are told of an
// unknown holder: the lock is the kernel's.
func signed(file *os.File, command string) *Lock {
	l := &Lock{file: file}
	if err := l.sign(command); err != nil {
		_ = file.Truncate(0) // rather nobody than somebody who held it before
	}
	return l
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
