package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"galley/bosh"
)

// TestRunBearsWhatIsBroken begins with a pidfile of a process that is not galley and with good states that can't be read,
// and is then given a schedule that is none.
func TestRunBearsWhatIsBroken(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	stranger := exec.Command("sleep", "infinity")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stranger.Process.Kill()
		stranger.Wait()
	})
	p := begin(t, e, supervised, "run", "--pidfile", "pid", "--log-file", "log")
	history := (&cli{environ: p.Env}).historyPath("shop")
	if err := os.MkdirAll(filepath.Dir(history), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(p.Dir, "pid"): strconv.Itoa(stranger.Process.Pid) + "\n",
		history:                     "{broken",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Signal(syscall.SIGTERM)
		p.Wait()
	})
	untilUp(t, p)
	if text, err := os.ReadFile(filepath.Join(p.Dir, "pid")); err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(p.Process.Pid) {
		t.Errorf("the pidfile says %q, error %v", text, err)
	}
	if log, err := os.ReadFile(filepath.Join(p.Dir, "log")); err != nil || !strings.Contains(string(log), "the last good states are lost") {
		t.Errorf("the log does not tell of the good states, error %v:\n%s", err, log)
	}
	if kept, err := bosh.LoadHistory(history); err != nil || kept.Last() == nil {
		t.Errorf("no good state is kept in place of what was broken: %v", err)
	}

	bad := supervised + "    x-galley: {schedule: \"every now and then\"}\n"
	if err := os.WriteFile(filepath.Join(p.Dir, "compose.yml"), []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	e.ResetCalls()
	p.Process.Signal(syscall.SIGHUP)
	untilStatus(t, p, "the recipe is refused", func(s *bosh.Status) bool {
		return len(s.Recipe.Invalid) > 0 && strings.Contains(s.Recipe.Invalid[0], "schedule") && s.Services[0].State == "up" && s.Services[1].State == "up"
	})
	for call := range e.Count() {
		if strings.HasPrefix(call, "POST") || strings.HasPrefix(call, "DELETE") {
			t.Errorf("containers were touched: %s", call)
		}
	}
}
