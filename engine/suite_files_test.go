package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"galley/compose"
	"galley/engine"
)

// load reads a recipe as a user writes it; environ are variables for it.
func (s *suite) load(t *testing.T, recipe string, environ ...string) *compose.Project {
	t.Helper()
	p, found, err := compose.Load(t.Context(), compose.Source{
		Files: []string{"-"}, Stdin: strings.NewReader(recipe), Dir: s.dir, Name: s.project, Environ: environ,
		Key: func() ([]byte, error) { return []byte("key"), nil },
	})
	if err != nil {
		t.Fatalf("%v\n%v", err, found)
	}
	return p
}

// exec runs a command in a container and returns what it prints, and how it ends if that isn't well.
func (s *suite) exec(t *testing.T, name string, command ...string) string {
	t.Helper()
	ctx := t.Context()
	created, err := s.docker.ContainerExecCreate(ctx, s.project+"-"+name, container.ExecOptions{Cmd: command, AttachStdout: true, AttachStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	attached, err := s.docker.ContainerExecAttach(ctx, created.ID, container.ExecAttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, attached.Reader); err != nil {
		t.Fatal(err)
	}
	info, err := s.docker.ContainerExecInspect(ctx, created.ID)
	if err != nil {
		t.Fatal(err)
	}
	if info.ExitCode != 0 {
		return fmt.Sprintf("%s(exited with code %d)", out.String(), info.ExitCode)
	}
	return strings.TrimSpace(out.String())
}

// plan is the text of the plan for a project.
func (s *suite) plan(t *testing.T, p *compose.Project) string {
	t.Helper()
	plan, err := engine.Diff(p, s.state(t), engine.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

// stored is the path of a config or secret on this machine, by where a container has it.
func (s *suite) stored(t *testing.T, name, target string) string {
	t.Helper()
	for _, m := range s.inspect(t, name).Mounts {
		if m.Destination == target {
			return m.Source
		}
	}
	t.Fatalf("%s has nothing at %s", name, target)
	return ""
}

const withSecrets = `
services:
  web:
    image: busybox:latest
    command: sleep infinity
    init: true
    stop_grace_period: 1s
    user: "1000:1000"
    read_only: true
    configs: [page, {source: vars, target: /etc/app/vars, mode: 0644}]
    secrets:
      - word
      - {source: word, target: mine, uid: "1000", gid: "1000", mode: 0400}
configs:
  page: {content: "hello ${WHO}"}
  vars: {environment: VARS}
secrets:
  word: {file: ./word.txt}
`

// testFiles holds what a container sees of its configs and secrets, and what others don't.
func testFiles(t *testing.T, s *suite) {
	s.write(t, "word.txt", "hunter2")
	s.mustUp(t, s.load(t, withSecrets, "WHO=world", "VARS=a=b"), engine.DiffOptions{})
	for file, want := range map[string]string{
		"/page": "hello world", "/etc/app/vars": "a=b", "/run/secrets/word": "hunter2", "/run/secrets/mine": "hunter2",
	} {
		if got := s.exec(t, "web-1", "cat", file); got != want {
			t.Errorf("%s holds %q, want %q", file, got, want)
		}
	}
	if got := s.exec(t, "web-1", "sh", "-c", "echo changed >/run/secrets/mine"); !strings.Contains(got, "Read-only file system") {
		t.Errorf("writing a secret: %s", got)
	}
	for target, want := range map[string]string{"/run/secrets/word": "444 0:0", "/run/secrets/mine": "400 1000:1000", "/etc/app/vars": "644 0:0"} {
		if got := permissions(t, s.stored(t, "web-1", target)); os.Geteuid() == 0 && got != want {
			t.Errorf("%s is %s, want %s", target, got, want)
		}
	}
	inspected, err := json.Marshal(s.inspect(t, "web-1"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(inspected), "hunter2") || strings.Contains(string(inspected), "hello world") {
		t.Errorf("an inspect shows the contents: %s", inspected)
	}
	for dir := filepath.Dir(s.stored(t, "web-1", "/page")); len(dir) >= len(s.files); dir = filepath.Dir(dir) {
		if got := permissions(t, dir); !strings.HasPrefix(got, "700 ") {
			t.Errorf("the directory %s is %s", dir, got)
		}
	}
	if err := s.up(t, &compose.Project{Name: s.project}, engine.DiffOptions{Down: &engine.Down{}}); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.files, "*", "*")); len(left) > 0 {
		t.Errorf("down left %v", left)
	}
}

func (s *suite) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func permissions(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%o %d:%d", info.Mode().Perm(), stat.Uid, stat.Gid)
}

// testFilesChanged holds that another content makes another container, beside which the old one keeps what it had.
func testFilesChanged(t *testing.T, s *suite) {
	s.write(t, "word.txt", "first")
	s.mustUp(t, s.load(t, withSecrets, "WHO=you", "VARS="), engine.DiffOptions{})
	old := s.stored(t, "web-1", "/run/secrets/word")
	s.write(t, "word.txt", "second")
	changed := s.load(t, withSecrets, "WHO=you", "VARS=")
	if got := s.plan(t, changed); !strings.Contains(got, "secret word content changed") || strings.Contains(got, "page content") {
		t.Errorf("the plan gives another reason:\n%s", got)
	}
	broken := s.load(t, strings.Replace(withSecrets, "sleep infinity", "'false'\n    deploy: {update_config: {monitor: 1m}}", 1), "WHO=you", "VARS=")
	if err := s.up(t, broken, engine.DiffOptions{}); err == nil {
		t.Error("a broken update succeeds")
	}
	if got := s.exec(t, "web-1", "cat", "/run/secrets/word"); got != "first" {
		t.Errorf("what was put back has %q", got)
	}
	s.mustUp(t, changed, engine.DiffOptions{})
	if got := s.exec(t, "web-1", "cat", "/run/secrets/word"); got != "second" {
		t.Errorf("the new container has %q", got)
	}
	if _, err := os.Stat(filepath.Dir(old)); !os.IsNotExist(err) {
		t.Errorf("the old container's files are still there: %v", err)
	}
}

const signalled = `
services:
  web:
    image: busybox:latest
    command: ["sh", "-c", "trap 'echo told; cat /run/secrets/word; echo' HUP; echo ready; while true; do sleep 0.05; done"]
    stop_grace_period: 0s
    secrets: [word]
    x-galley: {on_secret_change: SIGHUP}
secrets:
  word: {environment: WORD}
`

// testFilesSignalled holds that a container stays, and is told.
func testFilesSignalled(t *testing.T, s *suite) {
	s.mustUp(t, s.load(t, signalled, "WORD=a first word"), engine.DiffOptions{})
	before := s.inspect(t, "web-1").ID
	changed := s.load(t, signalled, "WORD=second")
	want := "0 write secret word for " + s.project + "-web-1 (content changed)\n" +
		"1 signal container " + s.project + "-web-1 (secret word content changed) needs 0\n"
	if got := s.plan(t, changed); got != want {
		t.Errorf("the plan is\n%swant\n%s", got, want)
	}
	s.awaitLog(t, "web-1", "ready")
	s.mustUp(t, changed, engine.DiffOptions{})
	s.awaitLog(t, "web-1", "second")
	if s.inspect(t, "web-1").ID != before {
		t.Error("the container was replaced")
	}
	mark := filepath.Join(filepath.Dir(s.stored(t, "web-1", "/run/secrets/word")), ".signal-0-word")
	if err := os.WriteFile(mark, nil, 0o600); err != nil { // a crash between the change and the signal
		t.Fatal(err)
	}
	if got := s.plan(t, changed); got != "0 signal container "+s.project+"-web-1 (secret word content changed)\n" {
		t.Errorf("after a crash the plan is\n%s", got)
	}
	s.mustUp(t, changed, engine.DiffOptions{})
}

// testFilesLost holds that what a reboot took away is there again before a container starts.
func testFilesLost(t *testing.T, s *suite) {
	s.write(t, "word.txt", "hunter2")
	p := s.load(t, withSecrets, "WHO=you", "VARS=")
	s.mustUp(t, p, engine.DiffOptions{})
	id := s.inspect(t, "web-1").ID
	if err := os.RemoveAll(s.files); err != nil {
		t.Fatal(err)
	}
	if got := s.plan(t, p); strings.Contains(got, "container") || strings.Count(got, "write") != 4 {
		t.Errorf("for a running container the plan is\n%s", got)
	}
	if err := s.docker.ContainerStop(t.Context(), id, container.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	// Engine 26 answers a stop a moment before its lists know of it.
	for deadline := time.Now().Add(time.Minute); s.phases(t)[s.project+"-web-1"] == "running" && time.Now().Before(deadline); {
	}
	s.mustUp(t, p, engine.DiffOptions{})
	if got := s.exec(t, "web-1", "cat", "/run/secrets/mine"); got != "hunter2" {
		t.Errorf("after a reboot the secret is %q", got)
	}
	if s.inspect(t, "web-1").ID != id {
		t.Error("the container was replaced")
	}
	told := s.load(t, signalled, "WORD=one")
	s.mustUp(t, told, engine.DiffOptions{})
	if err := os.RemoveAll(s.files); err != nil {
		t.Fatal(err)
	}
	if got := s.plan(t, told); !strings.Contains(got, "restart container "+s.project+"-web-1 (secret word was gone) needs 0") {
		t.Errorf("for a container that may have an older content the plan is\n%s", got)
	}
	s.mustUp(t, told, engine.DiffOptions{})
}

// awaitLog waits until a container has written a text.
func (s *suite) awaitLog(t *testing.T, name, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	logs, err := s.docker.ContainerLogs(ctx, s.project+"-"+name, container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	var seen bytes.Buffer
	buffer := make([]byte, 4096)
	for !strings.Contains(seen.String(), text) {
		n, err := logs.Read(buffer)
		seen.Write(buffer[:n])
		if err != nil {
			t.Fatalf("waiting for %q in the log: %v; got %q", text, err, seen.String())
		}
	}
}
