package bosh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The budgets of the Engine, within those that the job's monit file gives: 60 and 75 seconds.
const (
	// answerWithin is longer than the stops of containers that a crash left take, which the Engine makes up for first.
	answerWithin = 55 * time.Second
	// shutdownGrace is more than the Engine needs when the containers were stopped before, as they are by the supervisor.
	shutdownGrace = 40 * time.Second
)

// StartDaemon starts dockerd with the configuration in [VM.DaemonJSON] and returns when it answers. One that runs already
// is left alone. Progress goes to out.
func (v VM) StartDaemon(ctx context.Context, s *Settings, out io.Writer) error {
	lock, err := v.lockDaemon(ctx, "galley bosh docker start")
	if err != nil {
		return err
	}
	defer lock.Release()
	running, err := FindProcess(v.DaemonPID(), "dockerd")
	if err != nil {
		return err
	}
	if running != nil {
		fmt.Fprintf(out, "dockerd runs already, as process %d\n", running.PID)
		return running.Close()
	}
	if err := v.prepare(ctx, out); err != nil {
		return err
	}
	begun := time.Now()
	ready, err := listenForReadiness(v.notifySocket())
	if err != nil {
		return err
	}
	defer ready.close()
	pid, exited, err := v.spawnDaemon(s)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "started dockerd, as process %d\n", pid)
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("it does not answer within %s, and goes on trying", answerWithin))
	defer cancel()
	if err := ready.wait(ctx, exited); err != nil {
		return fmt.Errorf("starting dockerd: %w; the end of its log:\n%s", err, tail(v.DaemonLog(), 15))
	}
	fmt.Fprintf(out, "dockerd answers after %s\n", time.Since(begun).Round(time.Millisecond))
	return nil
}

// lockDaemon keeps a start from overtaking a stop: monit starts again as soon as the process is gone, while the stop still
// clears up.
func (v VM) lockDaemon(ctx context.Context, command string) (*Lock, error) {
	return Acquire(ctx, filepath.Join(v.Run(), "daemon.lock"), command, true)
}

// prepare makes the Engine's directories and clears away what no live process needs any more.
func (v VM) prepare(ctx context.Context, out io.Writer) error {
	if err := os.Remove(v.DaemonPID()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing a stale pidfile: %w", err) // dockerd refuses to start if any process has that number
	}
	alive, err := FindProcess(filepath.Join(v.ExecRoot(), "containerd/containerd.pid"), "containerd")
	if err != nil {
		return err
	}
	if alive != nil {
		// dockerd crashed. It takes up with its containerd, and stops in good order what runs there.
		fmt.Fprintf(out, "an earlier dockerd left containerd running, as process %d\n", alive.PID)
		if err := alive.Close(); err != nil {
			return err
		}
	} else if err := v.sweep(ctx); err != nil {
		return err
	} else if err := os.RemoveAll(v.ExecRoot()); err != nil {
		return fmt.Errorf("removing the state of an earlier boot: %w", err)
	}
	for _, dir := range []string{v.DataRoot(), v.ExecRoot(), v.Temp(), v.Log()} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("making the engine's directories: %w", err)
		}
	}
	return v.mountCgroups()
}

// spawnDaemon starts dockerd, detached from this process.
func (v VM) spawnDaemon(s *Settings) (pid int, exited <-chan struct{}, err error) {
	log, err := os.OpenFile(v.DaemonLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return 0, nil, fmt.Errorf("opening dockerd's log: %w", err)
	}
	defer log.Close()
	command := append(v.scope(s), filepath.Join(v.Bin("docker"), "dockerd"), "--config-file", v.DaemonJSON())
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append([]string{
		"PATH=" + v.Bin("docker") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"TMPDIR=" + v.Temp(),
		"NOTIFY_SOCKET=" + v.notifySocket(),
	}, s.Proxy.Environ(s.Instance.IP)...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	if err := StartPlainly(cmd); err != nil {
		return 0, nil, fmt.Errorf("starting dockerd: %w", err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the log tells more than the exit code
		close(done)
	}()
	return cmd.Process.Pid, done, nil
}

// scope is the command that puts dockerd into a systemd scope of its own, where systemd runs: else it would share the
// control group of monit's, which the agent signals as a whole.
func (v VM) scope(s *Settings) []string {
	_, err := os.Stat(v.path("/run/systemd/system")) // sd_booted(3)
	if s.Scope == ScopeNever || s.Scope == ScopeAuto && err != nil {
		return nil
	}
	return []string{"systemd-run", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "-p", "TasksMax=infinity", "--"}
}

// StartPlainly starts a command in a session of its own, without what it would inherit from monit: the preference over all
// else on the VM (nice -10) and the small number of open files.
func StartPlainly(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := raiseOpenFiles(); err != nil {
		return fmt.Errorf("raising the number of open files: %w", err)
	}
	runtime.LockOSThread() // the child inherits the priority of the thread that makes it
	defer runtime.UnlockOSThread()
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 0); err != nil {
		return fmt.Errorf("setting the priority: %w", err)
	}
	return cmd.Start()
}

// raiseOpenFiles raises the limit of open files for the processes that this one starts, as far as it may. Only a limit that
// syscall's own call has set is passed on to them.
func raiseOpenFiles() error {
	err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: openFiles, Max: openFiles})
	if !errors.Is(err, syscall.EPERM) {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// openFiles is the usual limit of a container engine (systemd's docker.service has long had it).
const openFiles = 1 << 20

// StopDaemon stops dockerd, and sees to it that nothing of it is alive or mounted afterwards, however it ended.
func (v VM) StopDaemon(ctx context.Context, out io.Writer) error {
	lock, err := v.lockDaemon(ctx, "galley bosh docker stop")
	if err != nil {
		return err
	}
	defer lock.Release()
	running, err := FindProcess(v.DaemonPID(), "dockerd")
	if err != nil {
		return err
	}
	if running != nil {
		begun := time.Now()
		err := running.End(ctx, shutdownGrace)
		if err = errors.Join(err, running.Close()); err != nil {
			return fmt.Errorf("stopping dockerd: %w", err)
		}
		fmt.Fprintf(out, "dockerd ended after %s\n", time.Since(begun).Round(time.Millisecond))
	}
	if err := v.sweep(ctx); err != nil {
		return err
	}
	for _, stale := range []string{v.DaemonPID(), v.Socket()} {
		if err := os.Remove(stale); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing what dockerd left: %w", err)
		}
	}
	return nil
}

// tail are the last lines of a file, for an error's text.
func tail(path string, lines int) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	const most = 1 << 14
	if end, err := file.Seek(0, io.SeekEnd); err == nil {
		_, _ = file.Seek(max(0, end-most), io.SeekStart) // what can't be sought is read from the beginning
	}
	text, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
