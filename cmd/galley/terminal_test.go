package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"galley/engine/enginetest/dockerd"
)

// onTerminal runs galley on a pseudo-terminal beside a real Engine, in a directory with the recipe.
func onTerminal(t *testing.T, host, recipe string, args ...string) (*process, *os.File) {
	t.Helper()
	p := beginAt(t, host, recipe, args...)
	p.Stdin, p.Stdout, p.Stderr = nil, nil, nil
	terminal, err := pty.StartWithSize(p.Cmd, &pty.Winsize{Rows: 33, Cols: 77})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return p, terminal
}

// expect reads lines until one is that.
func expect(t *testing.T, lines *bufio.Reader, want string) {
	t.Helper()
	var seen strings.Builder
	for {
		line, err := lines.ReadString('\n')
		seen.WriteString(line)
		if strings.TrimRight(line, "\r\n") == want {
			return
		}
		if err != nil {
			t.Fatalf("no line %q on the terminal, but %q: %v", want, seen.String(), err)
		}
	}
}

const sleeping = `
services:
  box:
    image: busybox
    init: true
    command: sleep infinity
`

// recipeOnEngine brings the recipe up on a real Engine under a name of its own, and takes it away in the end.
func recipeOnEngine(t *testing.T, name, recipe string) (host, named string) {
	t.Helper()
	host, named = dockerd.ForTest(t).Host(), "name: "+name+"\n"+recipe
	if p := beginAt(t, host, named, "--progress", "quiet", "up", "-d"); p.Run() != nil {
		t.Fatal(p.stderr.String())
	}
	t.Cleanup(func() { sweep(t, host, name) })
	return host, named
}

func TestExecHasATerminalThatIsResized(t *testing.T) {
	t.Parallel()
	host, recipe := recipeOnEngine(t, "execterminal", sleeping)
	// The first size comes as a change, too.
	const script = `until stty size | grep '33 77'; do sleep 0.1; done; tty >&2; read LINE; echo "got $LINE"
		trap 'stty size; exit 9' WINCH; echo ready; while :; do sleep 0.1; done`
	p, terminal := onTerminal(t, host, recipe, "exec", "box", "sh", "-c", script)
	lines := bufio.NewReader(terminal)
	expect(t, lines, "33 77")
	expect(t, lines, "/dev/pts/0")
	io.WriteString(terminal, "typed\r")
	expect(t, lines, "got typed")
	expect(t, lines, "ready")
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 40, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	expect(t, lines, "40 100")
	io.Copy(io.Discard, lines)
	if got := code(p.Wait()); got != 9 {
		t.Errorf("exit code %d, want the command's 9", got)
	}
}

func TestDetachKeysLeaveTheCommand(t *testing.T) {
	t.Parallel()
	host, recipe := recipeOnEngine(t, "detachkeys", sleeping)
	for keys, typed := range map[string]string{"": "\x10\x11", "ctrl-x,a": "\x18a"} {
		mark := fmt.Sprint(7000 + len(keys)) // tells this command from the other
		p, terminal := onTerminal(t, host, recipe, "exec", "--detach-keys", keys, "box", "sh", "-c", "echo ready; sleep "+mark)
		lines := bufio.NewReader(terminal)
		expect(t, lines, "ready")
		io.WriteString(terminal, typed)
		io.Copy(io.Discard, lines)
		if got := code(p.Wait()); got != 0 {
			t.Errorf("keys %q: exit code %d", keys, got)
		}
		ps := beginAt(t, host, recipe, "exec", "-T", "box", "sh", "-c", "ps | grep -q '[s]leep "+mark+"'")
		if err := ps.Run(); err != nil {
			t.Errorf("keys %q: the command did not go on: %v%s", keys, err, &ps.stderr)
		}
	}
}

func TestLogsFollowAReplacement(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	recipe := func(word string) string {
		return "name: replaced\nservices:\n  web:\n    image: busybox\n    init: true\n    command: sh -c 'echo " + word + "; sleep infinity'\n"
	}
	up := func(word string) {
		if p := begin(t, e, recipe(word), "--progress", "quiet", "up", "-d", "-t", "0"); p.Run() != nil {
			t.Fatal(p.stderr.String())
		}
	}
	up("old")
	p := begin(t, e, recipe("old"), "logs", "-f", "--no-log-prefix")
	p.Stdout = nil
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	expect(t, lines, "old")
	up("new")
	expect(t, lines, "new")
	p.Process.Signal(os.Interrupt)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	context.AfterFunc(ctx, func() { p.Process.Kill() })
	if got := code(p.Wait()); got != 130 || p.stderr.Len() > 0 {
		t.Errorf("interrupted: exit code %d, printed %q", got, &p.stderr)
	}
}

// untilKept waits until a log's file ends with a line.
func untilKept(t *testing.T, path, line string) {
	t.Helper()
	deadline := time.After(time.Minute)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		text, err := os.ReadFile(path)
		if err == nil && strings.HasSuffix(string(text), "Z "+line+"\n") {
			return
		}
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("the log is not kept: %q, %v", text, err)
		}
	}
}

func TestTheSupervisorKeepsLogs(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	const recipe = "name: keeps\nservices:\n  web:\n    image: busybox\n    init: true\n    command: sh -c 'echo written; sleep infinity'\n"
	p := begin(t, e, recipe, "run", "--log-dir", "logs")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	untilKept(t, filepath.Join(p.Dir, "logs", "web-1.log"), "written")
	p.Process.Signal(syscall.SIGTERM)
	p.Wait()
	bad := begin(t, e, recipe, "run", "--log-dir", "compose.yml")
	if got := code(bad.Run()); got != exitFailed || !strings.Contains(bad.stderr.String(), `keeping logs in "compose.yml": `) {
		t.Errorf("a file as directory: exit code %d, printed %q", got, &bad.stderr)
	}
}
