package main

import (
	"context"
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
