package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"galley/compose"
	"galley/engine"
)

// screen is a terminal as far as live uses one: lines, a cursor, and what scrolled out at the top.
type screen struct {
	t             *testing.T
	width, height int
	lines         []string // all that was ever printed; the last height lines are visible
	row           int
	col           int
}

func (s *screen) Write(p []byte) (int, error) {
	for rest := string(p); rest != ""; {
		if after, ok := strings.CutPrefix(rest, "\x1b["); ok {
			end := strings.IndexFunc(after, func(r rune) bool { return r >= 'A' })
			s.control(after[:end], after[end])
			rest = after[end+1:]
			continue
		}
		r := []rune(rest)[0]
		rest = rest[len(string(r)):]
		s.put(r)
	}
	return len(p), nil
}

func (s *screen) put(r rune) {
	for s.row >= len(s.lines) {
		s.lines = append(s.lines, "")
	}
	switch r {
	case '\n':
		s.row, s.col = s.row+1, 0
	case '\r':
		s.col = 0
	default:
		if s.col >= s.width {
			s.t.Errorf("a line is wider than the terminal's %d columns: %q", s.width, s.lines[s.row])
		}
		line := []rune(s.lines[s.row])
		for s.col >= len(line) {
			line = append(line, ' ')
		}
		line[s.col] = r
		s.lines[s.row] = string(line)
		s.col++
	}
}

func (s *screen) control(args string, what byte) {
	n := 1
	fmt.Sscan(args, &n)
	switch what {
	case 'A':
		if top := max(0, len(s.lines)+1-s.height); s.row-n < top {
			s.t.Errorf("the cursor goes %d lines up from line %d, above the terminal's first line %d", n, s.row, top)
		}
		s.row -= n
	case 'J':
		s.lines = s.lines[:min(s.row, len(s.lines))]
	case 'K':
		if s.row < len(s.lines) {
			line := []rune(s.lines[s.row])
			s.lines[s.row] = string(line[:min(s.col, len(line))])
		}
	case 'm':
	default:
		s.t.Errorf("unexpected control sequence %q%c", args, what)
	}
}

func (s *screen) String() string { return strings.Join(s.lines, "\n") + "\n" }

// shopPlan is a plan of two services, one waiting for the other.
func shopPlan(t *testing.T, services ...string) *engine.Plan {
	t.Helper()
	p := &compose.Project{Name: "shop", Separator: "-"}
	p.Networks = []*compose.Network{{Key: "default", Name: "shop_default", Hash: "1:n"}}
	for i, name := range services {
		s := &compose.Service{Name: name, Replicas: 1, Hash: "1:" + name}
		s.Config.Image = "busybox"
		s.Pull.Policy = compose.PullMissing
		s.Endpoints = []compose.Endpoint{{Network: "default", Name: "shop_default"}}
		if i > 0 {
			s.Needs = []compose.Need{{Service: services[i-1], Condition: compose.Healthy, Required: true}}
		}
		p.Services = append(p.Services, s)
	}
	plan, err := engine.Diff(p, &engine.State{Project: "shop", API: "1.41"}, engine.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// find returns the first step of a verb and a target's name.
func find(t *testing.T, plan *engine.Plan, verb engine.Verb, name string) engine.Event {
	t.Helper()
	for i := range plan.Steps {
		if a := plan.Steps[i].Action; a.Verb() == verb && a.Target().Name == name {
			return engine.Event{Index: i, Step: &plan.Steps[i]}
		}
	}
	t.Fatalf("no step %s %s in plan:\n%s", verb, name, plan)
	return engine.Event{}
}

// stage is a live display on a screen, with a clock that the test moves.
type stage struct {
	*live
	screen *screen
	plan   *engine.Plan
	clock  time.Time
	t      *testing.T
}

func newStage(t *testing.T, width, height int, plan *engine.Plan) *stage {
	s := &stage{screen: &screen{t: t, width: width, height: height}, plan: plan, t: t}
	s.clock = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.live = &live{
		ui:    &ui{err: s.screen, live: true},
		size:  func() (int, int) { return width, height },
		now:   func() time.Time { return s.clock },
		title: "up shop",
		total: len(plan.Steps),
		began: s.clock,
		pulls: transfer{now: func() time.Time { return s.clock }},
		stop:  make(chan struct{}),
	}
	return s
}

// tell plays an event, then draws as the ticker does.
func (s *stage) tell(kind engine.EventKind, verb engine.Verb, name string, with ...func(*engine.Event)) {
	e := find(s.t, s.plan, verb, name)
	e.Kind = kind
	for _, f := range with {
		f(&e)
	}
	s.event(e)
	s.draw()
}

func (s *stage) pass(d time.Duration) { s.clock = s.clock.Add(d) }

func TestLiveShowsALineForEachResource(t *testing.T) {
	s := newStage(t, 80, 24, shopPlan(t, "db", "web"))
	s.tell(engine.Begun, engine.VerbPull, "busybox")
	s.tell(engine.Progress, engine.VerbPull, "busybox", func(e *engine.Event) { e.Detail = "1MB of 4MB" })
	s.pass(1500 * time.Millisecond)
	s.draw()
	want := "up shop  0/7  1.5s\n" +
		" image     busybox   pulling         1.5s  1MB of 4MB\n"
	if diff := cmp.Diff(want, s.screen.String()); diff != "" {
		t.Errorf("while pulling (-want +got):\n%s", diff)
	}
	s.tell(engine.Done, engine.VerbPull, "busybox")
	s.tell(engine.Begun, engine.VerbCreate, "shop-db-1")
	s.tell(engine.Done, engine.VerbCreate, "shop-db-1")
	s.tell(engine.Begun, engine.VerbStart, "shop-db-1")
	s.pass(500 * time.Millisecond)
	s.tell(engine.Failed, engine.VerbStart, "shop-db-1", func(e *engine.Event) { e.Err = errors.New("no") })
	s.tell(engine.Skipped, engine.VerbStart, "shop-web-1")
	s.close()
	want = "up shop  4/7  2.0s\n" +
		" image     busybox     pulled          1.5s\n" +
		" container shop-db-1   failed          0.5s\n" +
		" container shop-web-1  skipped         0.0s\n"
	if diff := cmp.Diff(want, s.screen.String()); diff != "" {
		t.Errorf("at the end (-want +got):\n%s", diff)
	}
}

func TestLiveKeepsWarningsAboveItsLines(t *testing.T) {
	s := newStage(t, 80, 24, shopPlan(t, "db"))
	s.tell(engine.Begun, engine.VerbCreate, "shop-db-1")
	s.tell(engine.Warned, engine.VerbCreate, "shop-db-1", func(e *engine.Event) { e.Detail = "no swap limit" })
	want := "warning: container shop-db-1: no swap limit\n" +
		"up shop  0/4  0.0s\n" +
		" container shop-db-1  creating        0.0s\n"
	if diff := cmp.Diff(want, s.screen.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.close()
}

func TestLiveStaysWithinAShortTerminal(t *testing.T) {
	var services []string
	for i := range 10 {
		services = append(services, fmt.Sprintf("s%d", i))
	}
	s := newStage(t, 60, 6, shopPlan(t, services...))
	for _, name := range services {
		s.tell(engine.Begun, engine.VerbCreate, "shop-"+name+"-1")
	}
	for _, name := range services[:9] {
		s.tell(engine.Done, engine.VerbCreate, "shop-"+name+"-1")
	}
	s.draw()
	got := s.screen.String()
	if n := strings.Count(got, "\n"); n > 5 {
		t.Errorf("%d lines drawn on a terminal of 6:\n%s", n, got)
	}
	if !strings.Contains(got, "shop-s9-1") || !strings.Contains(got, "and 7 more") {
		t.Errorf("what is under way is not shown first, or the rest is not counted:\n%s", got)
	}
	s.close()
	for _, name := range services {
		if !strings.Contains(s.screen.String(), "shop-"+name+"-1") {
			t.Errorf("%s is missing from the final lines:\n%s", name, s.screen)
		}
	}
}

// TestLiveFitsEveryWidth draws on terminals of all widths; the screen fails the test where a line is too wide.
func TestLiveFitsEveryWidth(t *testing.T) {
	plan := shopPlan(t, "db", "web-with-quite-a-long-name-that-goes-on-and-on")
	for width := 1; width < 120; width++ {
		s := newStage(t, width, 24, plan)
		s.ui.errColor = true
		s.tell(engine.Begun, engine.VerbCreate, "shop-db-1")
		s.tell(engine.Begun, engine.VerbCreate, "shop-web-with-quite-a-long-name-that-goes-on-and-on-1")
		s.tell(engine.Begun, engine.VerbPull, "busybox")
		s.tell(engine.Progress, engine.VerbPull, "busybox", func(e *engine.Event) { e.Detail, e.Bytes = "downloading", &engine.Amount{Done: 125e5, Total: 4e7} })
		s.close()
	}
}

func TestPlainProgressPrintsALineForEachStepThatEnded(t *testing.T) {
	plan := shopPlan(t, "db", "web")
	for _, test := range []struct {
		mode string
		want string
	}{
		{"plain", " network   shop_default  created  0.1s\n" +
			"warning: container shop-db-1: no swap limit\n" +
			" container shop-db-1  ready  2.5s\n" +
			" container shop-web-1  failed  2m0s\n"},
		{"json", `{"event":"begun","step":1,"action":"create","kind":"network","name":"shop_default"}` + "\n" +
			`{"event":"done","step":1,"action":"create","kind":"network","name":"shop_default","seconds":0.123}` + "\n" +
			`{"event":"warned","step":2,"action":"create","kind":"container","name":"shop-db-1","service":"db","detail":"no swap limit"}` + "\n" +
			`{"event":"done","step":5,"action":"await","kind":"container","name":"shop-db-1","service":"db","seconds":2.5}` + "\n" +
			`{"event":"failed","step":6,"action":"start","kind":"container","name":"shop-web-1","service":"web","seconds":120,"error":"no such thing"}` + "\n"},
		{"quiet", "warning: container shop-db-1: no swap limit\n"},
	} {
		var out bytes.Buffer
		u := newUI(nil, &out, "never", test.mode, func(string) string { return "" })
		show := map[string]progress{"plain": &plainProgress{ui: u}, "json": jsonProgress{u}, "quiet": quietProgress{u}}[test.mode]
		play := func(kind engine.EventKind, verb engine.Verb, name string, took time.Duration, err error, detail string) {
			e := find(t, plan, verb, name)
			e.Kind, e.Took, e.Err, e.Detail = kind, took, err, detail
			show.event(e)
		}
		play(engine.Begun, engine.VerbCreate, "shop_default", 0, nil, "")
		play(engine.Done, engine.VerbCreate, "shop_default", 123*time.Millisecond, nil, "")
		play(engine.Warned, engine.VerbCreate, "shop-db-1", 0, nil, "no swap limit")
		play(engine.Done, engine.VerbAwait, "shop-db-1", 2500*time.Millisecond, nil, "")
		play(engine.Failed, engine.VerbStart, "shop-web-1", 2*time.Minute, errors.New("Error response from daemon: no such thing"), "")
		show.close()
		if diff := cmp.Diff(test.want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.mode, diff)
		}
	}
}
