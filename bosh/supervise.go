package bosh

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Override is a recipe that is merged with the job's: what its properties add to services.
func (v VM) Override() string { return filepath.Join(v.Run(), "override.json") }

// WriteOverride writes it as a whole.
func (v VM) WriteOverride(text []byte) error {
	if err := WriteFile(v.Override(), text); err != nil {
		return fmt.Errorf("writing what the job's properties add to the recipe: %w", err)
	}
	return nil
}

// DigestBelow is the digest of those files below dir that are at or below one of the sources; "" if none is.
func DigestBelow(dir string, sources []string, files []File) string {
	sum, found := sha256.New(), false
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		for _, source := range sources {
			if source != "" && within(path, filepath.Clean(source)) {
				fmt.Fprintf(sum, "%q %s\n", f.Name, f.Digest())
				found = true
				break
			}
		}
	}
	if !found {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))[:32]
}

// RunPrep runs the operator's script in the project's directory. Its output goes to prep.log.
func (v VM) RunPrep(ctx context.Context, s *Settings) error {
	path := filepath.Join(v.Log(), "prep.log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("opening prep's log: %w", err)
	}
	defer log.Close()
	prep := exec.CommandContext(ctx, v.Prep())
	prep.Dir = v.Project()
	prep.Env = s.ToolEnviron(v)
	prep.Stdout, prep.Stderr = log, log
	prep.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // monit may end what waits for it
	if err := prep.Run(); err != nil {
		return fmt.Errorf("property %q: the script failed: %w; the end of %s:\n%s", "prep", err, path, tail(path, 15))
	}
	return nil
}

// Become replaces this process by a command. It returns only if that fails.
func Become(cmd *exec.Cmd) error {
	if cmd.Err != nil {
		return cmd.Err
	}
	if err := os.Chdir(cmd.Dir); err != nil {
		return fmt.Errorf("entering the project's directory: %w", err)
	}
	if err := syscall.Exec(cmd.Path, cmd.Args, cmd.Env); err != nil {
		return fmt.Errorf("running %s: %w", strings.Join(cmd.Args, " "), err)
	}
	return nil
}

// failure is where the reason stands for which the supervisor did not even begin.
func (v VM) failure() string { return filepath.Join(v.Run(), "failure") }

// RecordFailure keeps a reason for post-start; nil takes it away.
func (v VM) RecordFailure(reason error) error {
	if reason == nil {
		return os.RemoveAll(v.failure())
	}
	return WriteFile(v.failure(), []byte(reason.Error()))
}

// WatchFailure calls failed with the reason as soon as one is recorded, until ctx ends, when the returned channel is
// closed.
func (v VM) WatchFailure(ctx context.Context, failed func(reason string)) (<-chan struct{}, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, v.Run(), unix.IN_MOVED_TO)
	}
	if err != nil {
		return nil, fmt.Errorf("watching for the supervisor's failure: %w", err)
	}
	events := os.NewFile(uintptr(fd), "inotify") // not blocking, so Close ends a Read
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { events.Close() })
	go func() {
		defer close(done)
		defer stop()
		buffer := make([]byte, 4096+int(unsafe.Sizeof(unix.InotifyEvent{})))
		for {
			if reason, err := os.ReadFile(v.failure()); err == nil {
				failed(string(reason))
				return
			}
			if _, err := events.Read(buffer); err != nil {
				return
			}
		}
	}()
	return done, nil
}

// CheckRoom tells whether the Engine's disk has room left: a tenth of the bytes and of the inodes.
func (v VM) CheckRoom() error {
	var room unix.Statfs_t
	if err := unix.Statfs(v.DataRoot(), &room); err != nil {
		return fmt.Errorf("looking at the disk of %q: %w", v.DataRoot(), err)
	}
	var wrong []error
	if room.Bavail < room.Blocks/10 {
		wrong = append(wrong, fmt.Errorf("%q: %d of %d MB are free", v.DataRoot(), room.Bavail*uint64(room.Bsize)>>20, room.Blocks*uint64(room.Bsize)>>20))
	}
	if room.Ffree < room.Files/10 {
		wrong = append(wrong, fmt.Errorf("%q: %d of %d inodes are free", v.DataRoot(), room.Ffree, room.Files))
	}
	return errors.Join(wrong...)
}
