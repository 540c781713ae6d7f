package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"galley/bosh"
	"galley/engine/enginetest"
)

// process is galley in a directory with a recipe, beside an Engine in memory.
type process struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

// begin prepares a process of the test binary under the name galley.
func begin(t *testing.T, e *enginetest.Engine, recipe string, args ...string) *process {
	t.Helper()
	return beginAt(t, e.Host(), recipe, args...)
}

// beginAt is begin beside the Engine of that address.
func beginAt(t *testing.T, host, recipe string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "compose.yml"), []byte(recipe), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	p := &process{Cmd: exec.CommandContext(ctx, self, args...)}
	p.Args[0] = "galley"
	p.Dir = dir
	p.Env = append(os.Environ(), "DOCKER_HOST="+host, "GALLEY_RUN_DIR="+dir, "GALLEY_STATE_DIR="+dir, "PWD="+dir, "TERM=xterm")
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	return p
}

func code(err error) int {
	var failed *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failed):
		return failed.ExitCode()
	}
	return -1
}

func newEngine(t *testing.T) *enginetest.Engine {
	e := enginetest.New(t, enginetest.WithAPI("1.41"), enginetest.WithSpeed(10))
	e.AddImage(enginetest.Image{Ref: "busybox:latest", Cmd: []string{"sh"}})
	return e
}

const talking = `
name: shop
services:
  db:
    image: busybox
    command: sh -c 'echo ready; sleep infinity'
  web:
    image: busybox
    command: sleep infinity
    depends_on: [db]
`

func TestInterruptedWhileAttachedUpStopsTheContainers(t *testing.T) {
	e := newEngine(t)
	p := begin(t, e, talking, "--progress", "plain", "up", "-t", "1")
	p.Stdout = nil
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "db-1   | ready\n" {
		t.Errorf("the log's first line is %q, error %v", line, err)
	}
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, out)
	if got := code(p.Wait()); got != 130 {
		t.Errorf("exit code %d, want 130", got)
	}
	stopped := regexp.MustCompile(`(?s)stopping; interrupt again to return at once\n.*shop-web-1  stopped .*shop-db-1  stopped `)
	if !stopped.MatchString(p.stderr.String()) {
		t.Errorf("the containers were not stopped, dependents first:\n%s", &p.stderr)
	}
}

// TestInterruptedWhileItChangesSomething holds a start up, interrupts, and lets the start go on.
func TestInterruptedWhileItChangesSomething(t *testing.T) {
	e := newEngine(t)
	under, goOn := make(chan struct{}), make(chan struct{})
	e.Intercept(func(c enginetest.Call) *enginetest.Fault {
		if c.Op == "POST /containers/*/start" && c.Nth == 1 {
			close(under)
			<-goOn
		}
		return nil
	})
	p := begin(t, e, talking, "--progress", "plain", "up", "-d")
	// Once the signal arrived, the interruption is printed; then the start may go on.
	p.Stderr = nil
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	<-under
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	var printed []string
	for lines.Scan() {
		printed = append(printed, lines.Text())
		if strings.HasPrefix(lines.Text(), "finishing what is under way") {
			close(goOn)
		}
	}
	if got := code(p.Wait()); got != 143 {
		t.Errorf("exit code %d, want 143", got)
	}
	all := strings.Join(printed, "\n")
	if !strings.Contains(all, "container shop-db-1  started") || !strings.HasSuffix(all, "error: interrupted; not done: start container shop-web-1") {
		t.Errorf("the step under way was not finished, or what was left was not said:\n%s", all)
	}
}

func TestASecondInterruptionReturnsAtOnce(t *testing.T) {
	e := newEngine(t)
	under := make(chan struct{})
	e.Intercept(func(c enginetest.Call) *enginetest.Fault {
		if c.Op != "POST /containers/*/start" {
			return nil
		}
		if c.Nth == 1 {
			close(under)
		}
		return &enginetest.Fault{Hang: true}
	})
	p := begin(t, e, talking, "--progress", "plain", "up", "-d")
	p.Stderr = nil
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	<-under
	p.Process.Signal(os.Interrupt)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "finishing what is under way") {
			p.Process.Signal(os.Interrupt)
		}
	}
	if got := code(p.Wait()); got != 130 {
		t.Errorf("exit code %d, want 130", got)
	}
}

func TestALockedProjectIsNotChanged(t *testing.T) {
	e := newEngine(t)
	p := begin(t, e, talking, "up", "-d")
	holder := &cli{environ: p.Env}
	lock, err := bosh.Acquire(t.Context(), holder.lockPath("shop"), "galley run", false)
	if err != nil {
		t.Fatal(err)
	}
	if got := code(p.Run()); got != exitLocked {
		t.Errorf("exit code %d, want %d", got, exitLocked)
	}
	want := regexp.MustCompile("^error: the lock \".*\" is held by `galley run` \\(pid \\d+\\) since .*\nhint: --wait-lock waits until it is given back\n$")
	if !want.MatchString(p.stderr.String()) {
		t.Errorf("printed:\n%s", &p.stderr)
	}
	if n := len(e.Calls()); n != 0 {
		t.Errorf("the engine was asked %d times", n)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	again := begin(t, e, talking, "--progress", "quiet", "up", "-d")
	if got := code(again.Run()); got != 0 {
		t.Errorf("after the release: exit code %d:\n%s", got, &again.stderr)
	}
}

// TestNoOpCallsAreFew counts what an up and a plan with nothing to do ask of the Engine: four lists, and, where the state
// directory was lost, once an inspect of each container.
func TestNoOpCallsAreFew(t *testing.T) {
	e := newEngine(t)
	var recipe strings.Builder
	recipe.WriteString("name: many\nservices:\n")
	for i := range 30 {
		fmt.Fprintf(&recipe, "  s%d:\n    image: busybox\n    command: sleep infinity\n", i)
	}
	state := filepath.Join(t.TempDir(), "state")
	run := func(args ...string) {
		p := begin(t, e, recipe.String(), args...)
		p.Env = append(p.Env, "GALLEY_STATE_DIR="+state)
		if p.Run() != nil {
			t.Fatal(p.stderr.String())
		}
	}
	count := func(most int, args ...string) {
		e.ResetCalls()
		run(args...)
		reads := 0
		for _, c := range e.Calls() {
			if c.Op != "HEAD /_ping" && c.Op != "GET /_ping" {
				reads++
			}
		}
		if reads > most {
			t.Errorf("galley %s: %d calls: %v", args[0], reads, e.Count())
		}
	}
	run("--progress", "quiet", "up", "-d")
	count(4, "up", "-d")
	count(4, "plan", "--detailed-exitcode")
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	count(34, "up", "-d")
	count(4, "up", "-d")
}

// TestLiveOnATerminal runs up on a real pseudo-terminal, with a recipe of more services than the terminal has lines.
func TestLiveOnATerminal(t *testing.T) {
	e := newEngine(t)
	var recipe strings.Builder
	recipe.WriteString("name: tall\nservices:\n")
	for i := range 12 {
		fmt.Fprintf(&recipe, "  s%02d:\n    image: busybox\n    command: sleep infinity\n", i)
	}
	const width, height = 60, 8
	p := begin(t, e, recipe.String(), "up", "-d")
	p.Stdin, p.Stdout, p.Stderr = nil, nil, nil
	terminal, err := pty.StartWithSize(p.Cmd, &pty.Winsize{Rows: height, Cols: width})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	// A terminal turns "\n" into "\r\n". Reading ends with EIO when the process has closed its side.
	s := &screen{t: t, width: width, height: height}
	io.Copy(s, terminal)
	if got := code(p.Wait()); got != 0 {
		t.Errorf("exit code %d:\n%s", got, s)
	}
	if !regexp.MustCompile(`(?m)^up tall  25/25  \d+\.\ds$`).MatchString(s.String()) {
		t.Errorf("the header is missing:\n%s", s)
	}
	for i := range 12 {
		want := regexp.MustCompile(fmt.Sprintf(`(?m)^ container tall-s%02d-1  *started  *\d+\.\ds$`, i))
		if n := len(want.FindAllString(s.String(), -1)); n != 1 {
			t.Errorf("service s%02d stands there %d times:\n%s", i, n, s)
		}
	}
}

func TestCheckShowsTheLineOnATerminal(t *testing.T) {
	recipe := "services:\n  web:\n    image: busybox:1.36\n    restrat: always\n    password: hunter2\n"
	p := begin(t, newEngine(t), recipe, "check", "-q")
	p.Stdin, p.Stdout, p.Stderr = nil, nil, nil
	terminal, err := pty.StartWithSize(p.Cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	s := &screen{t: t, width: 80, height: 24}
	io.Copy(s, terminal)
	if got := code(p.Wait()); got != exitInvalid {
		t.Errorf("exit code %d, want %d", got, exitInvalid)
	}
	want := `compose.yml:4:5: error: unknown key "restrat" [unknown-key]
    4 |     restrat: always
      |     ^
  hint: did you mean "restart"?
compose.yml:5:5: error: unknown key "password" [unknown-key]
`
	if !strings.HasPrefix(s.String(), want) {
		t.Errorf("the terminal shows:\n%s\nwant, without the line that may hold a secret:\n%s", s, want)
	}
	if strings.Contains(s.String(), "hunter2") {
		t.Error("a secret is on the terminal")
	}
}
