package bosh

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// child starts a shell with a script and returns when it has said a line.
func child(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // all that it started too; they may have ended
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestAProcessIsFoundOnlyIfItRunsTheProgram(t *testing.T) {
	cmd := child(t, "echo up; sleep 600 & wait")
	shell := programOf(cmd.Process.Pid)
	pidfile := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(pidfile, fmt.Appendln(nil, cmd.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := FindProcess(pidfile, "dockerd"); p != nil || err != nil {
		t.Errorf("a shell was taken for dockerd: %v, %v", p, err)
	}
	p, err := FindProcess(pidfile, shell)
	if err != nil || p == nil {
		t.Fatalf("the process was not found: %v", err)
	}
	defer p.Close()
	if err := p.End(t.Context(), time.Minute); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was ended by a signal
	if p, err := FindProcess(pidfile, shell); p != nil || err != nil {
		t.Errorf("a process that ended was found: %v, %v", p, err)
	}
	for _, text := range []string{"", "x", "1", "-5"} {
		if err := os.WriteFile(pidfile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := FindProcess(pidfile, shell); p != nil || err != nil {
			t.Errorf("the pidfile %q: %v, %v", text, p, err)
		}
	}
}

func TestWhatIgnoresTheSignalIsKilled(t *testing.T) {
	cmd := child(t, "trap '' TERM; echo up; while :; do sleep 600; done")
	p, err := openProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.End(t.Context(), 10*time.Millisecond); err != nil {
		t.Error(err)
	}
}

func TestAWaitForAProcessEndsWithItsContext(t *testing.T) {
	p, err := openProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if err := p.Wait(ctx); err == nil || err.Error() != "enough" {
		t.Errorf("got error %v", err)
	}
}

func TestTheEnginesTreeHoldsItsContainersAndNothingElse(t *testing.T) {
	vm := VM{Root: "/"}
	address := vm.ExecRoot() + "/containerd/containerd.sock"
	table := []process{
		{pid: 1, program: "init"},
		{pid: 10, parent: 1, program: "containerd-shim-runc-v2", arguments: []string{"containerd-shim-runc-v2", "-address", address}},
		{pid: 11, parent: 10, program: "postgres"},
		{pid: 12, parent: 11, program: "postgres"},
		{pid: 20, parent: 1, program: "containerd-shim-runc-v2", arguments: []string{"containerd-shim-runc-v2", "-address", "/run/containerd/containerd.sock"}},
		{pid: 21, parent: 20, program: "redis"},
		{pid: 30, parent: 1, program: "vi", arguments: []string{"vi", vm.ExecRoot() + "/x"}},
		{pid: 40, parent: 1, program: "containerd", arguments: []string{"containerd", "--config=" + vm.ExecRoot() + "/containerd/containerd.toml"}},
	}
	got := vm.engineTree(table)
	want := map[int]bool{10: true, 11: true, 12: true, 40: true}
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, pid := range got {
		if !want[pid] {
			t.Errorf("%d is none of the engine's", pid)
		}
	}
}

func TestARecordedFailureIsHeardOf(t *testing.T) {
	vm := vmWith(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reasons := make(chan string, 1)
	watching, err := vm.WatchFailure(ctx, func(reason string) { reasons <- reason })
	if err != nil {
		t.Fatal(err)
	}
	if err := vm.RecordFailure(errors.New("prep failed")); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-reasons:
		if got != "prep failed" {
			t.Errorf("got %q", got)
		}
	case <-ctx.Done():
		t.Error("nobody heard of the failure")
	}
	cancel()
	<-watching
}
