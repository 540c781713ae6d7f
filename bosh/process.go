package bosh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a running process, held by a descriptor: the number can't come to mean another one. Close it.
type Process struct {
	PID int
	fd  int
}

// openProcess holds the process of that number; without one, the error is os.ErrProcessDone.
func openProcess(pid int) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL): // EINVAL: the number of a thread
		return nil, os.ErrProcessDone
	case err != nil:
		return nil, fmt.Errorf("holding process %d: %w", pid, err)
	}
	return &Process{PID: pid, fd: fd}, nil
}

// Close lets the process go, it does not end it.
func (p *Process) Close() error { return unix.Close(p.fd) }

// Signal sends a signal. A process that has ended needs none.
func (p *Process) Signal(signal unix.Signal) error {
	if err := unix.PidfdSendSignal(p.fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("sending %s to process %d: %w", unix.SignalName(signal), p.PID, err)
	}
	return nil
}

// Wait returns when the process has ended, or with an error when ctx does.
func (p *Process) Wait(ctx context.Context) error {
	woken, wake, err := os.Pipe()
	if err != nil {
		return err
	}
	defer woken.Close()
	stop := context.AfterFunc(ctx, func() { wake.Close() })
	defer func() {
		if stop() {
			wake.Close()
		}
	}()
	waits := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}, {Fd: int32(woken.Fd()), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(waits, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("waiting for process %d: %w", p.PID, err)
		case waits[0].Revents != 0:
			return nil
		default:
			return context.Cause(ctx)
		}
	}
}

// End asks the process to end, and kills it after grace. It returns when the process is gone.
func (p *Process) End(ctx context.Context, grace time.Duration) error {
	if err := p.Signal(unix.SIGTERM); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if p.Wait(patience) == nil {
		return nil
	}
	return p.Kill(ctx)
}

// Kill ends the process at once and waits for that.
func (p *Process) Kill(ctx context.Context) error {
	if err := p.Signal(unix.SIGKILL); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, killGrace)
	defer cancel()
	if err := p.Wait(patience); err != nil {
		return fmt.Errorf("process %d does not end, not even killed: it hangs in the kernel", p.PID)
	}
	return nil
}

// killGrace is how long the kernel gets to take a killed process away; one with much memory takes a while.
const killGrace = 20 * time.Second

// FindProcess holds the process whose number is in a pidfile, if it runs a program of that name: after a crash or a
// reboot the number may be another one's. Without such a process it returns nil.
func FindProcess(pidfile, program string) (*Process, error) {
	text, err := os.ReadFile(pidfile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the pidfile: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid < 2 {
		return nil, nil // cut short by a crash
	}
	p, err := openProcess(pid)
	if errors.Is(err, os.ErrProcessDone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if programOf(pid) != program {
		return nil, p.Close()
	}
	return p, nil
}

// programOf is the name of the program that a process runs, "" for one that is gone or a zombie.
func programOf(pid int) string {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return ""
	}
	return filepath.Base(strings.TrimSuffix(exe, " (deleted)")) // an update removes the program that runs
}

// AwaitEnd returns when the process of that number has ended, at once if there is none, or with an error when ctx ends.
func AwaitEnd(ctx context.Context, pid int) error {
	p, err := openProcess(pid)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Wait(ctx)
}
