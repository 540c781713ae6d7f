package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"galley/engine"
)

func TestTheBytesOfParallelPullsAreAddedUp(t *testing.T) {
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	show := &plainProgress{ui: newUI(nil, &out, "never", "plain", func(string) string { return "" })}
	show.pulls.now = func() time.Time { return clock }
	plan := shopPlan(t, "db", "web")
	pull := find(t, plan, engine.VerbPull, "busybox")
	come := func(index int, done, total int64) {
		e := pull
		e.Index, e.Kind, e.Bytes = index, engine.Progress, &engine.Amount{Done: done, Total: total}
		show.event(e)
	}
	come(0, 10e6, 100e6)
	come(1, 0, 300e6)
	clock = clock.Add(5 * time.Second)
	come(1, 70e6, 300e6)
	clock = clock.Add(5 * time.Second)
	come(0, 50e6, 100e6)
	clock = clock.Add(time.Second)
	come(0, 60e6, 100e6)
	done := pull
	done.Kind, done.Took = engine.Done, 11*time.Second
	show.event(done) // index 0
	clock = clock.Add(9 * time.Second)
	come(1, 200e6, 300e6)
	failed := pull
	failed.Index, failed.Kind, failed.Took = 1, engine.Failed, 20*time.Second
	show.event(failed)
	want := " pulling   80MB of 400MB, 20%, 16MB/s\n" +
		" pulling   120MB of 400MB, 30%, 12MB/s\n" +
		" image     busybox  pulled  11.0s\n" +
		" pulling   300MB of 400MB, 75%, 15MB/s\n" +
		" image     busybox  failed  20.0s\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if text := show.pulls.String(); text != "" {
		t.Errorf("with nothing under way it says %q", text)
	}
}
