package engine_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"galley/compose"
	"galley/engine"
	"galley/engine/enginetest"
)

// writing keeps the logs of a suite's project as files, until the function that it returns is called.
func (s *suite) writing(t *testing.T, files engine.LogFiles) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.engine.WriteLogs(ctx, s.project, files) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// eventually looks again until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for again := time.NewTicker(10 * time.Millisecond); !is(); {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("within a minute, not: %s", what)
		}
	}
}

// kept reads a log's files in the order in which they were written.
func kept(t *testing.T, path string) []string {
	t.Helper()
	aside, err := filepath.Glob(strings.TrimSuffix(path, ".log") + "-2*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(aside)
	var all bytes.Buffer
	for _, name := range append(aside, path) {
		text, err := os.ReadFile(name)
		if err == nil && strings.HasSuffix(name, ".gz") {
			var unpacked io.Reader
			if unpacked, err = gzip.NewReader(bytes.NewReader(text)); err == nil {
				text, err = io.ReadAll(unpacked)
			}
		}
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return strings.SplitAfter(all.String(), "\n")
}

// logged is the whole log of the only container, as the Engine has it, in the form of the files.
func (s *suite) logged(t *testing.T) []string {
	t.Helper()
	var lines []string
	containers := s.state(t).Containers
	err := s.engine.Logs(t.Context(), engine.LogOptions{Project: s.project, Containers: containers}, func(l engine.LogLine) {
		lines = append(lines, l.Time.UTC().Format("2006-01-02T15:04:05.000000000Z07:00")+" "+l.Text+"\n")
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(lines, "")
}

// talker writes on both streams as fast as it can, with a line longer than the Engine keeps in one piece.
const talker = `i=0; while test $i -lt %d; do echo out $i; echo err $i >&2; i=$((i+1)); done; ` +
	`head -c 40000 /dev/zero | tr '\0' x; echo; echo end`

func testLogFiles(t *testing.T, s *suite) {
	s.mustUp(t, s.recipe(svc("job", sh(fmt.Sprintf(talker, 1500))), svc("after", waits("job", compose.Completed))), engine.DiffOptions{NoStart: true})
	dir := filepath.Join(t.TempDir(), "logs")
	files := engine.LogFiles{Dir: dir, MaxSize: 16 << 10, Keep: 1000}
	path := filepath.Join(dir, "job-1.log")
	stop := s.writing(t, files)
	id := s.inspect(t, "job-1").ID
	if err := s.docker.ContainerStart(t.Context(), id, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if state, err := s.docker.ContainerInspect(context.Background(), id); t.Failed() && err == nil {
			t.Logf("the container: %+v", state.State)
		}
	})
	// Stopped and taken up again in the middle, and once with an unfinished line in the file.
	for n := 1; n <= 3; n++ {
		eventually(t, fmt.Sprintf("%d00 lines", n), func() bool { return len(kept(t, path)) > n*100 })
		stop()
		if n == 2 {
			half(t, path)
		}
		stop = s.writing(t, files)
	}
	ended, broken := s.docker.ContainerWait(t.Context(), id, container.WaitConditionNotRunning)
	select {
	case <-ended:
	case err := <-broken:
		t.Fatal(err)
	}
	// Not "the last line that was written": Engine 28.5 can lose what a container writes just before its end.
	eventually(t, "all that the Engine has", func() bool { return len(kept(t, path)) >= len(s.logged(t)) })
	stop()
	if diff := cmp.Diff(s.logged(t), kept(t, path)); diff != "" {
		t.Errorf("the files differ from the log (-log +files):\n%s", diff)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.gz")); len(files) < 3 {
		t.Errorf("only %d files were put aside", len(files))
	}
}

// half leaves a file as a crash in the middle of a line does.
func half(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString("2026-01-01T00:00:00.000000000Z half a li")
	}
	if err != nil || file.Close() != nil {
		t.Fatal(err)
	}
}

func TestLogFilesGoOnWhenTheEngineComesBack(t *testing.T) {
	t.Parallel()
	e := enginetest.New(t)
	e.AddImage(enginetest.Image{Ref: "busybox:latest"})
	s := newSuite(t, e.Host(), "back", "")
	s.mustUp(t, s.recipe(svc("web", sh("echo begun; echo also; sleep infinity"), func(s *compose.Service) { s.Host.RestartPolicy.Name = "always" })), engine.DiffOptions{})
	path := filepath.Join(t.TempDir(), "web-1.log")
	stop := s.writing(t, engine.LogFiles{Dir: filepath.Dir(path)})
	for n := 1; n <= 3; n++ {
		eventually(t, fmt.Sprintf("the lines of run %d", n), func() bool { return len(kept(t, path)) == 2*n+1 })
		if err := e.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the lines of the last run", func() bool { return len(kept(t, path)) == 9 })
	stop()
	if diff := cmp.Diff(s.logged(t), kept(t, path)); diff != "" {
		t.Errorf("the file differs from the log (-log +file):\n%s", diff)
	}
}

// TestLogFilesBearLogrotate cuts the file off as logrotate's copytruncate does, and then moves it away.
func TestLogFilesBearLogrotate(t *testing.T) {
	t.Parallel()
	e := enginetest.New(t)
	e.AddImage(enginetest.Image{Ref: "busybox:latest"})
	s := newSuite(t, e.Host(), "rotated", "")
	s.mustUp(t, s.recipe(svc("web", sh("trap 'echo again' USR1; echo begun; while true; do sleep 0.01; done"))), engine.DiffOptions{})
	path := filepath.Join(t.TempDir(), "web-1.log")
	files := engine.LogFiles{Dir: filepath.Dir(path)}
	stop := s.writing(t, files)
	has := func(want string) func() bool {
		return func() bool {
			lines := kept(t, path)
			return len(lines) == 2 && strings.HasSuffix(lines[0], " "+want+"\n")
		}
	}
	write := func() {
		if err := s.docker.ContainerKill(t.Context(), s.inspect(t, "web-1").ID, "USR1"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the first line", has("begun"))
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path+".1", text, 0o600)
	}
	if err != nil || os.Truncate(path, 0) != nil {
		t.Fatal(err)
	}
	stop()
	stop = s.writing(t, files) // finds in the copy how far it was
	write()
	eventually(t, "the line after the cut alone", has("again"))
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write()
	eventually(t, "the line after the second cut alone", has("again"))
	stop()
}

func TestLogFilesNeedAPlace(t *testing.T) {
	e := enginetest.New(t)
	s := newSuite(t, e.Host(), "place", "")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := s.engine.WriteLogs(t.Context(), s.project, engine.LogFiles{Dir: file})
	if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("keeping logs in %q: ", file)) {
		t.Errorf("got error %v, want the directory named", err)
	}
}

// TestLogsThatAreNeverEndedAreCutOff follows on an Engine that does not notice that a container has ended.
func TestLogsThatAreNeverEndedAreCutOff(t *testing.T) {
	t.Parallel()
	e := enginetest.New(t)
	e.AddImage(enginetest.Image{Ref: "busybox:latest"})
	e.Intercept(func(c enginetest.Call) *enginetest.Fault {
		if strings.HasSuffix(c.Path, "/logs") && c.Query.Get("follow") == "1" {
			return &enginetest.Fault{Hang: true}
		}
		return nil
	})
	s := newSuite(t, e.Host(), "endless", "")
	s.mustUp(t, s.recipe(svc("web", sh("echo begun; sleep infinity"))), engine.DiffOptions{})
	path := filepath.Join(t.TempDir(), "web-1.log")
	defer s.writing(t, engine.LogFiles{Dir: filepath.Dir(path)})()
	followed := make(chan []string)
	go func() {
		var lines []string
		opts := engine.LogOptions{Project: s.project, Containers: s.state(t).Containers, Follow: true}
		if err := s.engine.Logs(t.Context(), opts, func(l engine.LogLine) { lines = append(lines, l.Text) }); err != nil {
			t.Error(err)
		}
		followed <- lines
	}()
	eventually(t, "both follow the log", func() bool {
		n := 0
		for _, c := range e.Calls() {
			if strings.HasSuffix(c.Path, "/logs") {
				n++
			}
		}
		return n == 2
	})
	if err := s.docker.ContainerKill(t.Context(), "endless-web-1", "KILL"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the line is kept", func() bool { return len(kept(t, path)) == 2 })
	if lines := <-followed; !slices.Equal(lines, []string{"begun"}) {
		t.Errorf("got the lines %q", lines)
	}
}
