package engine

import (
	"context"
	"slices"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"galley/compose"
)

// link is one connection to the Engine, with the stream of its events.
type link struct {
	engine *Engine
	heard  <-chan events.Message
	broken <-chan error
	end    context.CancelFunc
	// err is why there is no link.
	err error
}

// messages and errs are the stream's; without a link nothing comes.
func (l *link) messages() <-chan events.Message {
	if l == nil {
		return nil
	}
	return l.heard
}

func (l *link) errs() <-chan error {
	if l == nil {
		return nil
	}
	return l.broken
}

func (l *link) close() {
	if l != nil && l.engine != nil {
		l.end()
		// What is left of a connection that is given up interests nobody.
		_ = l.engine.Close()
	}
}

// newLink connects and subscribes. The version is negotiated anew each time: the Engine may have been exchanged.
func newLink(ctx context.Context, opts Options) *link {
	e, err := Connect(ctx, opts)
	if err != nil {
		return &link{err: err}
	}
	stream, end := context.WithCancel(ctx)
	// Events returns when the Engine has answered; one that hangs is given up and tried again.
	impatience := time.AfterFunc(e.opts.AnswerWithin, end)
	messages, errs := e.api.Events(stream, events.ListOptions{Filters: runEvents()})
	impatience.Stop()
	return &link{engine: e, heard: messages, broken: errs, end: end}
}

// runEvents choose what can make a difference. There is no label among them: a network's events carry none.
func runEvents() filters.Args {
	args := filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)),
		filters.Arg("type", string(events.NetworkEventType)),
	)
	more := []events.Action{
		events.ActionRename, events.ActionUpdate, events.ActionCreate,
		events.ActionConnect, events.ActionDisconnect, events.ActionRemove,
	}
	for _, action := range append(gateEvents(), more...) {
		args.Add("event", string(action))
	}
	return args
}

// connect tries to get a link, in the background, once its time has come.
func (s *supervisor) connect(ctx context.Context, now time.Time) {
	if s.connecting || now.Before(s.retry) {
		return
	}
	s.connecting = true
	go func() {
		l := newLink(ctx, s.opts.Engine)
		select {
		case s.links <- l:
		case <-s.quit:
			l.close()
		}
	}()
}

// linked takes a link into use. Everything is read again: what happened without one left no event.
func (s *supervisor) linked(l *link) {
	s.connecting = false
	if l.err != nil {
		s.unreachable(l.err)
		return
	}
	s.link, s.pause = l, 0
	s.condition.engine, s.condition.host, s.condition.api = nil, l.engine.Host, l.engine.API
	s.facts = map[string]*Facts{}
	s.book.since = time.Now()
	s.readSoon(true, 0)
	s.note(Note{Kind: NoteConnected, Text: l.engine.Host})
}

// lost gives the link up. A walk under way finds out by itself, and waits for the Engine.
func (s *supervisor) lost(err error) {
	s.link.close()
	s.link = nil
	s.interrupt()
	s.book.lost()
	s.unreachable(err)
}

// unreachable notes that there is no link, and when the next attempt is made.
func (s *supervisor) unreachable(err error) {
	s.pause = min(max(2*s.pause, minPause), maxPause)
	s.retry = time.Now().Add(s.pause)
	if s.condition.engine == nil {
		s.note(Note{Kind: NoteLost, Err: err})
	}
	s.condition.engine = err
}

// heard takes an event. It wakes, and it tells what can't be read afterwards: whether a container ended by itself.
func (s *supervisor) heard(m events.Message) {
	if !s.concerns(m) {
		return
	}
	if m.Type == events.ContainerEventType {
		s.book.heard(m)
		s.doubt(m.Actor.ID)
		if ends(m.Action) && s.work != nil && s.work.job == "" && s.work.remaining[m.Actor.Attributes[compose.LabelService]] <= 0 {
			s.interrupt()
		}
	}
	if joinsOrLeaves(m.Action) {
		s.doubt(m.Actor.Attributes["container"])
	}
	updated := m.Action == events.ActionUpdate && s.work == nil
	s.inFull = s.inFull || updated
	s.readSoon(updated || m.Type == events.NetworkEventType && !joinsOrLeaves(m.Action), settle)
}

// doubt has a container inspected again: something was told of it. The Engine tells that one was paused, or has joined or left
// a network, before its lists do so (moby daemon/pause.go, daemon/container_operations.go); an inspect waits until it is done.
func (s *supervisor) doubt(id string) {
	delete(s.facts, id)
	s.dirty[id] = true
	s.told[id] = time.Now()
}

// joinsOrLeaves tells whether an event is of a network that is as it was: who is on it is listed with the containers.
func joinsOrLeaves(action events.Action) bool {
	return action == events.ActionConnect || action == events.ActionDisconnect
}

// settle is how long the loop waits for further events before it reads: they come in groups.
const settle = 20 * time.Millisecond

// ends tells whether a container is not what it was after an event.
func ends(action events.Action) bool {
	return action == events.ActionDie || action == events.ActionDestroy
}

// concerns tells whether an event is about the project.
func (s *supervisor) concerns(m events.Message) bool {
	if m.Type == events.ContainerEventType {
		return m.Actor.Attributes[compose.LabelProject] == s.want.Name
	}
	if s.want.NetworkNamed(m.Actor.Attributes["name"]) != nil {
		return true
	}
	id := m.Actor.Attributes["container"]
	return s.have != nil && slices.ContainsFunc(s.have.Containers, func(c *Container) bool { return c.ID == id })
}
