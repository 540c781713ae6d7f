package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"galley/bosh"
	"galley/compose"
	"galley/engine"
)

// reported is what is printed on standard error for a failure.
func reported(err error, progress string) string {
	var out bytes.Buffer
	c := &cli{err: &out}
	c.ui = newUI(nil, &out, "never", progress, func(string) string { return "" })
	c.report(err)
	return out.String()
}

func TestReport(t *testing.T) {
	plan := shopPlan(t, "db", "web")
	start, pull, await := find(t, plan, engine.VerbStart, "shop-db-1").Step, find(t, plan, engine.VerbPull, "busybox").Step,
		find(t, plan, engine.VerbAwait, "shop-db-1").Step
	away := &engine.UnreachableError{Host: "unix:///run/x.sock", Err: errors.New("broken pipe")}
	for _, test := range []struct {
		name string
		err  error
		want string
		code int
	}{
		{
			"a step in the engine's words", &engine.StepError{Step: start, Err: errors.New("Error response from daemon: port is already allocated")},
			"error: service \"db\": starting container shop-db-1: port is already allocated\n", 1,
		}, {
			"a start that the runtime refused, without the programs between",
			&engine.StepError{Step: start, Err: errors.New("Error response from daemon: failed to create shim task: OCI runtime create failed: runc create failed: " +
				`unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown`)},
			"error: service \"db\": starting container shop-db-1: exec: \"nosuch\": executable file not found in $PATH\n", 1,
		}, {
			"a container that died, with its last lines",
			&engine.StepError{Step: await, Err: &engine.UnhealthyError{Service: "db", Container: "shop-db-1", State: "exited with code 3"}, Logs: []string{"hi", "no\x1b[2Jsuch"}},
			"error: service \"db\" exited with code 3 (container shop-db-1)\n  its last lines:\n  | hi\n  | no[2Jsuch\n", 6,
		}, {
			"an image, with the way out",
			&engine.StepError{Step: pull, Err: &engine.ImageError{Ref: "busybox", Err: errors.New("manifest unknown"), Hint: "check the image's name"}},
			"error: service \"db\": getting image \"busybox\": manifest unknown\nhint: check the image's name\n", 5,
		}, {
			"an engine that went away fails many steps and is told once",
			errors.Join(&engine.StepError{Step: start, Err: away}, &engine.StepError{Step: await, Err: away}),
			"error: reaching the engine at unix:///run/x.sock: broken pipe\nhint: is dockerd running? --host or DOCKER_HOST says where\n", 7,
		}, {
			"all failures and what was skipped",
			&skippedError{errors.Join(errors.New("one"), fmt.Errorf("two: %w", errors.New("three"))), []*engine.Step{start, await, pull}},
			"error: one\nerror: two: three\nnote: skipped because of it: container shop-db-1, image busybox\n", 1,
		}, {
			"a rollback", &engine.RolledBackError{Services: []string{"db"}, Err: errors.New("one")},
			"error: one\nnote: put back to what ran before: db\n", 1,
		}, {
			"a rollback that failed", &engine.RolledBackError{Services: []string{"db"}, Err: errors.New("one"), Restore: errors.New("two")},
			"error: one\nerror: putting back what ran before failed too: db\nhint: the next `galley up` goes on from here; `galley rollback` goes back to the last good state\nerror: two\n", 1,
		}, {
			"an invalid recipe",
			&recipeError{&compose.InvalidError{Diagnostics: []compose.Diagnostic{
				{Severity: compose.Warning, Code: "w", Message: "odd", File: "a.yml", Line: 1},
				{Severity: compose.Error, Code: "e", Message: "bad", Hint: "do better", File: "a.yml", Line: 2, Column: 3},
				{Severity: compose.Note, Code: "n", Message: "by the way"},
			}}},
			"warning: a.yml:1: odd [w]\nerror: a.yml:2:3: bad [e]\nhint: do better\n", 3,
		}, {
			"a held lock", &bosh.HeldError{Path: "/run/shop.lock"},
			"error: the lock \"/run/shop.lock\" is held by another process\nhint: --wait-lock waits until it is given back\n", 8,
		}, {
			"an engine that is too old", &engine.TooOldError{Attribute: "galley", Need: "1.41", Have: "1.30"},
			"error: galley needs engine API 1.41, this engine has 1.30\nhint: galley drives Docker Engine 20.10 and newer\n", 7,
		}, {
			"an engine that is too new", &engine.TooNewError{Attribute: "a.b", Place: "c.yml:1:2", Since: "1.46", Have: "1.51", Why: "no", Hint: "do better"},
			"error: c.yml:1:2: a.b is refused from engine API 1.46 on, this engine has 1.51: no\nhint: do better\n", 7,
		}, {
			"the command line", &usageError{err: errors.New("no such thing"), hint: "try another"},
			"error: no such thing\nhint: try another\n", 2,
		}, {
			"an exit code alone", statusError(4), "", 4,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, reported(test.err, "auto")); diff != "" {
				t.Errorf("printed (-want +got):\n%s", diff)
			}
			if got := exitCode(context.Background(), test.err); got != test.code {
				t.Errorf("exit code %d, want %d", got, test.code)
			}
		})
	}
}

func TestReportAsJSON(t *testing.T) {
	got := reported(&usageError{err: errors.New(`no "x"`), hint: "try"}, "json")
	want := `{"level":"error","message":"no \"x\""}` + "\n" + `{"level":"hint","message":"try"}` + "\n"
	if got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestAnInterruptedCommandExitsAsShellsSay(t *testing.T) {
	for signal, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(interruption{signal})
		if got := exitCode(ctx, &engine.InterruptedError{}); got != want {
			t.Errorf("%s: exit code %d, want %d", signal, got, want)
		}
		if got := exitCode(ctx, nil); got != 0 {
			t.Errorf("%s, but done: exit code %d, want 0", signal, got)
		}
	}
}
