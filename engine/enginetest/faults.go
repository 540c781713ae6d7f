package enginetest

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"

	"github.com/docker/docker/api/types/container"
)

// Call is one call that the Engine got.
type Call struct {
	// Method and Path are the request's, the path without the API version; Query is its arguments.
	Method, Path string
	Query        url.Values
	// Op is the endpoint, with * for a name: "POST /containers/*/start".
	Op string
	// Nth counts the calls of this Op since the last reset, from 1.
	Nth int
	// Status is what was answered; 0 while the call runs, or if it got no answer.
	Status int
}

// Fault is what goes wrong with a call. With none of Hang, Drop and Late, the call is answered with Status and Message.
type Fault struct {
	// Status is the answer's; 0 is 500.
	Status  int
	Message string
	// Hang never answers, until the caller goes or the Engine ends.
	Hang bool
	// Drop closes the connection without an answer. (Go's own client repeats a GET that this happens to on a connection
	// which it has used before.)
	Drop bool
	// After does the work first, and then fails: the caller can't know.
	After bool
	// Late is called once the work is done, and its outcome is answered when Late returns: the caller learns what was.
	Late func()
}

// record is what was called, and what shall go wrong.
type record struct {
	mu        sync.Mutex
	calls     []*Call
	nth       map[string]int
	intercept func(Call) *Fault
}

func (r *record) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls, r.nth, r.intercept = nil, map[string]int{}, nil
}

// Calls returns the calls so far, in the order of their arrival.
func (e *Engine) Calls() []Call {
	e.record.mu.Lock()
	defer e.record.mu.Unlock()
	calls := make([]Call, 0, len(e.record.calls))
	for _, c := range e.record.calls {
		calls = append(calls, *c)
	}
	return calls
}

// Count returns how many calls of each Op there were.
func (e *Engine) Count() map[string]int {
	e.record.mu.Lock()
	defer e.record.mu.Unlock()
	return maps.Clone(e.record.nth)
}

// Ops returns the endpoints called, sorted, each once.
func (e *Engine) Ops() []string { return slices.Sorted(maps.Keys(e.Count())) }

// ResetCalls forgets the calls so far; each Op is counted from 1 again.
func (e *Engine) ResetCalls() {
	e.record.mu.Lock()
	defer e.record.mu.Unlock()
	e.record.calls, e.record.nth = nil, map[string]int{}
}

// Intercept has f asked before each call; what it returns goes wrong, nil leaves the call alone. A nil f ends it. f runs
// in the call's own goroutine: it may block, which holds that call up, and it may use the Engine.
func (e *Engine) Intercept(f func(Call) *Fault) {
	e.record.mu.Lock()
	defer e.record.mu.Unlock()
	e.record.intercept = f
}

// At is an Intercept function: the nth call of an Op goes wrong.
func At(op string, nth int, fault Fault) func(Call) *Fault {
	return func(c Call) *Fault {
		if c.Op == op && c.Nth == nth {
			return &fault
		}
		return nil
	}
}

// intercepted records a call and lets it go wrong where that is asked for.
func (e *Engine) intercepted(r *request, path string, w *statusWriter, work func()) {
	_, op, _ := e.find(r.Method, path)
	rec := &e.record
	rec.mu.Lock()
	rec.nth[op]++
	call := &Call{Method: r.Method, Path: path, Query: r.query, Op: op, Nth: rec.nth[op]}
	rec.calls = append(rec.calls, call)
	intercept, seen := rec.intercept, *call
	rec.mu.Unlock()
	var fault *Fault
	if intercept != nil {
		fault = intercept(seen)
	}
	defer func() {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		call.Status = w.status
	}()
	if fault == nil {
		work()
		return
	}
	if fault.Late != nil {
		fault.late(r, w, work)
		return
	}
	if fault.After {
		r.w = &statusWriter{ResponseWriter: &blackHole{header: http.Header{}}}
		work()
		r.w = w
	}
	fault.strike(r)
}

func (f *Fault) strike(r *request) {
	switch {
	case f.Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case f.Drop:
		panic(http.ErrAbortHandler)
	}
	status := f.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	r.refuse(&failure{status, f.Message})
}

// late keeps the outcome of work back.
func (f *Fault) late(r *request, w *statusWriter, work func()) {
	kept := httptest.NewRecorder()
	r.w = &statusWriter{ResponseWriter: kept}
	work()
	r.w = w
	f.Late()
	maps.Copy(w.Header(), kept.Header())
	w.WriteHeader(kept.Code)
	_, _ = w.Write(kept.Body.Bytes()) // the caller may have gone
}

// HoldRecords lets time pass, until the channel is closed, between what the Engine tells of and its writing that down, where
// dockerd does it in that order: when a container is paused, or joins or leaves a network by itself. Meanwhile lists show what
// was before, and inspects of the container wait. A nil channel ends it.
func (e *Engine) HoldRecords(until <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.holdRecords = until
}

// unrecorded is a change that was told of and not written down yet.
type unrecorded struct {
	before  container.Summary
	written chan struct{}
}

// toldFirst makes a change that dockerd tells of before it writes it down (daemon/pause.go, daemon/container_operations.go).
func (e *Engine) toldFirst(r *request, ref string, change func() error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	hold := e.holdRecords
	c, err := e.container(ref)
	if hold == nil || err != nil {
		return change()
	}
	pending := &unrecorded{before: e.summary(c, r), written: make(chan struct{})}
	c.pending = pending
	err = change()
	e.mu.Unlock()
	select {
	case <-hold:
	case <-e.background.Done():
	}
	e.mu.Lock()
	c.pending = nil
	close(pending.written)
	return err
}

// awaitRecord waits until what was told of a container is written down.
func (e *Engine) awaitRecord(ref string) {
	e.mu.Lock()
	c, err := e.container(ref)
	var pending *unrecorded
	if err == nil {
		pending = c.pending
	}
	e.mu.Unlock()
	if pending == nil {
		return
	}
	select {
	case <-pending.written:
	case <-e.background.Done():
	}
}

// blackHole swallows the answer of work whose outcome the caller shall not learn.
type blackHole struct{ header http.Header }

func (b *blackHole) Header() http.Header         { return b.header }
func (b *blackHole) WriteHeader(int)             {}
func (b *blackHole) Write(p []byte) (int, error) { return len(p), nil }
func (b *blackHole) Flush()                      {}
