package main

import (
	"fmt"
	"time"

	"galley/engine"
)

// transfer adds up what the pulls of a walk have moved, several at a time. The zero value is ready for use.
type transfer struct {
	// now is the clock; nil is the machine's.
	now   func() time.Time
	began time.Time
	// told is when it was last printed.
	told  time.Time
	steps map[int]moved
}

// moved is what has come of one image.
type moved struct {
	engine.Amount
	underWay bool
}

func (t *transfer) clock() time.Time {
	if t.now == nil {
		return time.Now()
	}
	return t.now()
}

// take takes note of an event, if it tells of a pull.
func (t *transfer) take(e engine.Event) {
	step, known := t.steps[e.Index]
	switch {
	case e.Kind == engine.Progress && e.Bytes != nil && e.Step.Action.Verb() == engine.VerbPull:
		if t.steps == nil {
			t.began = t.clock()
			t.told, t.steps = t.began, map[int]moved{}
		}
		t.steps[e.Index] = moved{*e.Bytes, true}
	case known && e.Kind == engine.Done:
		step.Done = step.Total
		t.steps[e.Index] = moved{step.Amount, false}
	case known && e.Kind == engine.Failed:
		delete(t.steps, e.Index)
	}
}

// String is "120MB of 430MB, 28%, 12MB/s", or "" while nothing is under way.
func (t *transfer) String() string {
	var sum engine.Amount
	underWay := false
	for _, step := range t.steps {
		sum.Done += step.Done
		sum.Total += step.Total
		underWay = underWay || step.underWay
	}
	if !underWay || sum.Total == 0 {
		return ""
	}
	text := fmt.Sprintf("%s of %s, %d%%", byteSize(sum.Done), byteSize(sum.Total), percent(&sum))
	if took := t.clock().Sub(t.began).Seconds(); took >= 1 {
		text += fmt.Sprintf(", %s/s", byteSize(int64(float64(sum.Done)/took)))
	}
	return text
}

// due tells whether it is time to print it again, and takes it as done.
func (t *transfer) due() bool {
	if now := t.clock(); !t.began.IsZero() && now.Sub(t.told) >= tellEvery {
		t.told = now
		return true
	}
	return false
}
