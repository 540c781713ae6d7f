package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"galley/bosh"
)

// untilStatus waits for the supervisor of project shop to say something.
func untilStatus(t *testing.T, p *process, what string, is func(*bosh.Status) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var last *bosh.Status
	err := followStatus(ctx, statusOfProject(t, p), func(s *bosh.Status) bool {
		last = s
		return s != nil && is(s)
	})
	if err != nil {
		t.Fatalf("waiting until %s: %v: %+v", what, err, last)
	}
}

func TestOwnRestartsAreNoChangeToOtherCommands(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	recipe := strings.ReplaceAll(supervised, "image: busybox", "image: busybox\n    restart: always")
	p := supervisor(t, e, recipe, "--own-restarts")
	untilUp(t, p)
	if out, got := beside(t, p, "plan", "--detailed-exitcode"); got != 0 {
		t.Errorf("plan: exit code %d:\n%s", got, out)
	}
	e.ResetCalls()
	if out, got := beside(t, p, "up", "-d"); got != 0 || !strings.Contains(out, "nothing to do") {
		t.Errorf("up: exit code %d:\n%s", got, out)
	}
	untilUp(t, p)
	for call := range e.Count() {
		if strings.HasPrefix(call, "POST") {
			t.Errorf("something was changed: %s", call)
		}
	}
	p.Process.Signal(syscall.SIGTERM)
	p.Wait()
	out, got := beside(t, p, "plan", "--detailed-exitcode")
	if got != exitPending || !strings.Contains(out, "restart") {
		t.Errorf("plan without the supervisor: exit code %d:\n%s", got, out)
	}
}

func TestASupervisorHoldsTheScaleThatWasAskedFor(t *testing.T) {
	t.Parallel()
	p := supervisor(t, newEngine(t), supervised)
	untilUp(t, p)
	web := func(n int) func(*bosh.Status) bool {
		return func(s *bosh.Status) bool {
			return s.Up && !s.Yielded && len(s.Services) == 2 && s.Services[1].Wanted == n && s.Services[1].Running == n
		}
	}
	for _, c := range []struct {
		args     []string
		replicas int
	}{
		{[]string{"scale", "web=3"}, 3},
		{[]string{"up", "-d", "db"}, 3},
		{[]string{"up", "-d", "--scale", "web=2"}, 2},
		{[]string{"up", "-d"}, 1},
		{[]string{"scale", "web=2"}, 2},
	} {
		if out, got := beside(t, p, c.args...); got != 0 {
			t.Fatalf("%v: exit code %d:\n%s", c.args, got, out)
		}
		untilStatus(t, p, strings.Join(c.args, " ")+" is held", web(c.replicas))
	}
	p.Process.Signal(syscall.SIGHUP)
	untilStatus(t, p, "the recipe counts again", web(1))
}

func TestScheduledRunsBesideOtherCommands(t *testing.T) {
	t.Parallel()
	recipe := supervised + "  job: {image: busybox, command: sh -c 'echo ran; sleep infinity', x-galley: {schedule: \"@every 1s\"}}\n"
	p := supervisor(t, newEngine(t), recipe, "--log-dir", "logs", "--log-file", "log")
	job := func(what string, is func(s *bosh.ServiceStatus) bool) {
		t.Helper()
		untilStatus(t, p, what, func(s *bosh.Status) bool {
			return len(s.Services) == 3 && s.Services[1].Schedule != nil && !s.Yielded && is(&s.Services[1])
		})
	}
	ran := func(times int) func(*bosh.ServiceStatus) bool {
		return func(s *bosh.ServiceStatus) bool { return s.Schedule.Runs >= times }
	}
	rests := func(s *bosh.ServiceStatus) bool {
		return s.State == "stopped" && strings.Contains(s.Why, "stopped by hand") && s.Schedule.Skipped > 0
	}
	for _, c := range []struct {
		args []string
		says string
		then func(*bosh.ServiceStatus) bool
	}{
		{[]string{"logs", "--no-log-prefix", "job"}, "ran\n", ran(1)},
		{[]string{"exec", "job", "echo", "inside"}, "inside\n", ran(1)},
		{[]string{"prune", "--all"}, "nothing to do", ran(1)},
		{[]string{"kill", "job"}, "shop-job-at-", rests},
		{[]string{"rm", "-f", "job"}, "shop-job-at-", rests},
		{[]string{"up", "-d", "job"}, "nothing to do", ran(2)},
		{[]string{"stop", "job"}, "shop-job-at-", rests},
		{[]string{"start", "job"}, "nothing to do", ran(3)},
		{[]string{"down"}, "shop-job-at-", rests},
	} {
		if c.args[0] == "logs" {
			job("it ran", ran(1))
			untilKept(t, filepath.Join(p.Dir, "logs", "job-run.log"), "ran")
		}
		out, got := beside(t, p, c.args...)
		if got != 0 || !strings.Contains(out, c.says) {
			t.Fatalf("%v: exit code %d, without %q:\n%s", c.args, got, c.says, out)
		}
		job(strings.Join(c.args, " ")+" is heeded", c.then)
	}
	if out, got := beside(t, p, "ps", "-aq"); got != 0 || out != "" {
		t.Errorf("after down there is: exit code %d:\n%s", got, out)
	}
	if log, err := os.ReadFile(filepath.Join(p.Dir, "log")); err != nil || strings.Contains(string(log), "cancel") {
		t.Errorf("a run was cut off: error %v:\n%s", err, log)
	}
}
