package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"galley/bosh"
	"galley/engine"
	"galley/engine/enginetest/dockerd"
)

const filling = `
name: soak
services:
  db:
    image: busybox
    command: sleep infinity
    init: true
  web:
    image: busybox
    command: sleep infinity
    init: true
`

const writing = `
  writer:
    image: busybox
    command: sh -c 'i=0; while true; do echo "line $$i"; i=$$((i+1)); usleep 5000; done'
    init: true
`

// TestFullDisksAreOutlived fills the Engine's disk under a supervisor, and then the one of galley's own files.
func TestFullDisksAreOutlived(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, dockerd.Options{Tmpfs: map[string]string{"data": "64m", "own": "2m"}})
	s := newSoak(t, d, filling)
	s.own, s.services = filepath.Join(d.Dir(), "own"), []string{"db", "web"}
	s.supervise(s.self())
	s.untilSaid("all is up", held)
	s.outlivesAFullEngine()
	s.outlivesAFullState()
}

// fill leaves no room on the disk of a folder; the function returned gives it back.
func (s *soak) fill(folder string) (free func()) {
	s.Helper()
	path := filepath.Join(folder, "filler")
	file, err := os.Create(path)
	if err != nil {
		s.Fatal(err)
	}
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, 4<<10))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		s.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			s.Fatal(err)
		}
	}
}

// started tells when a service's container started.
func (s *soak) started(service string) time.Time {
	s.Helper()
	c, err := s.daemon.Client().ContainerInspect(s.Context(), "soak-"+service+"-1")
	if err != nil {
		s.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339Nano, c.State.StartedAt)
	if err != nil {
		s.Fatal(err)
	}
	return at
}

// outlivesAFullEngine has an update and a repair fail for want of room. The Engine starts a container on a full disk, or
// doesn't; it can't write it down in any case.
func (s *soak) outlivesAFullEngine() {
	s.Helper()
	before := s.started("db")
	free := s.fill(filepath.Join(s.daemon.Dir(), "data"))
	if err := s.daemon.Client().ContainerKill(s.Context(), "soak-web-1", "KILL"); err != nil {
		s.Fatal(err)
	}
	s.untilSaid("the full disk is told of a repair", fullFor("web"))
	if out, got := s.run("status"); got != exitUnhealthy || !strings.Contains(out, "! a disk is full: "+fullDiskHint) {
		s.Errorf("status: exit code %d:\n%s", got, out)
	}
	s.write(refilling())
	s.hangUp()
	s.untilSaid("the full disk is told of an update", fullFor("db"))
	if !s.started("db").Equal(before) {
		s.Error("a container that ran was stopped for an update that can't be made")
	}
	s.logTells("creating failed")
	free()
	s.untilSaid("all is up with room again", func(st *bosh.Status) bool { return held(st) && st.Up })
	s.asWanted()
	if s.started("db").Equal(before) {
		s.Error("the update was not made")
	}
}

// refilling is filling with another db.
func refilling() string { return strings.Replace(filling, "sleep infinity", "sleep 1000000", 1) }

// fullFor tells whether a service is said to want for room.
func fullFor(service string) func(*bosh.Status) bool {
	return func(st *bosh.Status) bool {
		return slices.ContainsFunc(st.Services, func(one bosh.ServiceStatus) bool { return one.Name == service && engine.TellsFullDisk(one.LastError) })
	}
}

// logTells looks for a line of the supervisor's log that tells of a full disk, with the way out.
func (s *soak) logTells(what string) {
	s.Helper()
	text, err := os.ReadFile(s.log.Name())
	if err != nil {
		s.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, what) && engine.TellsFullDisk(line) && strings.Contains(line, "galley prune") {
			return
		}
	}
	s.Errorf("the log has no line with %q, the full disk and the way out", what)
}

func (s *soak) outlivesAFullState() {
	s.Helper()
	before := s.started("db")
	free := s.fill(s.own)
	s.services = append(s.services, "writer")
	s.mended("a recipe with more", func() error {
		s.write(refilling() + writing)
		s.hangUp()
		return nil
	})
	if out, got := s.run("plan", "--detailed-exitcode"); got != 0 {
		s.Errorf("plan on a full disk: exit code %d:\n%s", got, out)
	}
	s.logTells("the status can't be written")
	free()
	s.untilSaid("the status is true again", func(st *bosh.Status) bool { return st.Up && len(st.Services) == 3 })
	s.mended("killing web", func() error { return s.daemon.Client().ContainerKill(s.Context(), "soak-web-1", "KILL") })
	history := (&cli{environ: s.galley("galley").Env}).historyPath("soak")
	s.until("the recipe is the last good one", func() bool {
		kept, err := bosh.LoadHistory(history)
		return err == nil && kept.Last() != nil && bytes.Contains(kept.Last().Project, []byte(`"writer"`))
	})
	s.asWanted()
	if !s.started("db").Equal(before) {
		s.Error("a container that ran was stopped")
	}
	s.logsAreWhole()
}
