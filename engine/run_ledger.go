package engine

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"

	"galley/compose"
)

// ledger is what the loop remembers and the Engine does not: how containers ended, what was asked for by hand, and how
// often a service was repaired lately. It has no clock and does nothing by itself.
type ledger struct {
	opts RunOptions
	// jitter returns a number from 0 up to 1: services that broke together do not come back all at once.
	jitter func() float64

	// killed are containers that somebody sent a signal to, exits those that ended by themselves, with how often in a row;
	// by id.
	killed map[string]bool
	exits  map[string]bool
	// ends are when the last end of a container was told, by id; since is when events began to be heard.
	ends  map[string]time.Time
	since time.Time
	// troubles are by service; "" is for what belongs to none.
	troubles map[string]*trouble
	// stopped are the services that shall stay as they are; all means every one.
	stopped    map[string]bool
	allStopped bool
	// putBack are the containers that a failed update was put back to, by service and id.
	putBack map[string]map[string]bool
	// refused is why, by service.
	refused map[string]error
	// pins say which images the recipe's references mean; nil: those that the Engine has.
	pins map[string]Pin
	// restarts count what came back after its end, by service.
	restarts map[string]int
}

// trouble is a service that is not as wanted, or was not a moment ago.
type trouble struct {
	// attempts are repairs in a row, without a steady run between two of them.
	attempts int
	// loops are ends in a row without a steady run, whoever restarts.
	loops int
	// due is when the next one may be made; zero: nothing is to be repaired. last is when the one before might.
	due, last time.Time
	// started is when it last started.
	started time.Time
	// err is why the last attempt failed; nil if it didn't.
	err error
}

// The pauses before repairs: they double from the first to the longest, and begin anew after a steady run, as the Engine's
// own do (moby restartmanager/restartmanager.go).
const (
	firstRepair   = 100 * time.Millisecond
	longestRepair = time.Minute
	steadyRun     = 10 * time.Second
)

func newLedger(opts RunOptions) *ledger {
	return &ledger{
		opts:     opts,
		jitter:   rand.Float64,
		killed:   map[string]bool{},
		exits:    map[string]bool{},
		ends:     map[string]time.Time{},
		troubles: map[string]*trouble{},
		stopped:  map[string]bool{},
		putBack:  map[string]map[string]bool{},
		refused:  map[string]error{},
		restarts: map[string]int{},
	}
}

// heard notes how containers end: that is told by events alone.
func (l *ledger) heard(m events.Message) {
	id, service := m.Actor.ID, m.Actor.Attributes[compose.LabelService]
	at := time.Unix(0, m.TimeNano)
	switch m.Action {
	case events.ActionKill:
		if deadly(m.Actor.Attributes["signal"]) {
			l.killed[id] = true
		}
	case events.ActionDie:
		if !l.killed[id] {
			l.exits[id] = true
		}
		delete(l.killed, id)
		l.ends[id] = at
		t := l.trouble(service)
		if !t.started.IsZero() && at.Sub(t.started) >= steadyRun {
			t.attempts, t.loops = 0, 0
		}
		if l.exits[id] {
			t.loops++
		}
	case events.ActionStart:
		if l.exits[id] || l.trouble(service).attempts > 0 {
			l.restarts[service]++
		}
		delete(l.exits, id)
		delete(l.killed, id)
		l.trouble(service).started = at
	case events.ActionDestroy:
		delete(l.ends, id)
		delete(l.exits, id)
		delete(l.killed, id)
	}
}

// deadly tells whether a signal, by its number, is one that ends things: SIGINT, SIGQUIT, SIGKILL, SIGTERM.
func deadly(signal string) bool {
	n, err := strconv.Atoi(signal)
	return err != nil || slices.Contains([]int{2, 3, 9, 15}, n)
}

// lost forgets signals: whether what they meant came about was not heard.
func (l *ledger) lost() { clear(l.killed) }

// eventLag is how long an event may be under way.
const eventLag = 2 * time.Second

// untold tells whether a container was seen to have ended before the event came that says whether it did so by itself, and
// until when that is waited for.
func (l *ledger) untold(c *Container, now time.Time) (until time.Time, yes bool) {
	until = c.Finished.Add(eventLag)
	yes = c.Phase == container.StateExited && c.Finished.After(l.since) && l.ends[c.ID].Before(c.Finished) && now.Before(until)
	return until, yes
}

// trouble gives a service's own, made if need be.
func (l *ledger) trouble(service string) *trouble {
	t := l.troubles[service]
	if t == nil {
		t = &trouble{}
		l.troubles[service] = t
	}
	return t
}

// forgive begins anew with a recipe: what was tried before counts no more. What ended by itself stays so, unless it changes.
func (l *ledger) forgive() {
	for _, t := range l.troubles {
		t.attempts, t.loops, t.due, t.err = 0, 0, time.Time{}, nil
	}
	clear(l.putBack)
	clear(l.refused)
}

// wish notes what was asked for by hand.
func (l *ledger) wish(w Wish, all []*compose.Service) {
	if len(w.Services) == 0 {
		l.allStopped = w.Stopped
		clear(l.stopped)
		return
	}
	if l.allStopped && !w.Stopped {
		for _, s := range all {
			l.stopped[s.Name] = true
		}
		l.allStopped = false
	}
	for _, name := range w.Services {
		if w.Stopped {
			l.stopped[name] = true
		} else {
			delete(l.stopped, name)
		}
	}
}

// rests tells whether a service was stopped by hand.
func (l *ledger) rests(service string) bool { return l.allStopped || l.stopped[service] }

// schedule sets when a service that is not as wanted is repaired, unless that is set already.
func (l *ledger) schedule(service string, now time.Time) {
	t := l.trouble(service)
	if !t.due.IsZero() {
		return
	}
	if now.Sub(t.last) >= steadyRun && now.Sub(t.started) >= steadyRun && t.err == nil {
		t.attempts = 0
	}
	t.due = now.Add(l.pause(t.attempts))
	t.last = t.due
	t.attempts++
}

// pause is how long a repair waits after so many others: doubled each time, less up to a quarter at random.
func (l *ledger) pause(attempts int) time.Duration {
	pause := longestRepair
	if attempts < 10 {
		pause = min(firstRepair<<attempts, longestRepair)
	}
	return pause - time.Duration(l.jitter()*float64(pause)/4)
}

// repaired notes that services are as wanted.
func (l *ledger) repaired(service string) {
	if t := l.troubles[service]; t != nil {
		t.due, t.err = time.Time{}, nil
	}
}

// failed notes that a service could not be brought to what is wanted.
func (l *ledger) failed(service string, err error, now time.Time) {
	t := l.trouble(service)
	t.due, t.err = time.Time{}, err
	l.schedule(service, now)
}

// lies tells why a container that has ended is left as it is; "" if it is to be started.
func (l *ledger) lies(s *compose.Service, c *Container) string {
	if c.Phase != container.StateExited || !l.exits[c.ID] {
		return "" // what somebody stopped, and what ended while nobody looked, comes back
	}
	policy := s.Host.RestartPolicy
	switch policy.Name {
	case container.RestartPolicyAlways, container.RestartPolicyUnlessStopped:
		return ""
	case container.RestartPolicyOnFailure:
		if c.ExitCode == 0 {
			return "restart is on-failure"
		}
		// Where the Engine restarts, it has given up.
		if spent := policy.MaximumRetryCount; spent > 0 && (!l.opts.Diff.OwnRestarts || l.trouble(s.Name).loops > spent) {
			return "restart is on-failure:" + strconv.Itoa(spent) + ", and that often it was tried"
		}
		return ""
	}
	if l.opts.RestartExited {
		return ""
	}
	return "it has no restart policy"
}
