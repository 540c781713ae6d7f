package enginetest

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

// startContainer answers POST /containers/*/start.
func (e *Engine) startContainer(r *request) error {
	if err := e.with(r, func(c *ctr) error {
		switch {
		case c.paused:
			return fail(http.StatusConflict, "cannot start a paused container, try unpause instead")
		case c.running: // so does one that waits for its restart
			return fail(http.StatusNotModified, "")
		}
		c.restarts.reset()
		c.manual = false
		return e.start(c)
	}); err != nil {
		return err
	}
	return r.done(http.StatusNoContent)
}

// start runs the container's command. A failure is remembered in its state, as dockerd does.
func (e *Engine) start(c *ctr) error {
	program, err := e.prepare(c)
	if err != nil {
		f := err.(*failure)
		c.message = f.message
		if c.exitCode == 0 || f.status == http.StatusBadRequest {
			c.exitCode = exitCodeOf(f)
		}
		e.detach(c)
		c.touch()
		if c.host.AutoRemove {
			e.remove(c, true)
		}
		return err
	}
	c.running, c.restarting, c.paused, c.oomKilled = true, false, false, false
	c.exitCode, c.message = 0, ""
	c.started = time.Now().UTC()
	e.serial++
	c.pid = 1000 + e.serial
	c.files.clearTmpfs(c)
	c.proc = e.newProcess(c, program)
	c.health = startingHealth(c.config.Healthcheck, c.health)
	c.touch()
	e.tell(c, events.ActionStart)
	c.proc.run()
	e.watchHealth(c)
	return nil
}

// exitCodeOf is the code that a failed start leaves (daemon/errors.go, setExitCodeFromError).
func exitCodeOf(f *failure) int {
	switch {
	case strings.Contains(f.message, "executable file not found"), strings.Contains(f.message, "no such file or directory"):
		return 127
	case strings.Contains(f.message, "permission denied"):
		return 126
	}
	return 128
}

// prepare does all that can fail about a start: namespaces, networks, ports, the command.
func (e *Engine) prepare(c *ctr) (*program, error) {
	if err := e.attach(c); err != nil {
		return nil, err
	}
	for _, mode := range []struct{ kind, value string }{{"IPC", string(c.host.IpcMode)}, {"PID", string(c.host.PidMode)}} {
		parent, ok := strings.CutPrefix(mode.value, "container:")
		if !ok {
			continue
		}
		p, err := e.container(parent)
		if err != nil {
			return nil, err
		}
		if !p.running {
			return nil, fail(http.StatusConflict, "cannot join %s of a non running container: %s", mode.kind, p.id)
		}
	}
	return e.program(c)
}

// stopContainer answers POST /containers/*/stop.
func (e *Engine) stopContainer(r *request) error {
	how, err := r.stopOptions()
	if err != nil {
		return err
	}
	e.mu.Lock()
	c, err := e.container(r.name)
	if err == nil && !c.running {
		err = fail(http.StatusNotModified, "")
	}
	e.mu.Unlock()
	if err != nil {
		return err
	}
	e.stop(c, how)
	return r.done(http.StatusNoContent)
}

// stopOptions are a stop's signal and grace period in seconds, where the caller gives them.
type stopOptions struct {
	signal  int
	seconds *int
}

func (r *request) stopOptions() (how stopOptions, err error) {
	if text := r.query.Get("signal"); text != "" && !r.older("1.42") {
		if how.signal, err = parseSignal(text); err != nil {
			return how, err
		}
	}
	if text := r.query.Get("t"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil {
			return how, fail(http.StatusInternalServerError, "%s", err)
		}
		how.seconds = &seconds
	}
	return how, nil
}

// stop sends the stop signal, waits for the grace period, kills. It goes on although the caller may have gone.
func (e *Engine) stop(c *ctr, how stopOptions) {
	e.mu.Lock()
	signal, seconds := sigTerm, 10
	if c.config.StopSignal != "" {
		signal, _ = parseSignal(c.config.StopSignal) // what nobody understands is 0: nothing happens until the kill
	}
	if how.signal != 0 {
		signal = how.signal
	}
	if c.config.StopTimeout != nil {
		seconds = *c.config.StopTimeout
	}
	if how.seconds != nil {
		seconds = *how.seconds
	}
	var grace <-chan time.Time
	if seconds >= 0 {
		timer := time.NewTimer(e.scaled(time.Duration(seconds) * time.Second))
		defer timer.Stop()
		grace = timer.C
	}
	e.signal(c, signal)
	for c.running && grace != nil || c.running && seconds < 0 {
		changed := c.changed
		e.mu.Unlock()
		select {
		case <-changed:
		case <-grace:
			grace = nil
		case <-e.background.Done():
			return
		}
		e.mu.Lock()
	}
	if c.running {
		e.signal(c, sigKill)
	}
	e.tell(c, events.ActionStop)
	e.mu.Unlock()
}

// signal delivers a signal that somebody asked for: no restart follows. The caller holds e.mu.
func (e *Engine) signal(c *ctr, number int) {
	c.manual = true
	ends := number == sigKill || e.isStopSignal(c, number)
	if ends {
		c.restarts.cancel()
	}
	if c.restarting {
		// Nothing runs that could be killed: it stays down (engine's containerStop emits "stop" alone).
		c.running, c.restarting = false, false
		c.touch()
		return
	}
	e.tell(c, events.ActionKill, "signal", strconv.Itoa(number))
	if c.paused && ends {
		c.paused = false
		c.proc.pause(false)
		e.tell(c, events.ActionUnPause)
	}
	c.proc.deliver(number)
	c.touch()
}

func (e *Engine) isStopSignal(c *ctr, number int) bool {
	own, _ := parseSignal(c.config.StopSignal)
	return c.config.StopSignal == "" || own == number
}

// exited takes note of a process's end, and plans its restart where the policy says so. The caller holds e.mu.
func (e *Engine) exited(c *ctr, p *process, code int) {
	if c.proc != p {
		return
	}
	p.cancel()
	c.proc = nil
	c.pid, c.paused = 0, false
	c.exitCode = code
	c.finished = time.Now().UTC()
	c.exits++
	if c.health != nil && c.health.Status != container.NoHealthcheck {
		c.health.Status = container.Unhealthy // daemon/health.go, stopHealthchecks: without an event
	}
	ran := c.finished.Sub(c.started)
	delay, again := c.restarts.next(c.host.RestartPolicy, code, c.manual, ran)
	c.running, c.restarting = again, again
	attributes := []string{"exitCode", strconv.Itoa(code)}
	if e.atLeast("1.44") {
		attributes = append(attributes, "execDuration", strconv.Itoa(int(ran.Seconds())))
	}
	e.tell(c, events.ActionDie, attributes...)
	e.detach(c)
	c.touch()
	switch {
	case again:
		c.restartCount++
		c.restarts.timer = time.AfterFunc(e.scaled(delay), func() { e.restartAfterDelay(c) })
	case c.host.AutoRemove:
		e.remove(c, true)
	}
}

func (e *Engine) restartAfterDelay(c *ctr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || c.removed || !c.restarting {
		return
	}
	if err := e.start(c); err != nil {
		c.running, c.restarting = false, false
		c.touch()
	}
}

// halt ends the container's process without a word. The caller holds e.mu.
func (e *Engine) halt(c *ctr) {
	c.restarts.cancel()
	if p := c.proc; p != nil {
		c.proc = nil
		p.cancel()
		e.detach(c)
	}
	c.running, c.restarting = false, false
}

// dieWithDaemon ends the container as a daemon that stops does.
func (e *Engine) dieWithDaemon(c *ctr) {
	manual := c.manual
	if c.running && !c.restarting {
		c.exitCode, c.finished = 137, time.Now().UTC()
		if c.host.Init != nil && *c.host.Init {
			c.exitCode = 143
		}
		c.exits++
	}
	e.halt(c)
	c.paused, c.pid, c.manual = false, 0, manual
	c.touch()
}

// rise starts the container if its restart policy says so when the daemon comes up (daemon/daemon.go, restore).
func (e *Engine) rise(c *ctr) {
	if c.started.IsZero() {
		return
	}
	c.restarts.reset()
	if _, again := c.restarts.next(c.host.RestartPolicy, c.exitCode, c.manual, 0); again {
		_ = e.start(c) // the failure is in its state
	}
}

// restartContainer answers POST /containers/*/restart.
func (e *Engine) restartContainer(r *request) error {
	how, err := r.stopOptions()
	if err != nil {
		return err
	}
	e.mu.Lock()
	c, err := e.container(r.name)
	running := err == nil && c.running
	e.mu.Unlock()
	if err != nil {
		return err
	}
	if running {
		e.stop(c, how)
	}
	if err := e.with(r, func(c *ctr) error {
		c.restarts.reset()
		c.manual = false
		if !c.running {
			if err := e.start(c); err != nil {
				return fail(err.(*failure).status, "Cannot restart container %s: %s", r.name, err)
			}
		}
		e.tell(c, events.ActionRestart)
		return nil
	}); err != nil {
		return err
	}
	return r.done(http.StatusNoContent)
}

// killContainer answers POST /containers/*/kill.
func (e *Engine) killContainer(r *request) error {
	number := sigKill
	if text := r.query.Get("signal"); text != "" {
		var err error
		if number, err = parseSignal(text); err != nil {
			if e.atLeast("1.44") {
				return fail(http.StatusBadRequest, "cannot kill container: %s: invalid signal: %s", r.name, text)
			}
			return err
		}
	}
	prefix := e.words("Cannot kill container", "cannot kill container")
	if err := e.with(r, func(c *ctr) error {
		if !c.running || c.restarting && number != sigKill {
			return e.notRunning(c)
		}
		e.signal(c, number)
		return nil
	}); err != nil {
		f := err.(*failure)
		return fail(f.status, "%s: %s: %s", prefix, r.name, f.message)
	}
	return r.done(http.StatusNoContent)
}

// notRunning refuses what needs a running container.
func (e *Engine) notRunning(c *ctr) error {
	return fail(http.StatusConflict, "%s %s is not running", e.words("Container", "container"), c.id)
}

// pauseContainer answers POST /containers/*/pause.
func (e *Engine) pauseContainer(r *request) error {
	if err := e.toldFirst(r, r.name, func() error {
		c, err := e.container(r.name)
		if err != nil {
			return err
		}
		switch {
		case !c.running:
			return e.notRunning(c)
		case c.restarting:
			return fail(http.StatusConflict, "Container %s is restarting, wait until the container is running", c.id)
		case c.paused:
			return fail(http.StatusConflict, "Container %s is already paused", c.id)
		}
		c.paused = true
		c.proc.pause(true)
		c.touch()
		e.tell(c, events.ActionPause)
		return nil
	}); err != nil {
		return err
	}
	return r.done(http.StatusNoContent)
}

// unpauseContainer answers POST /containers/*/unpause.
func (e *Engine) unpauseContainer(r *request) error {
	if err := e.toldFirst(r, r.name, func() error {
		c, err := e.container(r.name)
		if err != nil {
			return err
		}
		if !c.paused {
			return fail(http.StatusInternalServerError, "Container %s is not paused", c.id)
		}
		c.paused = false
		c.proc.pause(false)
		c.touch()
		e.tell(c, events.ActionUnPause)
		return nil
	}); err != nil {
		return err
	}
	return r.done(http.StatusNoContent)
}

// restarter decides on restarts (restartmanager/restartmanager.go): 100 ms doubling to a minute, from the start again
// when the container had run for more than ten seconds.
type restarter struct {
	count    int
	delay    time.Duration
	canceled bool
	timer    *time.Timer
}

func (r *restarter) reset() {
	r.cancel()
	*r = restarter{}
}

func (r *restarter) cancel() {
	r.canceled = true
	if r.timer != nil {
		r.timer.Stop()
	}
}

func (r *restarter) next(policy container.RestartPolicy, code int, manual bool, ran time.Duration) (time.Duration, bool) {
	if r.canceled {
		return 0, false
	}
	if ran >= 10*time.Second {
		r.delay = 0
	}
	r.delay = min(max(2*r.delay, 100*time.Millisecond), time.Minute)
	again := false
	switch policy.Name {
	case container.RestartPolicyAlways:
		again = true
	case container.RestartPolicyUnlessStopped:
		again = !manual
	case container.RestartPolicyOnFailure:
		again = code != 0 && (policy.MaximumRetryCount == 0 || r.count < policy.MaximumRetryCount)
	}
	if again {
		r.count++
	}
	return r.delay, again
}
