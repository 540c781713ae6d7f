package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/fsnotify/fsnotify"

	"galley/bosh"
	"galley/compose"
	"galley/engine"
)

// statusOf says what the loop reports as the status file has it.
func statusOf(r *engine.Report, began time.Time) bosh.Status {
	start, _ := bosh.ProgramStart(os.Getpid()) // without /proc nobody can tell, and nobody will believe it alive
	s := bosh.Status{
		Version: bosh.StatusVersion, Project: r.Want.Name, PID: os.Getpid(), Program: start,
		Supervised: began.UTC(), Updated: time.Now().UTC(),
		Up: r.Up() && !r.Busy && r.Engine == nil, Busy: r.Busy, Yielded: r.Yielded,
		Engine: bosh.EngineStatus{Host: r.Host, API: r.API, Error: texted(r.Engine)},
		Recipe: bosh.RecipeStatus{
			Files: r.Want.Files, Hash: recipeHash(r.Want), Loaded: r.Loaded.UTC(),
			Invalid: textsOf(r.Recipe), LastGood: r.LastGood,
		},
		Converged: instant(r.Converged), Seconds: r.Took.Seconds(),
		Failed: instant(r.Failed), Failures: r.Failures, Error: texted(r.Err),
	}
	if r.RolledBack != nil {
		s.Recipe.RolledBack = &bosh.RolledBackStatus{At: r.RolledBack.At.UTC(), Error: texted(r.RolledBack.Err)}
	}
	for i := range r.Services {
		s.Services = append(s.Services, serviceStatus(r, &r.Services[i]))
	}
	return s
}

func serviceStatus(r *engine.Report, from *engine.ServiceReport) bosh.ServiceStatus {
	s := bosh.ServiceStatus{
		Name: from.Name, State: string(from.Phase), Why: from.Why, Since: from.Since.UTC(), Final: from.Final,
		Wanted: from.Wanted, Running: from.Running, Healthy: from.Healthy, Restarts: from.Restarts,
		LastError: from.Err, Drift: from.Drift,
	}
	if from.Exit != nil {
		s.LastExit = &bosh.ExitStatus{Container: from.Exit.Container, Code: from.Exit.Code, OOM: from.Exit.OOM, At: from.Exit.At.UTC()}
	}
	if service := r.Want.Service(from.Name); service != nil {
		s.Image = service.Config.Image
		for _, need := range service.Needs {
			s.Needs = append(s.Needs, need.Service)
		}
	}
	for _, c := range from.Containers {
		s.ImageID = c.ImageID
		s.Containers = append(s.Containers, containerStatus(c))
	}
	s.Digest = r.Have.Digest(s.ImageID)
	if from.Job != nil {
		s.Schedule = scheduleStatus(from.Job)
	}
	return s
}

func scheduleStatus(j *engine.JobReport) *bosh.ScheduleStatus {
	s := &bosh.ScheduleStatus{Spec: j.Spec, Next: j.Next.UTC(), Runs: j.Runs, Skipped: j.Skipped}
	for _, r := range j.Results {
		s.Results = append(s.Results, bosh.ResultStatus{Started: r.Started.UTC(), Finished: r.Finished.UTC(), Code: r.Code})
	}
	return s
}

func containerStatus(c engine.ContainerReport) bosh.ContainerStatus {
	s := bosh.ContainerStatus{ID: c.ID, Name: c.Name, State: string(c.Phase), Health: string(c.Health)}
	if c.Facts != nil {
		s.Started = instant(c.Facts.Started)
	}
	for _, p := range c.Summary.Ports {
		s.Ports = append(s.Ports, portText(p))
	}
	slices.Sort(s.Ports)
	return s
}

// portText is a port as docker ps prints it.
func portText(p container.Port) string {
	inside := fmt.Sprintf("%d/%s", p.PrivatePort, p.Type)
	if p.PublicPort == 0 {
		return inside
	}
	return net.JoinHostPort(p.IP, strconv.Itoa(int(p.PublicPort))) + "->" + inside
}

// recipeHash is a digest of what a recipe asks for, without a secret in it: of the digests that its parts have.
func recipeHash(p *compose.Project) string {
	sum := sha256.New()
	for _, s := range p.Services {
		fmt.Fprintln(sum, "service", s.Name, s.Hash, s.Replicas, s.Host.RestartPolicy, s.Needs)
	}
	for _, n := range p.Networks {
		fmt.Fprintln(sum, "network", n.Name, n.Hash)
	}
	for _, v := range p.Volumes {
		fmt.Fprintln(sum, "volume", v.Name, v.Hash)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// instant is a time, or nil for none.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// textsOf is what an error says, failure by failure; nil for none.
func textsOf(err error) []string {
	if err == nil {
		return nil
	}
	return texts(failures(err))
}

func texted(err error) string { return strings.Join(textsOf(err), "; ") }

// statusPath is where a project's supervisor says how it is.
func (c *cli) statusPath(project string) string { return c.paths().Status(c.onEngine(project)) }

// statusFile gives the path of the status: the one given, or that of the recipe's project.
func (c *cli) statusFile(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	project, err := compose.ProjectName(c.source())
	if err != nil {
		return "", c.unreadable(err)
	}
	return c.statusPath(project), nil
}

// followStatus hands each status in a file to see, from the present one on, until see has seen enough, or ctx ends. A
// status of a supervisor that is gone is nil, as is one that isn't there.
func followStatus(ctx context.Context, path string, see func(*bosh.Status) (enough bool)) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching the status: %w", err)
	}
	defer watcher.Close()
	// The directory, since the file is replaced and may not be there yet.
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("watching the status: %w", err)
	}
	gone := &endOf{}
	defer gone.stop()
	for {
		status, err := bosh.ReadStatus(path)
		present := &status
		switch {
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return err
		case err != nil || !status.Alive():
			present = nil
		}
		if see(present) {
			return nil
		}
		select {
		case event := <-watcher.Events:
			for event.Name != path && filepath.Base(event.Name) != filepath.Base(path) {
				select {
				case event = <-watcher.Events:
				case <-gone.watch(present):
					event.Name = path
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		case err := <-watcher.Errors:
			return fmt.Errorf("watching the status: %w", err)
		case <-gone.watch(present):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// endOf waits for the supervisor that wrote a status to end.
type endOf struct {
	pid    int
	ended  chan struct{}
	cancel context.CancelFunc
}

// watch returns what is closed when the supervisor has ended; for the same one, the same.
func (e *endOf) watch(s *bosh.Status) <-chan struct{} {
	if s == nil || s.PID == e.pid {
		if s == nil {
			return nil
		}
		return e.ended
	}
	e.stop()
	ctx, cancel := context.WithCancel(context.Background())
	e.pid, e.cancel, e.ended = s.PID, cancel, make(chan struct{})
	go func(ended chan struct{}, pid int) {
		if bosh.AwaitEnd(ctx, pid) == nil {
			close(ended)
		}
	}(e.ended, s.PID)
	return e.ended
}

func (e *endOf) stop() {
	if e.cancel != nil {
		e.cancel()
	}
}

// statusWriter writes the status wherever it is wanted, and tells once when that can't be done.
type statusWriter struct {
	paths       []string
	ownRestarts bool
	began       time.Time
	warn        func(error)

	writing sync.Mutex
	bad     map[string]bool
	again   *time.Timer // while a file can't be written
	ended   bool

	// after, if set, is told of each status.
	after func(*bosh.Status)

	mu         sync.Mutex
	latest     *bosh.Status
	imageBytes int64
}

func newStatusWriter(warn func(error), paths ...string) *statusWriter {
	return &statusWriter{paths: paths, began: time.Now(), warn: warn, bad: map[string]bool{}}
}

func (p *statusWriter) publish(r engine.Report) {
	s := statusOf(&r, p.began)
	s.OwnRestarts = p.ownRestarts
	p.mu.Lock()
	p.latest, p.imageBytes = &s, r.Have.ImageBytes()
	p.mu.Unlock()
	if p.after != nil {
		p.after(&s)
	}
	p.write()
}

// writeAgain is how long after a failure a status is written again: there is no event of a disk that has room again.
const writeAgain = 2 * time.Second

// write writes what was published last.
func (p *statusWriter) write() {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.ended {
		return
	}
	s, failed := p.status(), false
	for _, path := range p.paths {
		err := bosh.WriteStatus(path, *s)
		if err != nil && !p.bad[path] {
			p.warn(err)
		}
		p.bad[path] = err != nil
		failed = failed || err != nil
	}
	switch {
	case failed && p.again == nil:
		p.again = time.AfterFunc(writeAgain, p.write)
	case failed:
		p.again.Reset(writeAgain)
	}
}

// status is what was published last, nil before anything was.
func (p *statusWriter) status() *bosh.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest
}

// bytes is the size of the images in use.
func (p *statusWriter) bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.imageBytes
}

// isGood tells whether nothing is left to be wished for of a service in a state.
func isGood(state string) bool { return engine.Phase(state).Good() }

// writeJSON writes an object and a line's end.
func writeJSON(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }

// withdraw takes the status away: nobody keeps it true any more.
func (p *statusWriter) withdraw() {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.ended = true
	for _, path := range p.paths {
		// A file that stays is known by its process to be old.
		_ = os.Remove(path)
	}
}

// printStatus prints a status for people.
func printStatus(w io.Writer, s *bosh.Status, now time.Time) {
	fmt.Fprintf(w, "project %s: %s\n", s.Project, summary(s))
	for _, line := range troublesOf(s) {
		fmt.Fprintf(w, "! %s\n", sanitize(line))
	}
	rows := [][]string{{"SERVICE", "STATE", "REPLICAS", "SINCE", "RESTARTS", "IMAGE", "NOTE"}}
	for _, one := range s.Services {
		rows = append(rows, []string{
			one.Name, one.State, fmt.Sprintf("%d/%d", one.Running, one.Wanted), ago(now, one.Since),
			strconv.Itoa(one.Restarts), one.Image, sanitize(noteOn(one)),
		})
	}
	for _, row := range aligned(rows) {
		fmt.Fprintln(w, row)
	}
}

// noteOn is what is to be said of a service in a line.
func noteOn(s bosh.ServiceStatus) string {
	var notes []string
	for _, note := range append([]string{s.Why, s.LastError}, s.Drift...) {
		if note = strings.ReplaceAll(note, "\n", " "); note != "" && !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	if s.Schedule != nil {
		notes = append(notes, "next at "+s.Schedule.Next.Local().Format(time.DateTime))
	}
	return strings.Join(notes, "; ")
}

// aligned lays rows out in columns, with nothing behind the last.
func aligned(rows [][]string) []string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	var lines []string
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-len([]rune(cell))+3))
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// summary is the project's state in a word or two.
func summary(s *bosh.Status) string {
	up := 0
	for _, one := range s.Services {
		if isGood(one.State) {
			up++
		}
	}
	text := fmt.Sprintf("%d of %d services up", up, len(s.Services))
	switch {
	case s.Yielded:
		return text + ", another command has its turn"
	case s.Busy:
		return text + ", changing"
	}
	return text
}

// troublesOf are the project's own troubles.
func troublesOf(s *bosh.Status) []string {
	var all []string
	if s.Engine.Error != "" {
		all = append(all, s.Engine.Error)
	}
	if len(s.Recipe.Invalid) > 0 {
		all = append(all, "the recipe is invalid and not in force: "+strings.Join(s.Recipe.Invalid, "; "))
	}
	if s.Recipe.LastGood {
		all = append(all, "the last good project is in force in place of the recipe")
	}
	if s.Recipe.RolledBack != nil {
		all = append(all, "the recipe did not come up and was rolled back: "+s.Recipe.RolledBack.Error)
	}
	if engine.TellsFullDisk(s.Error) || slices.ContainsFunc(s.Services, func(one bosh.ServiceStatus) bool { return engine.TellsFullDisk(one.LastError) }) {
		all = append(all, "a disk is full: "+fullDiskHint)
	}
	return all
}

// ago is how long something has been so, as people say it.
func ago(now, since time.Time) string {
	d := now.Sub(since)
	switch {
	case since.IsZero():
		return ""
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// begin writes a first status, without services: there is a supervisor, and it is at work. On a full disk that waits: a
// supervisor is wanted there too.
func (p *statusWriter) begin(project string) error {
	start, _ := bosh.ProgramStart(os.Getpid())
	s := bosh.Status{
		Version: bosh.StatusVersion, Project: project, PID: os.Getpid(), Program: start,
		Supervised: p.began.UTC(), Updated: p.began.UTC(), Busy: true, OwnRestarts: p.ownRestarts, Services: []bosh.ServiceStatus{},
	}
	p.latest = &s
	for _, path := range p.paths {
		if err := bosh.WriteStatus(path, s); err != nil && !errors.Is(err, syscall.ENOSPC) {
			return err
		}
	}
	return nil
}
