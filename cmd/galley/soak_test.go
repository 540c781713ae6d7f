package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/prometheus/procfs"

	"galley/bosh"
	"galley/engine"
	"galley/engine/enginetest/dockerd"
)

// soaked is what the supervisor has to hold. The crashing service is no part of what is in force at the end.
const soaked = `
name: soak
x-logging: &short {driver: json-file, options: {max-size: 1m, max-file: "2"}}
services:
  once:
    image: busybox
    command: "true"
  db:
    image: busybox
    command: sh -c 'touch /tmp/ready; exec sleep infinity'
    init: true
    healthcheck: {test: test -e /tmp/ready, interval: 1s}
    depends_on: {once: {condition: service_completed_successfully}}
  web:
    image: busybox
    command: sleep infinity
    init: true
    labels: {generation: "%d"}
    depends_on: {db: {condition: service_healthy}}
  writer:
    image: busybox
    command: sh -c 'i=0; while true; do echo "line $$i"; i=$$((i+1)); usleep 5000; done'
    init: true
  flood:
    image: busybox
    command: sh -c 'while true; do seq 500; usleep 100000; done'
    init: true
    logging: *short
`

const crashing = `
  crash:
    image: busybox
    command: sh -c 'exit 3'
    restart: always
`

// soak is a supervisor on an Engine of its own, and what disturbs them.
type soak struct {
	*testing.T
	daemon *dockerd.Daemon
	// dir has the recipe; own is where galley keeps its files.
	dir, own string
	// services are those that run.
	services   []string
	running    *exec.Cmd
	log        *os.File
	generation int
}

// soakFor is how long the supervisor is disturbed.
func soakFor(t *testing.T) time.Duration {
	text := os.Getenv("GALLEY_SOAK")
	if text == "" {
		return 30 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("reading GALLEY_SOAK: %v", err)
	}
	return d
}

// ownDaemon starts an Engine that a test may kill.
func ownDaemon(t *testing.T, opts dockerd.Options) *dockerd.Daemon {
	t.Helper()
	dockerd.ForTest(t) // skips where it must
	opts.Version, opts.Log = os.Getenv("GALLEY_TEST_ENGINE"), t.Output()
	d, err := dockerd.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	busybox, err := dockerd.Busybox(t.Context(), t.Output())
	if err == nil {
		err = dockerd.LoadImage(t.Context(), d.Client(), busybox)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newSoak(t *testing.T, d *dockerd.Daemon, recipe string) *soak {
	s := &soak{T: t, daemon: d, dir: t.TempDir(), services: []string{"db", "web", "writer", "flood"}}
	s.own = s.dir
	s.write(recipe)
	log, err := os.Create(filepath.Join(s.dir, "galley.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.log = log
	t.Cleanup(func() {
		s.end(syscall.SIGTERM)
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the supervisor's last lines:\n%s", text[max(0, len(text)-6000):])
		}
		log.Close()
	})
	return s
}

func (s *soak) write(recipe string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "compose.yml"), []byte(recipe), 0o600); err != nil {
		s.Fatal(err)
	}
}

// galley is a galley process in the soak's surroundings.
func (s *soak) galley(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Args[0], cmd.Dir = "galley", s.dir
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+s.daemon.Host(), "GALLEY_RUN_DIR="+s.own, "GALLEY_STATE_DIR="+s.own, "PWD="+s.dir)
	return cmd
}

func (s *soak) self() string {
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	return self
}

func (s *soak) run(args ...string) (string, int) {
	out, err := s.galley(s.self(), args...).CombinedOutput()
	return string(out), code(err)
}

// supervise starts the supervisor.
func (s *soak) supervise(program string) {
	s.Helper()
	s.running = s.galley(program, "run", "--status", filepath.Join(s.own, "status.json"), "--socket", "s", "--log-dir", filepath.Join(s.own, "logs"),
		"--own-restarts", "--restart-exited", "--remove-orphans")
	s.running.Stdout, s.running.Stderr = s.log, s.log
	if err := s.running.Start(); err != nil {
		s.Fatal(err)
	}
}

// end ends the supervisor, if it runs.
func (s *soak) end(by syscall.Signal) {
	if s.running == nil {
		return
	}
	_ = s.running.Process.Signal(by) // it may have ended
	_ = s.running.Wait()             // by the signal
	s.running = nil
}

func (s *soak) hangUp() {
	s.Helper()
	if err := s.running.Process.Signal(syscall.SIGHUP); err != nil {
		s.Fatal(err)
	}
}

// untilSaid waits for a status of the supervisor that runs.
func (s *soak) untilSaid(what string, is func(*bosh.Status) bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	defer cancel()
	var last *bosh.Status
	err := followStatus(ctx, filepath.Join(s.own, "status.json"), func(st *bosh.Status) bool {
		last = st
		return st != nil && st.PID == s.running.Process.Pid && is(st)
	})
	if err != nil {
		s.Fatalf("waiting until %s: %v: %+v", what, err, last)
	}
}

// held tells whether all is well, but for what always crashes.
func held(st *bosh.Status) bool {
	return st.Engine.Error == "" && len(st.Services) > 0 && !slices.ContainsFunc(st.Services, func(one bosh.ServiceStatus) bool {
		return one.Name != "crash" && !isGood(one.State)
	})
}

// whole asks the Engine whether the services that run have their containers, names and network, as the last recipe says.
func (s *soak) whole() bool {
	for _, name := range s.services {
		c, err := s.daemon.Client().ContainerInspect(s.Context(), "soak-"+name+"-1")
		if err != nil || !c.State.Running {
			return false
		}
		if is := c.Config.Labels["generation"]; is != "" && is != strconv.Itoa(s.generation) {
			return false
		}
		if end := c.NetworkSettings.Networks["soak_default"]; end == nil || end.EndpointID == "" {
			return false
		}
	}
	return true
}

// mended disturbs, and waits for the events after which all is whole.
func (s *soak) mended(what string, disturb func() error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	defer cancel()
	heard, failed := s.daemon.Client().Events(ctx, events.ListOptions{})
	if err := disturb(); err != nil && !strings.Contains(err.Error(), "is not running") {
		s.Fatalf("%s: %v", what, err)
	}
	for !s.whole() {
		select {
		case <-heard:
		case err := <-failed:
			s.Fatalf("%s was not mended: %v", what, err)
		}
	}
}

// disturbances are how many kinds of them there are.
const disturbances = 6

// disturb does one thing that happens on a machine.
func (s *soak) disturb(kind int, random *rand.Rand) {
	s.Helper()
	api, ctx := s.daemon.Client(), s.Context()
	victim := "soak-" + []string{"db", "web", "flood"}[random.IntN(3)] + "-1"
	switch kind {
	case 0:
		s.mended("killing "+victim, func() error { return api.ContainerKill(ctx, victim, "KILL") })
	case 1:
		s.mended("killing the writer", func() error { return api.ContainerKill(ctx, "soak-writer-1", "KILL") })
	case 2:
		s.mended("removing "+victim, func() error { return api.ContainerRemove(ctx, victim, container.RemoveOptions{Force: true}) })
	case 3:
		s.mended("renaming "+victim, func() error { return api.ContainerRename(ctx, victim, fmt.Sprint("other", random.Uint32())) })
	case 4:
		s.mended("disconnecting "+victim, func() error { return api.NetworkDisconnect(ctx, "soak_default", victim, true) })
	case 5:
		s.generation++
		s.mended("changing the recipe", func() error {
			s.write(fmt.Sprintf(soaked, s.generation) + crashing)
			s.hangUp()
			return nil
		})
	}
}

// crashEngine kills dockerd and starts it again, with which all containers end: they come back in the order of the recipe.
func (s *soak) crashEngine() {
	s.Helper()
	crashed := time.Now()
	if err := s.daemon.Kill(); err != nil {
		s.Fatal(err)
	}
	s.untilSaid("the Engine is missed", func(st *bosh.Status) bool { return st.Engine.Error != "" })
	if err := s.daemon.Restart(s.Context()); err != nil {
		s.Fatal(err)
	}
	s.untilSaid("all is up after the Engine's crash", held)
	if db, web := s.started("db"), s.started("web"); !db.After(crashed) || !web.After(db) {
		s.Errorf("the Engine crashed at %s; db started at %s, and web, which needs it, at %s", crashed, db, web)
	}
}

// usage is what a process holds.
type usage struct {
	rss, files, goroutines int
}

func (s *soak) usage() usage {
	s.Helper()
	var u usage
	running, err := procfs.NewProc(s.running.Process.Pid)
	if err != nil {
		s.Fatal(err)
	}
	status, err := running.NewStatus()
	if err != nil {
		s.Fatal(err)
	}
	u.rss = int(status.VmRSS)
	if u.files, err = running.FileDescriptorsLen(); err != nil {
		s.Fatal(err)
	}
	count := regexp.MustCompile(`(?m)^go_goroutines (\d+)$`).FindStringSubmatch(s.get("/metrics"))
	if count == nil {
		s.Fatal("the metrics don't count goroutines")
	}
	u.goroutines, _ = strconv.Atoi(count[1])
	return u
}

// get asks the supervisor's socket.
func (s *soak) get(path string) string {
	s.Helper()
	socket := filepath.Join(s.dir, "s")
	if _, err := os.Stat(socket); err != nil {
		socket += asideSuffix
	}
	conn, err := bosh.Dial(s.Context(), socket)
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", path)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

// until looks again until something is so.
func (s *soak) until(what string, is func() bool) {
	s.Helper()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(3 * time.Minute); !is(); {
		select {
		case <-again.C:
		case <-deadline:
			s.Fatalf("within three minutes, not: %s", what)
		}
	}
}

// TestSoak disturbs a supervisor for GALLEY_SOAK, 30 seconds unless told otherwise, and in each way once however long that takes.
func TestSoak(t *testing.T) {
	t.Parallel()
	s := newSoak(t, ownDaemon(t, dockerd.Options{}), fmt.Sprintf(soaked, 0)+crashing)
	s.supervise(s.self())
	s.untilSaid("all is up", held)
	s.end(syscall.SIGKILL)
	if err := s.daemon.Client().ContainerKill(t.Context(), "soak-db-1", "KILL"); err != nil {
		t.Fatal(err)
	}
	s.mended("killing galley", func() error { s.supervise(s.self()); return nil })
	s.untilSaid("all is up again", held)
	before := s.usage()

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s.crashEngine()
	for range 200 {
		s.hangUp()
	}
	end := time.Now().Add(soakFor(t))
	for _, kind := range random.Perm(disturbances) {
		s.disturb(kind, random)
	}
	n := disturbances
	for ; time.Now().Before(end); n++ {
		s.disturb(random.IntN(disturbances), random)
	}
	s.crashEngine()
	s.write(fmt.Sprintf(soaked, s.generation))
	s.hangUp()
	s.untilSaid("the last recipe is in force", func(st *bosh.Status) bool { return st.Up && len(st.Services) == 5 })
	s.asWanted()
	var after usage
	s.until("files and goroutines are given back", func() bool {
		after = s.usage()
		return after.files <= before.files+2 && after.goroutines <= before.goroutines+5
	})
	t.Logf("%d disturbances; before %+v, after %+v", n, before, after)
	if most := before.rss + before.rss/2 + 20e6; after.rss > most {
		t.Errorf("%d bytes are in memory, %d were: more than %d", after.rss, before.rss, most)
	}
	s.logsAreWhole()
}

// asWanted asks the other commands.
func (s *soak) asWanted() {
	s.Helper()
	if out, got := s.run("wait", "--timeout", "60s"); got != 0 {
		s.Errorf("wait: exit code %d:\n%s", got, out)
	}
	if out, got := s.run("plan", "--detailed-exitcode"); got != 0 {
		s.Errorf("the plan is not empty: exit code %d:\n%s", got, out)
	}
	if !s.whole() {
		s.Error("a container is missing, or out of its network")
	}
}

// logsAreWhole compares the writer's files with the Engine's log of its only container, which was never removed: not a line
// is missing or doubled, also of what was written while there was no supervisor.
func (s *soak) logsAreWhole() {
	s.Helper()
	s.end(syscall.SIGTERM)
	ended, failed := s.daemon.Client().ContainerWait(s.Context(), "soak-writer-1", container.WaitConditionNotRunning)
	if err := s.daemon.Client().ContainerKill(s.Context(), "soak-writer-1", "KILL"); err != nil {
		s.Fatal(err)
	}
	select {
	case <-ended:
	case err := <-failed:
		s.Fatal(err)
	}
	want := s.logged("writer")
	s.supervise(s.self())
	var got []string
	s.until("the files have all of the log", func() bool {
		got = s.kept("writer-1")
		return len(got) > len(want) // the writer goes on
	})
	if len(want) < 100 {
		s.Errorf("the writer wrote only %d lines", len(want))
	}
	for i, line := range want {
		if got[i] != line {
			s.Errorf("line %d of %d is %q in the files, %q in the log", i, len(want), got[i], line)
			return
		}
	}
}

// logged is a service's log as the Engine has it, in the form of the files.
func (s *soak) logged(service string) (lines []string) {
	s.Helper()
	e, err := engine.Connect(s.Context(), engine.Options{Host: s.daemon.Host()})
	if err != nil {
		s.Fatal(err)
	}
	defer e.Close()
	state, err := e.State(s.Context(), "soak")
	if err != nil {
		s.Fatal(err)
	}
	containers := slices.DeleteFunc(state.Containers, func(c *engine.Container) bool { return c.Service != service })
	err = e.Logs(s.Context(), engine.LogOptions{Project: "soak", Containers: containers}, func(l engine.LogLine) {
		lines = append(lines, l.Time.UTC().Format("2006-01-02T15:04:05.000000000Z07:00")+" "+l.Text)
	})
	if err != nil {
		s.Fatal(err)
	}
	return lines
}

// kept reads a log's files in the order in which they were written.
func (s *soak) kept(name string) (lines []string) {
	s.Helper()
	aside, err := filepath.Glob(filepath.Join(s.own, "logs", name+"-2*"))
	if err != nil {
		s.Fatal(err)
	}
	slices.Sort(aside)
	for _, path := range append(aside, filepath.Join(s.own, "logs", name+".log")) {
		text, err := os.ReadFile(path)
		if err == nil && strings.HasSuffix(path, ".gz") {
			var unpacked *gzip.Reader
			if unpacked, err = gzip.NewReader(bytes.NewReader(text)); err == nil {
				text, err = io.ReadAll(unpacked)
			}
		}
		if err != nil {
			s.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}
