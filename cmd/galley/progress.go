package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"galley/engine"
)

// progress shows how a plan's walk is getting on.
type progress interface {
	// event takes what the walk tells, from one goroutine.
	event(engine.Event)
	// say prints a line about the walk as a whole, from any goroutine.
	say(text string)
	// close ends the show, so that other things may be printed.
	close()
}

// follow has the walk's events shown, and gathers what was skipped for the report. The title is the command and the
// project, total the number of steps, 0 if it isn't known.
func (c *cli) follow(ctx context.Context, e *engine.Engine, title string, total int) *follower {
	f := &follower{}
	switch {
	case c.ui.json:
		f.show = jsonProgress{c.ui}
	case c.ui.quiet:
		f.show = quietProgress{c.ui}
	case c.ui.live:
		f.show = newLive(c.ui, terminalSize(c.err), title, total)
	default:
		f.show = &plainProgress{ui: c.ui}
	}
	e.Notify = f.event
	f.unhook = context.AfterFunc(ctx, func() {
		f.show.say("finishing what is under way; interrupt again to return at once")
	})
	return f
}

// follower stands between the walk and the show.
type follower struct {
	show    progress
	skipped []*engine.Step
	// unhook ends the wait for an interruption.
	unhook func() bool
}

func (f *follower) event(e engine.Event) {
	if e.Kind == engine.Skipped {
		f.skipped = append(f.skipped, e.Step)
	}
	f.show.event(e)
}

func (f *follower) close() {
	f.unhook()
	f.show.close()
}

// wording is how a verb reads while it is carried out, and after.
type wording struct {
	doing, done string
}

func wordsOf(v engine.Verb) wording {
	switch v {
	case engine.VerbStop:
		return wording{"stopping", "stopped"}
	case engine.VerbAwait:
		return wording{"waiting for", "ready"}
	case engine.VerbRun:
		return wording{"running a hook in", "hook done"}
	case engine.VerbWrite:
		return wording{"writing", "written"}
	case engine.VerbSignal:
		return wording{"signalling", "signalled"}
	case engine.VerbTag:
		return wording{"tagging", "tagged"}
	case engine.VerbSave:
		return wording{"saving", "saved"}
	case engine.VerbPull, engine.VerbLoad, engine.VerbStart, engine.VerbKill, engine.VerbRestart, engine.VerbConnect, engine.VerbDisconnect:
		return wording{string(v) + "ing", string(v) + "ed"}
	}
	// create, remove, rename, pause, unpause
	return wording{string(v[:len(v)-1]) + "ing", string(v) + "d"}
}

// ended is how the end of a step that was done is told.
func ended(e engine.Event) string {
	if e.Kind == engine.Done && e.Detail != "" {
		return e.Detail
	}
	return wordsOf(e.Step.Action.Verb()).done
}

// plainProgress prints a line for each step that has ended, and now and then one for a step that moves many bytes, or
// for all pulls together.
type plainProgress struct {
	ui *ui
	// told is when something was last said of a step under way, or might have been, by its target's name.
	told map[string]time.Time
	// pulls adds up what the pulls have moved.
	pulls transfer
}

// tellEvery is how often a step under way gets a line where lines are final.
const tellEvery = 5 * time.Second

func (p *plainProgress) amount(target engine.Target, e engine.Event) {
	if e.Bytes == nil {
		return
	}
	last, known := p.told[target.Name]
	if known && time.Since(last) < tellEvery {
		return
	}
	if p.told == nil {
		p.told = map[string]time.Time{}
	}
	p.told[target.Name] = time.Now()
	if known {
		p.ui.say(" %-9s %s  %s", target.Kind, target.Name, amountWords(e))
	}
}

// total tells now and then how far all pulls have got.
func (p *plainProgress) total() {
	if text := p.pulls.String(); text != "" && p.pulls.due() {
		p.ui.say(" pulling   %s", text)
	}
}

func (p *plainProgress) event(e engine.Event) {
	target := e.Step.Action.Target()
	state := ended(e)
	p.pulls.take(e)
	switch e.Kind {
	case engine.Progress:
		if e.Step.Action.Verb() == engine.VerbPull {
			p.total()
		} else {
			p.amount(target, e)
		}
		return
	case engine.Warned:
		p.ui.warn(fmt.Sprintf("%s: %s", target, e.Detail))
		return
	case engine.Failed:
		state = "failed"
	case engine.Done:
	default:
		return
	}
	p.ui.say(" %-9s %s  %s  %s", target.Kind, target.Name, state, seconds(e.Took))
}

func (p *plainProgress) say(text string) { p.ui.say("%s", text) }
func (*plainProgress) close()            {}

// amountWords tells how far a step is by its bytes: "reading 45% of 2GB, 120MB/s".
func amountWords(e engine.Event) string {
	text := e.Detail + " "
	if e.Bytes.Total > 0 {
		text += fmt.Sprintf("%d%% of %s", percent(e.Bytes), byteSize(e.Bytes.Total))
	} else {
		text += byteSize(e.Bytes.Done)
	}
	if e.Bytes.Rate > 0 {
		text += fmt.Sprintf(", %s/s", byteSize(e.Bytes.Rate))
	}
	return text
}

func percent(a *engine.Amount) int64 { return min(100, a.Done*100/max(1, a.Total)) }

func byteSize(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

// bar draws an amount: "[=====>    ]"; nothing where the total is not known.
func bar(a *engine.Amount) string {
	const width = 20
	if a.Total <= 0 {
		return ""
	}
	full := int(percent(a) * width / 100)
	drawn := strings.Repeat("=", full)
	if full < width {
		drawn += ">"
	}
	return fmt.Sprintf("[%-*s] ", width, drawn)
}

// quietProgress shows warnings alone.
type quietProgress struct {
	ui *ui
}

func (q quietProgress) event(e engine.Event) {
	if e.Kind == engine.Warned {
		q.ui.warn(fmt.Sprintf("%s: %s", e.Step.Action.Target(), e.Detail))
	}
}

func (quietProgress) say(string) {}
func (quietProgress) close()     {}

// jsonProgress prints each event as an object.
type jsonProgress struct {
	ui *ui
}

// eventObject is an event as --progress json prints it. The fields are stable.
type eventObject struct {
	Event   engine.EventKind `json:"event"`
	Step    int              `json:"step"`
	Action  engine.Verb      `json:"action"`
	Kind    engine.Kind      `json:"kind"`
	Name    string           `json:"name"`
	Service string           `json:"service,omitempty"`
	// Seconds is how long the step took, with done and failed.
	Seconds *float64 `json:"seconds,omitempty"`
	Detail  string   `json:"detail,omitempty"`
	// Current, Total and Rate are bytes, and bytes a second, of a step that moves many; a total that is not known is missing.
	Current int64  `json:"current,omitempty"`
	Total   int64  `json:"total,omitempty"`
	Rate    int64  `json:"rate,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (p jsonProgress) event(e engine.Event) {
	target := e.Step.Action.Target()
	o := eventObject{
		Event:   e.Kind,
		Step:    e.Index,
		Action:  e.Step.Action.Verb(),
		Kind:    target.Kind,
		Name:    target.Name,
		Service: target.Service,
		Detail:  e.Detail,
	}
	if e.Kind == engine.Done || e.Kind == engine.Failed {
		took := e.Took.Round(time.Millisecond).Seconds()
		o.Seconds = &took
	}
	if e.Bytes != nil {
		o.Current, o.Total, o.Rate = e.Bytes.Done, e.Bytes.Total, e.Bytes.Rate
	}
	if e.Err != nil {
		o.Error = words(e.Err)
	}
	p.ui.mu.Lock()
	defer p.ui.mu.Unlock()
	p.ui.object(o)
}

func (p jsonProgress) say(text string) { p.ui.say("%s", text) }
func (jsonProgress) close()            {}

// seconds prints a duration as people read it beside a step.
func seconds(d time.Duration) string {
	if d < 100*time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}
