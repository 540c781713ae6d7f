package dockerd

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
)

// Options says which Engine [Start] runs, and where.
type Options struct {
	// Dir is the folder in which the daemon makes a folder of its own; empty means [os.TempDir]. A unix socket's path
	// can't be longer than 107 bytes, so it should be short.
	Dir string
	// Version is one of [Versions]; empty means the dockerd that is installed.
	Version string
	// Flags are further flags of dockerd, such as --live-restore.
	Flags []string
	// Tmpfs are folders in [Daemon.Dir] that are file systems of their own, in memory, with their sizes as mount(8) takes them:
	// with "data", the data root, at "64m", the Engine's disk can be filled.
	Tmpfs map[string]string
	// Env are further variables of dockerd's environment, such as HTTPS_PROXY=http://127.0.0.1:3128.
	Env []string
	// Log is told what is fetched or installed; nil means nobody.
	Log io.Writer
}

// UnavailableError says that no private Engine can run on this machine, and why: a test may skip for it.
type UnavailableError struct{ Reason string }

func (e *UnavailableError) Error() string { return "no private engine: " + e.Reason }

// Daemon is one private Engine. Its methods are not safe for concurrent use, but for Host, Dir and Client.
type Daemon struct {
	dir      string
	name     string
	env      []string
	flags    []string
	tmpfs    map[string]string
	api      *client.Client
	holder   *exec.Cmd
	lifeline io.Closer     // the holder's standard input: closing it ends everything
	initPID  string        // first process of the namespaces
	exited   chan struct{} // closed when the running dockerd has ended; nil before the first start
}

//go:embed hold.sh
var holdScript string

// Start runs a dockerd and returns when it answers. What is missing on the machine is installed with apt-get first;
// where that can't be, the error is an [*UnavailableError]. Call [Daemon.Stop] at the end: but a daemon also ends, and is
// cleaned up after, when the process that started it dies.
func Start(ctx context.Context, opts Options) (*Daemon, error) {
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	if os.Geteuid() != 0 {
		return nil, &UnavailableError{"dockerd needs root"}
	}
	env, err := provide(ctx, opts.Version, opts.Log)
	if err != nil {
		return nil, err
	}
	slot, err := takeSlot()
	if err != nil {
		return nil, err
	}
	defer slot.lock.Close()
	parent := opts.Dir
	if parent == "" {
		parent = os.TempDir()
	}
	if parent, err = filepath.Abs(parent); err != nil {
		return nil, fmt.Errorf("finding the folder %q: %w", opts.Dir, err)
	}
	d := &Daemon{dir: filepath.Join(parent, slot.name), name: slot.name, tmpfs: opts.Tmpfs, env: append(slices.Clip(env), opts.Env...)}
	if len(d.socket()) > maxSocketPath {
		return nil, fmt.Errorf("starting dockerd: the path of its socket is longer than %d bytes: %q", maxSocketPath, d.socket())
	}
	d.flags = append(d.settings(slot), opts.Flags...)
	if strings.HasSuffix(opts.Version, containerdStore) {
		d.flags = append(d.flags, "--feature", "containerd-snapshotter=true")
	}
	if d.api, err = client.NewClientWithOpts(client.WithHost(d.Host()), client.WithAPIVersionNegotiation()); err != nil {
		return nil, fmt.Errorf("preparing the client: %w", err)
	}
	if err := d.hold(slot); err != nil {
		return nil, err
	}
	if err := d.Restart(ctx); err != nil {
		return nil, errors.Join(err, d.Stop())
	}
	return d, nil
}

// maxSocketPath is the longest address of a unix socket on Linux, see unix(7).
const maxSocketPath = 107

// answerWithin is far more than a dockerd with a few containers takes, even on a busy machine.
const answerWithin = 2 * time.Minute

// settings are the flags that keep the daemon apart from any other on the machine.
func (d *Daemon) settings(s slot) []string {
	return []string{
		"--config-file", d.ConfigFile(), // not the machine's /etc/docker/daemon.json
		"--data-root", filepath.Join(d.dir, "data"),
		"--exec-root", filepath.Join(d.dir, "exec"),
		"--pidfile", d.pidfile(),
		"--host", d.Host(),
		"--bridge", s.name,
		"--default-address-pool", "base=" + s.pool + ",size=26",
		"--cgroup-parent", "/" + s.name,
		// A starting dockerd empties the DOCKER chains of any other in the same network namespace. Ports are published
		// by docker-proxy all the same; only the masquerading of what leaves the machine is missing.
		"--iptables=false", "--ip6tables=false",
	}
}

// hold starts the process that owns the namespaces.
func (d *Daemon) hold(s slot) error {
	if err := os.RemoveAll(d.dir); err != nil { // left by a machine that went down
		return fmt.Errorf("removing what an earlier daemon left: %w", err)
	}
	if err := os.MkdirAll(d.tempDir(), 0o711); err != nil {
		return fmt.Errorf("making the daemon's folder: %w", err)
	}
	if err := os.Mkdir(d.CertsDir(), 0o755); err != nil {
		return fmt.Errorf("making the daemon's folder: %w", err)
	}
	if err := os.WriteFile(d.ConfigFile(), []byte("{}\n"), 0o600); err != nil {
		return fmt.Errorf("writing the daemon's settings: %w", err)
	}
	complaints, err := d.openLog()
	if err != nil {
		return err
	}
	defer complaints.Close()
	lock, err := s.lock.(*net.UnixListener).File()
	if err != nil {
		return fmt.Errorf("sharing the lock of %s: %w", s.name, err)
	}
	defer lock.Close()

	args := []string{"-c", holdScript, "hold.sh", d.name, d.dir, s.address, s.rang}
	for _, folder := range slices.Sorted(maps.Keys(d.tmpfs)) {
		args = append(args, folder+":"+d.tmpfs[folder])
	}
	d.holder = exec.Command("sh", args...)
	d.holder.Stderr = complaints
	d.holder.ExtraFiles = []*os.File{lock} // until all is cleaned up
	d.holder.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if d.lifeline, err = d.holder.StdinPipe(); err != nil {
		return fmt.Errorf("starting the daemon's namespaces: %w", err)
	}
	answers, err := d.holder.StdoutPipe()
	if err != nil {
		return fmt.Errorf("starting the daemon's namespaces: %w", err)
	}
	if err := d.holder.Start(); err != nil {
		return fmt.Errorf("starting the daemon's namespaces: %w", err)
	}
	line, err := bufio.NewReader(answers).ReadString('\n')
	if err != nil {
		if waitErr := d.holder.Wait(); waitErr != nil {
			err = waitErr
		}
		// The holder has removed the log by now; the open file is still there.
		said, _ := io.ReadAll(io.NewSectionReader(complaints, 0, 1<<16))
		return &UnavailableError{fmt.Sprintf("making its bridge and namespaces: %v: %s", err, bytes.TrimSpace(said))}
	}
	d.initPID = strings.TrimSpace(line)
	return nil
}

// Host is the daemon's address, as DOCKER_HOST takes it.
func (d *Daemon) Host() string { return "unix://" + d.socket() }

// Dir is the daemon's folder: data root, exec root, socket and log. Stop removes it.
func (d *Daemon) Dir() string { return d.dir }

// Client is a client of the daemon. Stop closes it.
func (d *Daemon) Client() *client.Client { return d.api }

// ConfigFile is its daemon.json, which counts from the next Restart on.
func (d *Daemon) ConfigFile() string { return filepath.Join(d.dir, "daemon.json") }

// CertsDir is its certs.d, which it takes for /etc/docker/certs.d and reads at each pull.
func (d *Daemon) CertsDir() string { return filepath.Join(d.dir, "certs.d") }

// LogFile is where dockerd and its containerd write their log.
func (d *Daemon) LogFile() string { return filepath.Join(d.dir, "log") }

func (d *Daemon) socket() string  { return filepath.Join(d.dir, "docker.sock") }
func (d *Daemon) pidfile() string { return filepath.Join(d.dir, "pid") }
func (d *Daemon) tempDir() string { return filepath.Join(d.dir, "tmp") }

// Stop kills the daemon with all its containers, and removes its folder, bridges and control groups.
func (d *Daemon) Stop() error {
	_ = d.api.Close() // an http transport has nothing to lose
	if err := d.lifeline.Close(); err != nil {
		return fmt.Errorf("stopping the daemon: %w", err)
	}
	if err := d.holder.Wait(); err != nil {
		return fmt.Errorf("cleaning up after the daemon: %w", err)
	}
	if d.exited != nil {
		<-d.exited
	}
	return nil
}

// Kill ends dockerd as a crash does, and leaves its containers' processes alone. The API is gone when Kill returns.
func (d *Daemon) Kill() error { return d.signal("KILL") }

// Restart starts dockerd, after shutting it down in good order if it is running, and returns when it answers.
func (d *Daemon) Restart(ctx context.Context) error {
	if err := d.signal("TERM"); err != nil {
		return err
	}
	log, err := d.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	ready, err := newReadiness(filepath.Join(d.dir, "ready.sock"))
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := d.inside(append([]string{"dockerd"}, d.flags...)...)
	cmd.Env = append(slices.Clip(d.env), "NOTIFY_SOCKET="+ready.path, "TMPDIR="+d.tempDir()) // for what a killed runc leaves
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting dockerd: %w", err)
	}
	exited := make(chan struct{})
	d.exited = exited
	go func() {
		_ = cmd.Wait() // the log tells more than the exit code
		close(exited)
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("no answer within %s", answerWithin))
	defer cancel()
	if err := ready.wait(ctx, exited); err != nil {
		return fmt.Errorf("starting dockerd: %w: %s", err, d.logTail())
	}
	return nil
}

// inside returns a command that runs in the daemon's namespaces.
func (d *Daemon) inside(command ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--target", d.initPID, "--mount", "--pid", "--"}, command...)...)
}

// Reload has the running dockerd read its ConfigFile again, of which registries count then, and returns when it has.
func (d *Daemon) Reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("no answer within %s", answerWithin))
	defer cancel()
	now := time.Now() // an event may come before it is listened to
	said, failed := d.api.Events(ctx, events.ListOptions{
		Since:   fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond()),
		Filters: filters.NewArgs(filters.Arg("type", string(events.DaemonEventType)), filters.Arg("event", string(events.ActionReload))),
	})
	if err := d.send("HUP"); err != nil {
		return err
	}
	select {
	case <-said:
		return nil
	case err := <-failed:
		return fmt.Errorf("having dockerd read its settings again: %w", err)
	}
}

// signal ends a running dockerd and waits for that.
func (d *Daemon) signal(name string) error {
	if !d.Running() {
		return nil
	}
	if err := d.send(name); err != nil {
		return err
	}
	<-d.exited
	return nil
}

// send sends a signal to dockerd.
func (d *Daemon) send(name string) error {
	pid, err := os.ReadFile(d.pidfile())
	if err != nil {
		return fmt.Errorf("finding dockerd's process: %w", err)
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err != nil {
		return fmt.Errorf("finding dockerd's process: %w", err)
	}
	// The number is one of the daemon's own PID namespace.
	kill := d.inside("sh", "-c", fmt.Sprintf("kill -%s %d", name, number))
	if out, err := kill.CombinedOutput(); err != nil && d.Running() {
		return fmt.Errorf("sending SIG%s to dockerd: %w: %s", name, err, out)
	}
	return nil
}

// Running says whether dockerd's process is there.
func (d *Daemon) Running() bool {
	select {
	case <-d.exited:
		return false
	default:
		return d.exited != nil
	}
}

func (d *Daemon) openLog() (*os.File, error) {
	log, err := os.OpenFile(d.LogFile(), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the daemon's log: %w", err)
	}
	return log, nil
}

// logTail returns the last lines of the daemon's log.
func (d *Daemon) logTail() string {
	const lines = 12
	log, err := os.ReadFile(d.LogFile())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
