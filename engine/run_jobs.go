package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
)

// labelScheduled marks the containers of a service that runs at times; its value is the time, in RFC 3339.
const labelScheduled = "io.galley.scheduled"

// Scheduled tells whether a supervisor ran the container because its service's time had come.
func (c *Container) Scheduled() bool { return c.OneOff && c.Summary.Labels[labelScheduled] != "" }

// keptResults is how many results of a service are remembered.
const keptResults = 5

// job is a service that runs at times. Times that pass while it can't run are not made up for.
type job struct {
	spec  string
	times compose.Schedule
	due   time.Time
	// runs count the starts since the loop began, skipped the times without one; err says why the last had none.
	runs, skipped int
	err           error
	// results are by container, the latest last.
	results []JobResult
}

// JobReport is how a service is that runs at times.
type JobReport struct {
	// Spec is as the recipe says, Next the next time.
	Spec string
	Next time.Time
	// Runs count the starts since the loop began, Skipped the times without one, as when the service still ran.
	Runs, Skipped int
	// Results are the last ones, the latest first.
	Results []JobResult
}

// JobResult is how one run ended.
type JobResult struct {
	Started, Finished time.Time
	Code              int
	container         string
}

var errStillRuns = errors.New("it still ran at its next time")

// planJobs takes the times of a recipe into force. What stays as it was keeps its count.
func (s *supervisor) planJobs(now time.Time) {
	jobs := map[string]*job{}
	for _, service := range s.want.Services {
		if service.Schedule == "" {
			continue
		}
		if before := s.jobs[service.Name]; before != nil && before.spec == service.Schedule {
			jobs[service.Name] = before
			continue
		}
		times, err := compose.ParseSchedule(service.Schedule)
		if err != nil { // only a zone can have gone since the recipe was read
			s.note(Note{Kind: NoteFailed, Service: service.Name, Err: fmt.Errorf("reading the schedule %q: %w", service.Schedule, err)})
			continue
		}
		jobs[service.Name] = &job{spec: service.Schedule, times: times, due: times.Next(now)}
	}
	s.jobs = jobs
}

// jobsAt is when the next service is to be run or, without an Engine, passed over; zero: not before something else happens.
func (s *supervisor) jobsAt() (first time.Time) {
	if s.link != nil && (s.have == nil || s.reading || s.work != nil || s.turn != nil || s.raw) {
		return time.Time{}
	}
	for _, j := range s.jobs {
		if first.IsZero() || !j.due.IsZero() && j.due.Before(first) {
			first = j.due
		}
	}
	return first
}

// pass lets a time go by that nobody expects to be kept.
func (s *supervisor) pass(service, why string) {
	j := s.jobs[service]
	j.skipped++
	j.err = errors.New(why)
}

// skip passes a time over that was to be kept.
func (s *supervisor) skip(service string, err error) {
	j := s.jobs[service]
	j.skipped++
	j.err = err
	s.note(Note{Kind: NoteFailed, Service: service, Err: fmt.Errorf("running service %s at its time: %w", service, err)})
}

// runJobs starts the first service whose time has come, and tells whether there was one. Without an Engine, and for those
// stopped by hand, the time passes.
func (s *supervisor) runJobs(ctx context.Context, now time.Time) bool {
	if !due(s.jobsAt(), now) {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(s.jobs)) {
		j := s.jobs[name]
		if !due(j.due, now) {
			continue
		}
		at := j.due
		j.due = j.times.Next(now)
		switch {
		case s.link == nil:
			s.pass(name, "there was no engine")
		case s.book.rests(name):
			s.pass(name, "it was stopped by hand")
		default:
			s.runJob(ctx, s.want.Service(name), at)
			return true
		}
	}
	return false
}

// runJob creates and starts a service's container, in the background.
func (s *supervisor) runJob(ctx context.Context, service *compose.Service, at time.Time) {
	ctx, cancel := context.WithCancel(ctx)
	w := &work{
		want: s.want, link: s.link, cancel: cancel, began: time.Now(), job: service.Name,
		remaining: map[string]int{}, unfinished: map[string]error{},
	}
	s.work = w
	e := s.link.engine
	e.Notify = s.tellStep
	opts := DiffOptions{NoDeps: true, OwnRestarts: s.opts.Diff.OwnRestarts, Pins: s.book.pins, noRefresh: true}
	go func() {
		w.release, w.err = s.opts.Lock(ctx, w.want.Name)
		if w.err == nil {
			w.err = e.runScheduled(ctx, w.want, service, at, opts)
		}
		s.finish(w)
	}()
}

// jobStarted takes note of a run that began, or did not.
func (s *supervisor) jobStarted(w *work) {
	s.readSoon(true, 0)
	j := s.jobs[w.job]
	switch {
	case j == nil: // another recipe is in force
	case w.err != nil:
		s.skip(w.job, w.err)
	default:
		j.runs++
		j.err = nil
	}
}

// tally remembers how runs ended.
func (s *supervisor) tally() {
	for _, c := range s.have.Containers {
		j, f := s.jobs[c.Service], s.facts[c.ID]
		if j == nil || f == nil || !c.Scheduled() || c.Phase != container.StateExited || f.Finished.IsZero() {
			continue
		}
		if slices.ContainsFunc(j.results, func(r JobResult) bool { return r.container == c.ID }) {
			continue
		}
		j.results = append(j.results, JobResult{Started: f.Started, Finished: f.Finished, Code: f.ExitCode, container: c.ID})
		j.results = j.results[max(0, len(j.results)-keptResults):]
	}
}

// reportJob describes a service that runs at times; why says what is wrong with its last run.
func (s *supervisor) reportJob(service string) (r *JobReport, why string) {
	j := s.jobs[service]
	if j == nil {
		return nil, ""
	}
	r = &JobReport{Spec: j.spec, Next: j.due, Runs: j.runs, Skipped: j.skipped, Results: slices.Clone(j.results)}
	slices.Reverse(r.Results)
	switch {
	case j.err != nil:
		return r, "its last time passed: " + j.err.Error()
	case len(r.Results) > 0 && r.Results[0].Code != 0:
		return r, fmt.Sprintf("its last run exited with code %d", r.Results[0].Code)
	}
	return r, ""
}

// runScheduled runs a service once. The container of the run before, kept for a look at it, makes room; one that still runs
// is left, and the error is errStillRuns.
func (e *Engine) runScheduled(ctx context.Context, want *compose.Project, s *compose.Service, at time.Time, opts DiffOptions) error {
	have, err := e.State(ctx, want.Name)
	if err != nil {
		return err
	}
	var others []*Container
	for _, c := range have.Containers {
		switch before := c.Scheduled() && c.Service == s.Name; {
		case !before:
			others = append(others, c)
		case c.Running():
			return errStillRuns
		default:
			if err := gone(e.api.ContainerRemove(ctx, c.ID, container.RemoveOptions{RemoveVolumes: true})); err != nil {
				return e.calling(ctx, "removing "+c.Name, err)
			}
		}
	}
	have.Containers = others
	once := *s
	once.ContainerName, once.Needs = "", nil
	once.Config.Labels = maps.Clone(s.Config.Labels)
	if once.Config.Labels == nil {
		once.Config.Labels = map[string]string{}
	}
	once.Config.Labels[labelScheduled] = at.UTC().Format(time.RFC3339)
	opts.OneOff = &OneOff{Service: &once, Name: strings.Join([]string{want.Name, s.Name, "at", at.UTC().Format("20060102t150405")}, want.Separator)}
	if _, err := e.Converge(ctx, want, have, opts); err != nil {
		return err
	}
	return e.Start(ctx, opts.OneOff.Name)
}
