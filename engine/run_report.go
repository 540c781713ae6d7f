package engine

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
)

// Report is how a supervised project is. What it points to is never changed afterwards.
type Report struct {
	// Host and API are the Engine's; Engine says why it can't be reached, nil if it can.
	Host, API string
	Engine    error
	// Want is the project in force, since Loaded; Recipe says why the recipe as it stands is not, nil if it is.
	Want   *compose.Project
	Loaded time.Time
	Recipe error
	// LastGood: the project in force is the last good one. RolledBack says since when a recipe that did not come up is
	// replaced by it, and why; else nil.
	LastGood   bool
	RolledBack *Rollback
	// Have is what the Engine has, nil until that was read.
	Have *State
	// Converged is when something was last changed with success, and Took how long that took; Failed is when it was last
	// tried without, Failures how often since the start, Err why, nil if the last attempt succeeded.
	Converged, Failed time.Time
	Took              time.Duration
	Failures          int
	Err               error
	// Busy: something is being changed. Yielded: somebody else has their turn.
	Busy, Yielded bool
	Services      []ServiceReport
}

// Rollback tells of a recipe that did not come up.
type Rollback struct {
	At  time.Time
	Err error
}

// ServiceReport is how one service is.
type ServiceReport struct {
	Name  string
	Phase Phase
	// Why explains the phase, in words; "" where there is nothing to say.
	Why string
	// Since is when the phase began, as far as it was seen.
	Since time.Time
	// Final: it will not get better by itself.
	Final bool
	// Wanted, Running and Healthy count replicas; one without a healthcheck is healthy when it runs.
	Wanted, Running, Healthy int
	// Restarts count how often a container came back after its end, since the loop began.
	Restarts int
	// Exit is the last end of a container, nil if there was none.
	Exit *Exit
	// Err is why the last attempt to bring it up failed.
	Err string
	// Drift names what is not as wanted.
	Drift      []string
	Containers []ContainerReport
	// Job is set for a service that runs at times.
	Job *JobReport
}

// ContainerReport is a container with what is known of it.
type ContainerReport struct {
	*Container
	// Facts is nil until they are known.
	Facts *Facts
}

// Exit is the end of a container.
type Exit struct {
	Container string
	Code      int
	OOM       bool
	At        time.Time
}

// Phase is the state of a service as a whole.
type Phase string

// The phases.
const (
	PhaseUp         Phase = "up"         // all replicas run, and are healthy where there is a healthcheck
	PhaseCompleted  Phase = "completed"  // it ended with code 0, and is not to run again
	PhaseStarting   Phase = "starting"   // it is being brought up, or not healthy yet
	PhaseWaiting    Phase = "waiting"    // for another service
	PhaseRestarting Phase = "restarting" // it ended, and is started again after a pause
	PhaseFailed     Phase = "failed"     // it is unhealthy, ends again and again, or is left as it ended
	PhaseStopped    Phase = "stopped"    // by hand
	PhaseUnknown    Phase = "unknown"    // the Engine can't be asked
)

// Good tells whether nothing is left to be wished for.
func (p Phase) Good() bool { return p == PhaseUp || p == PhaseCompleted }

// Up tells whether every service is up, or completed.
func (r *Report) Up() bool {
	return r.Have != nil && !slices.ContainsFunc(r.Services, func(s ServiceReport) bool { return !s.Phase.Good() })
}

// complaints are what keeps the project from being up, a service each.
func (r *Report) complaints() []error {
	var all []error
	for _, s := range r.Services {
		if !s.Phase.Good() {
			all = append(all, &UnhealthyError{Service: s.Name, State: strings.TrimSuffix("is "+string(s.Phase)+": "+cmp.Or(s.Err, s.Why), ": ")})
		}
	}
	return all
}

// condition is what the loop knows of the project as a whole.
type condition struct {
	engine     error
	host, api  string
	recipe     error
	lastGood   bool
	rolledBack *Rollback
	loaded     time.Time
	converged  time.Time
	took       time.Duration
	err        error
	failed     time.Time
	failures   int
	// good: the project in force was up once; saved: it is kept as the last good one, or need not be. hopeless: there is
	// nothing to go back to.
	good, saved, hopeless bool
	warned                []string
	since                 map[string]phaseSince
}

type phaseSince struct {
	phase Phase
	at    time.Time
}

// manyAttempts is how many repairs in a row make a failure of what might have been an accident: half a minute's.
const manyAttempts = 8

// publish tells how the project is, if that is not what was told last.
func (s *supervisor) publish() {
	now := time.Now()
	soon := s.reading || s.unjudged || s.look && s.lookAt.Before(now.Add(2*settle))
	if s.link != nil && s.have != nil && s.work == nil && soon {
		return // it is about to be known better
	}
	r := s.report(now)
	s.celebrate(&r)
	if s.opts.Publish == nil || reflect.DeepEqual(r, s.published) {
		return
	}
	s.published = r
	s.opts.Publish(r)
}

// celebrate has the project saved once all of it is up. Where that fails, as on a full disk, it is tried again when something
// was heard or read.
func (s *supervisor) celebrate(r *Report) {
	c := &s.condition
	if s.fresh || c.saved || c.lastGood || c.rolledBack != nil || r.Busy || r.Engine != nil || !r.Up() || len(s.verdict.drift) > 0 {
		return
	}
	first := !c.good
	c.good = true
	var err error
	if s.opts.Save != nil {
		err = s.opts.Save(s.want, s.have)
	}
	c.saved = err == nil
	if err != nil && first {
		s.note(Note{Kind: NoteWarned, Text: "the project can't be saved as the last good one", Err: err})
	}
}

func (s *supervisor) report(now time.Time) Report {
	c := &s.condition
	r := Report{
		Host: c.host, API: c.api, Engine: c.engine,
		Want: s.want, Loaded: c.loaded, Recipe: c.recipe, LastGood: c.lastGood, RolledBack: c.rolledBack,
		Have: s.have, Converged: c.converged, Took: c.took, Failed: c.failed, Failures: c.failures, Err: c.err,
		Busy: s.work != nil, Yielded: s.turn != nil,
	}
	for _, service := range s.want.Services {
		one := s.reportService(service)
		before := c.since[service.Name]
		if before.phase != one.Phase {
			before = phaseSince{one.Phase, now}
			c.since[service.Name] = before
		}
		one.Since = before.at
		r.Services = append(r.Services, one)
	}
	return r
}

// reportService describes one service.
func (s *supervisor) reportService(service *compose.Service) ServiceReport {
	r := ServiceReport{
		Name:     service.Name,
		Wanted:   s.opts.Diff.replicas(service),
		Restarts: s.book.restarts[service.Name],
		Drift:    s.verdict.drift[service.Name],
	}
	if t := s.book.troubles[service.Name]; t != nil && t.err != nil {
		r.Err = t.err.Error()
	}
	if err := s.book.refused[service.Name]; err != nil {
		r.Err = "its update was put back: " + err.Error()
	}
	if s.have != nil {
		for _, c := range s.have.Containers {
			if c.Service == service.Name && !c.OneOff {
				r.count(c, s.facts[c.ID])
			}
		}
	}
	r.Phase, r.Why, r.Final = s.phase(service, &r)
	job, why := s.reportJob(service.Name)
	r.Job, r.Why = job, cmp.Or(r.Why, why)
	return r
}

// count adds a container.
func (r *ServiceReport) count(c *Container, f *Facts) {
	r.Containers = append(r.Containers, ContainerReport{c, f})
	if c.Phase == container.StateRunning {
		r.Running++
		if c.Health == "" || c.Health == container.Healthy {
			r.Healthy++
		}
	}
	if f != nil && !f.Finished.IsZero() && (r.Exit == nil || f.Finished.After(r.Exit.At)) {
		r.Exit = &Exit{Container: c.Name, Code: f.ExitCode, OOM: f.OOMKilled, At: f.Finished}
	}
}

// phase sums a service up. final: it will not get better by itself.
func (s *supervisor) phase(service *compose.Service, r *ServiceReport) (phase Phase, why string, final bool) {
	held, isHeld := s.verdict.held[service.Name]
	t := s.book.trouble(service.Name)
	switch {
	case s.condition.engine != nil:
		return PhaseUnknown, "the engine can't be reached", false
	case s.have == nil:
		return PhaseStarting, "", false
	case s.book.rests(service.Name):
		return PhaseStopped, "stopped by hand", false
	case isHeld && held.kind == holdInvalid:
		return PhaseFailed, held.words(), true
	case s.book.refused[service.Name] != nil: // what runs is not what the recipe says
		return PhaseFailed, r.Err, true
	case r.Err != "" && r.outdated(service):
		return PhaseFailed, r.Err, false
	case r.Wanted == r.Healthy && len(r.Containers) == r.Wanted:
		return PhaseUp, "", false
	}
	if ended := s.endedReplicas(service, r); ended != "" {
		if ended == completed {
			return PhaseCompleted, "", false
		}
		return PhaseFailed, ended, true
	}
	for _, c := range r.Containers {
		switch {
		case c.Health == container.Unhealthy && c.Phase == container.StateRunning:
			return PhaseFailed, lastLine("is unhealthy", c.probe()), false
		case c.Phase == container.StatePaused:
			return PhaseFailed, "is paused", false
		}
	}
	switch {
	case t.attempts >= manyAttempts || t.loops >= manyAttempts:
		return PhaseFailed, cmp.Or(r.Err, "ends again and again"), false
	case isHeld && held.kind == holdWaiting:
		return PhaseWaiting, held.words(), false
	case isHeld && held.kind == holdReport:
		return PhaseFailed, held.words(), true
	case t.attempts > 0 && r.Running < r.Wanted:
		return PhaseRestarting, r.Err, false
	}
	return PhaseStarting, "", false
}

// outdated tells whether a container runs that is another recipe's.
func (r *ServiceReport) outdated(service *compose.Service) bool {
	return slices.ContainsFunc(r.Containers, func(c ContainerReport) bool { return c.Running() && c.Hash != service.Hash })
}

// completed is what endedReplicas says of those that are done.
const completed = "completed"

// endedReplicas tells, where every replica has ended or is up, and none is started again, how they ended; else "".
func (s *supervisor) endedReplicas(service *compose.Service, r *ServiceReport) string {
	oneShot := isOneShot(s.want, service.Name)
	done, failure := r.Healthy, ""
	for _, c := range r.Containers {
		why := s.verdict.lying[c.ID]
		switch {
		case c.Phase != container.StateExited:
		case c.ExitCode == 0 && (oneShot || why != ""):
			done++
		case why != "":
			done++
			failure = fmt.Sprintf("exited with code %d, and is left so: %s", c.ExitCode, why)
		}
	}
	if done < r.Wanted || done == r.Healthy { // what has ended besides makes room for what is up
		return ""
	}
	return cmp.Or(failure, completed)
}

// probe is what the container's healthcheck said when it failed last; "" if it did not, or that is not known.
func (c *ContainerReport) probe() string {
	if c.Facts == nil {
		return ""
	}
	return c.Facts.Probe
}

// tellDrift names what was not so when the project was last compared.
func (s *supervisor) tellDrift(v verdict) {
	for _, service := range slices.Sorted(maps.Keys(v.drift)) {
		for _, what := range v.drift[service] {
			if !slices.Contains(s.verdict.drift[service], what) {
				s.note(Note{Kind: NoteDrift, Service: service, Text: what})
			}
		}
	}
	for service, h := range v.held {
		if before := s.verdict.held[service]; h.kind == holdInvalid && (before.err == nil || before.err.Error() != h.err.Error()) {
			s.note(Note{Kind: NoteFailed, Service: service, Err: h.err})
		}
	}
}

// tellWarnings passes on each warning once, as long as it stands.
func (s *supervisor) tellWarnings(v verdict) {
	if v.empty {
		return
	}
	for _, warning := range v.warnings {
		if !slices.Contains(s.condition.warned, warning) {
			s.note(Note{Kind: NoteWarned, Text: warning})
		}
	}
	s.condition.warned = v.warnings
}

// causeOf picks what concerns a service out of the failures of a walk.
func causeOf(err error, service string) error {
	var step *StepError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			if cause := causeOf(one, service); cause != nil {
				return cause
			}
		}
		return nil
	}
	if errors.As(err, &step) && step.Step.Action.Target().Service == service {
		return step
	}
	return nil
}

// Digest is where an image was pulled from, as name@digest; "" for one that was not pulled.
func (s *State) Digest(imageID string) string {
	if s == nil || imageID == "" {
		return ""
	}
	for _, img := range s.Images {
		if img.ID == imageID && len(img.RepoDigests) > 0 {
			return img.RepoDigests[0]
		}
	}
	return ""
}

// ImageBytes is the size of the images that the project's containers use.
func (s *State) ImageBytes() (sum int64) {
	if s == nil {
		return 0
	}
	for _, img := range s.Images {
		if slices.ContainsFunc(s.Containers, func(c *Container) bool { return c.ImageID == img.ID }) {
			sum += img.Size
		}
	}
	return sum
}

// Missing are the services with fewer containers than wanted, sorted.
func (s *State) Missing(want *compose.Project) []string {
	count := map[string]int{}
	for _, c := range s.Containers {
		if !c.OneOff {
			count[c.Service]++
		}
	}
	var missing []string
	for _, service := range want.Services {
		if count[service.Name] < service.Replicas {
			missing = append(missing, service.Name)
		}
	}
	return missing
}
