package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"galley/bosh"
	"galley/engine/enginetest"
)

const supervised = `
name: shop
services:
  db:
    image: busybox
    command: sleep infinity
  web:
    image: busybox
    command: sleep infinity
    depends_on: [db]
`

// supervisor starts galley run in a directory and ends it with the test.
func supervisor(t *testing.T, e *enginetest.Engine, recipe string, args ...string) *process {
	t.Helper()
	p := begin(t, e, recipe, append([]string{"run"}, args...)...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Signal(syscall.SIGTERM)
		p.Wait()
	})
	return p
}

// beside runs another command in a supervisor's surroundings, and returns what it printed and its exit code.
func beside(t *testing.T, p *process, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.Path, args...)
	cmd.Args[0], cmd.Dir, cmd.Env = "galley", p.Dir, p.Env
	out, err := cmd.CombinedOutput()
	return string(out), code(err)
}

func TestRunHoldsAProjectBesideOtherCommands(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	p := supervisor(t, e, supervised, "--pidfile", "pid", "--status", "status.json", "--log-file", "log")
	if out, got := beside(t, p, "wait", "--timeout", "50s", "--status", filepath.Join(p.Dir, "status.json")); got != 0 {
		t.Fatalf("wait: exit code %d:\n%s", got, out)
	}
	if text, err := os.ReadFile(filepath.Join(p.Dir, "pid")); err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(p.Process.Pid) {
		t.Errorf("the pidfile says %q, error %v", text, err)
	}
	if out, got := beside(t, p, "run"); got != exitLocked {
		t.Errorf("a second supervisor: exit code %d, want %d:\n%s", got, exitLocked, out)
	}
	if out, got := beside(t, p, "stop", "web"); got != 0 {
		t.Fatalf("stop: exit code %d:\n%s", got, out)
	}
	out, got := beside(t, p, "wait", "--timeout", "1s")
	if got != exitUnhealthy || !strings.Contains(out, `service "web" is stopped`) {
		t.Errorf("wait for what was stopped: exit code %d:\n%s", got, out)
	}
	if out, got := beside(t, p, "up", "-d"); got != 0 {
		t.Fatalf("up: exit code %d:\n%s", got, out)
	}
	if out, got := beside(t, p, "wait", "--timeout", "50s"); got != 0 {
		t.Errorf("wait: exit code %d:\n%s", got, out)
	}
	began := time.Now()
	p.Process.Signal(syscall.SIGTERM)
	if got := code(p.Wait()); got != 0 {
		t.Errorf("the supervisor's exit code is %d", got)
	}
	if took := time.Since(began); took > 5*time.Second { // a second, on a machine that has nothing else to do
		t.Errorf("the end took %s", took)
	}
	if out, _ := beside(t, p, "ps", "-q"); len(strings.Fields(out)) != 2 {
		t.Errorf("the containers were not left: %s", out)
	}
	if _, err := os.Stat(filepath.Join(p.Dir, "pid")); err == nil {
		t.Error("the pidfile is there still")
	}
}

func TestRunWithoutARecipeGoesOnWithTheLastGoodOne(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	p := supervisor(t, e, supervised)
	untilUp(t, p)
	if err := os.WriteFile(filepath.Join(p.Dir, "compose.yml"), []byte("name: shop\nservices: {web: {imge: x}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Process.Signal(syscall.SIGTERM)
	p.Wait()
	again := exec.CommandContext(t.Context(), p.Path, "run")
	again.Args[0], again.Dir, again.Env = "galley", p.Dir, p.Env
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		again.Process.Signal(syscall.SIGTERM)
		again.Wait()
	}()
	out, got := beside(t, p, "-p", "shop", "wait", "--timeout", "50s", "--status", statusOfProject(t, p))
	if got != exitInvalid || !strings.Contains(out, "last good project is in force") {
		t.Errorf("wait: exit code %d:\n%s", got, out)
	}
}

// untilUp waits until the supervisor says that all is up.
func untilUp(t *testing.T, p *process) {
	t.Helper()
	if out, got := beside(t, p, "wait", "--timeout", "50s", "--status", statusOfProject(t, p)); got != 0 {
		t.Fatalf("wait: exit code %d:\n%s", got, out)
	}
}

// statusOfProject is where the supervisor of project shop says how it is.
func statusOfProject(t *testing.T, p *process) string {
	t.Helper()
	return (&cli{environ: p.Env}).statusPath("shop")
}

func TestRunRefusesWhatCantWork(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--status", "/proc/nowhere/status.json"}, exitFailed, "/proc/nowhere"},
		{[]string{"--socket", socket}, exitFailed, "address already in use"},
		{[]string{"--pidfile", "/proc/nowhere/pid"}, exitFailed, "/proc/nowhere"},
		{[]string{"--resync", "0s"}, exitUsage, "--resync 0s: must be positive"},
		{[]string{"--log-format", "xml"}, exitUsage, "must be one of text, json"},
	} {
		p := begin(t, e, supervised, append([]string{"run"}, c.args...)...)
		if got := code(p.Run()); got != c.code || !strings.Contains(p.stderr.String(), c.says) {
			t.Errorf("run %v: exit code %d, want %d:\n%s", c.args, got, c.code, &p.stderr)
		}
	}
	if n := e.Count()["POST /containers/create"]; n != 0 {
		t.Errorf("%d containers were created", n)
	}
}

func TestHealthMetricsAndPageAreServed(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	recipe := strings.Replace(supervised, "sleep infinity", "sh -c 'echo \"<script>alert(1)</script>\"; sleep infinity'", 1)
	p := supervisor(t, e, recipe, "--socket", "s")
	untilUp(t, p)
	get := func(path string) (string, int) {
		conn, err := bosh.Dial(t.Context(), filepath.Join(p.Dir, "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET "+path+" HTTP/1.0\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text), answer.StatusCode
	}
	for path, says := range map[string]string{
		"/healthz": "ok", "/readyz": "ok", "/metrics": `galley_services{state="up"} 2`, "/status": `"up":true`,
		"/": "&lt;script&gt;alert(1)",
	} {
		if text, status := get(path); status != http.StatusOK || !strings.Contains(text, says) {
			t.Errorf("%s: %d, without %q:\n%s", path, status, says, text)
		}
	}
	if text, _ := get("/"); strings.Contains(text, "<script") || !strings.Contains(text, "<svg") {
		t.Errorf("the page holds a script, or no picture:\n%s", text)
	}
	if _, status := get("/nothing"); status != http.StatusNotFound {
		t.Errorf("an unknown path: %d", status)
	}
}

func TestStatusIsPrintedAsJSON(t *testing.T) {
	t.Parallel()
	p := supervisor(t, newEngine(t), supervised)
	untilUp(t, p)
	out, got := beside(t, p, "status", "--format", "json")
	var s bosh.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || got != 0 || !s.Up || len(s.Services) != 2 || s.Services[1].Needs[0] != "db" {
		t.Errorf("exit code %d, error %v:\n%s", got, err, out)
	}
}

// The recipe has a service more than the supervisor knows of: who asked the Engine would find it missing at once.
func TestWaitIsForTheSupervisorThatHasNotSpokenYet(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	p := supervisor(t, e, supervised)
	untilUp(t, p)
	if err := os.Remove(statusOfProject(t, p)); err != nil {
		t.Fatal(err)
	}
	recipe := supervised + "  more: {image: busybox, command: sleep infinity}\n"
	if err := os.WriteFile(filepath.Join(p.Dir, "compose.yml"), []byte(recipe), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, got := beside(t, p, "wait", "--timeout", "1s"); got == 0 || !strings.Contains(out, "no supervisor wrote the status") {
		t.Errorf("wait: exit code %d:\n%s", got, out)
	}
	p.Process.Signal(syscall.SIGHUP)
	if out, got := beside(t, p, "wait", "--timeout", "50s"); got != 0 {
		t.Errorf("wait: exit code %d:\n%s", got, out)
	}
}

// A supervisor that is started after the wait, as a script does that starts it in the background.
func TestWaitIsForTheSupervisorThatIsStartedLater(t *testing.T) {
	t.Parallel()
	p := begin(t, newEngine(t), supervised, "run")
	out, got := beside(t, p, "wait", "--timeout", "1s")
	if got != exitUnhealthy || !strings.Contains(out, `service "db" has too few containers, and nobody supervises the project`) {
		t.Errorf("wait without anything: exit code %d:\n%s", got, out)
	}
	wait := exec.CommandContext(t.Context(), p.Path, "wait", "--timeout", "50s")
	wait.Args[0], wait.Dir, wait.Env = "galley", p.Dir, p.Env
	said, err := wait.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := wait.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(said)
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "nobody supervises it yet: waiting for `galley run`") {
		t.Errorf("wait says %q, error %v", line, err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Signal(syscall.SIGTERM)
		p.Wait()
	})
	rest, _ := io.ReadAll(lines)
	if got := code(wait.Wait()); got != 0 {
		t.Errorf("wait: exit code %d:\n%s", got, rest)
	}
}
