package engine

import (
	"context"
	"sync"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"galley/compose"
)

// watch wakes those who wait for something to happen to a container. It subscribes to the Engine's events when the first
// one comes, and again after a broken stream. An event is never state: who is woken reads again.
type watch struct {
	api     api
	project string
	// patience is how long the Engine may take to answer a subscription.
	patience time.Duration
	// subscribed is closed when the first subscription stands.
	subscribed chan struct{}

	mu      sync.Mutex
	stop    context.CancelFunc
	waiters map[string]map[chan struct{}]bool // by container id
	broken  bool                              // a stream broke
}

func (e *Engine) newWatch(project string) *watch {
	return &watch{
		api:        e.api,
		project:    project,
		patience:   e.opts.AnswerWithin,
		subscribed: make(chan struct{}),
		waiters:    map[string]map[chan struct{}]bool{},
	}
}

// gateEvents are those that can change what somebody waits for. The healthchecks' exec events are left out: they are many.
func gateEvents() []events.Action {
	return []events.Action{
		events.ActionStart, events.ActionDie, events.ActionStop, events.ActionKill, events.ActionDestroy,
		events.ActionHealthStatus, events.ActionPause, events.ActionUnPause, events.ActionRestart, events.ActionOOM,
	}
}

// anyOther stands for all containers that nobody waits for by their id.
const anyOther = ""

// on returns a channel that gets a value after each event of the container, and the function that ends it. When on
// returns, the subscription stands, or ctx has ended: what happens from now on wakes.
func (w *watch) on(ctx context.Context, id string) (<-chan struct{}, func()) {
	wake := make(chan struct{}, 1)
	w.mu.Lock()
	if w.waiters[id] == nil {
		w.waiters[id] = map[chan struct{}]bool{}
	}
	w.waiters[id][wake] = true
	if w.stop == nil {
		background, stop := context.WithCancel(context.Background())
		w.stop = stop
		go w.listen(background)
	}
	w.mu.Unlock()
	select {
	case <-w.subscribed:
	case <-ctx.Done():
	}
	return wake, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.waiters[id], wake)
	}
}

// listen passes events on until ctx ends. A broken stream is taken up again after a growing pause; what happened
// meanwhile left no event, so everybody is woken.
func (w *watch) listen(ctx context.Context) {
	pause := minPause
	for first := true; ctx.Err() == nil; first = false {
		stream, cancel := context.WithCancel(ctx)
		// Events returns when the Engine has answered; one that hangs is given up and tried again.
		impatience := time.AfterFunc(w.patience, cancel)
		messages, errs := w.subscribe(stream)
		impatience.Stop()
		if first {
			close(w.subscribed)
		} else {
			w.wakeAll()
		}
		if w.pass(messages, errs) {
			pause = minPause
		}
		cancel()
		w.mu.Lock()
		w.broken = true
		w.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

// The pauses between attempts to subscribe while the Engine is away.
const (
	minPause = 50 * time.Millisecond
	maxPause = 2 * time.Second
)

// pass wakes by events until the stream breaks, and tells whether there were any.
func (w *watch) pass(messages <-chan events.Message, errs <-chan error) (any bool) {
	for {
		select {
		case m := <-messages:
			any = true
			w.wake(m.Actor.ID)
		case <-errs:
			return any
		}
	}
}

func (w *watch) subscribe(ctx context.Context) (<-chan events.Message, <-chan error) {
	args := filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)),
		filters.Arg("label", compose.LabelProject+"="+w.project),
	)
	for _, action := range gateEvents() {
		args.Add("event", string(action))
	}
	return w.api.Events(ctx, events.ListOptions{Filters: args})
}

func (w *watch) wake(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiters[id]) == 0 {
		id = anyOther
	}
	for waiter := range w.waiters[id] {
		nudge(waiter)
	}
}

func (w *watch) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, waiters := range w.waiters {
		for waiter := range waiters {
			nudge(waiter)
		}
	}
}

// nudge leaves a token that says "read again"; one is enough however much happened.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// broke tells whether the stream broke at least once: the Engine may have gone away for a moment.
func (w *watch) broke() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop != nil {
		w.stop()
	}
}
