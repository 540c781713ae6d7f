package enginetest

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

// historyLimit is how many events dockerd keeps for "since" (daemon/events/events.go, eventsLimit).
const historyLimit = 256

// eventLog keeps the last events and hands new ones to the listeners.
type eventLog struct {
	history   []events.Message
	listeners map[*listener]bool
	last      int64
}

// listener is one event stream: what was not yet written, and the bell for it.
type listener struct {
	queue []events.Message
	more  chan struct{}
}

// forget drops the history and wakes nobody.
func (l *eventLog) forget() {
	l.history = nil
	if l.listeners == nil {
		l.listeners = map[*listener]bool{}
	}
}

// emit tells of something. The caller holds e.mu.
func (e *Engine) emit(kind events.Type, action events.Action, id string, attributes map[string]string) {
	l := &e.events
	// Two events never share a time, so that "since" can carry on behind one.
	l.last = max(l.last+1, time.Now().UnixNano())
	m := events.Message{
		Type:     kind,
		Action:   action,
		Actor:    events.Actor{ID: id, Attributes: attributes},
		Scope:    "local",
		Time:     l.last / int64(time.Second),
		TimeNano: l.last,
	}
	if kind == events.ContainerEventType || kind == events.ImageEventType {
		//lint:ignore SA1019 old callers read them
		m.Status, m.ID, m.From = string(action), id, attributes["image"]
	}
	l.history = append(l.history, m)
	if len(l.history) > historyLimit {
		l.history = l.history[1:]
	}
	for sub := range l.listeners {
		sub.queue = append(sub.queue, m)
		select {
		case sub.more <- struct{}{}:
		default:
		}
	}
}

// tell emits an event of a container, with its labels, image and name as attributes.
func (e *Engine) tell(c *ctr, action events.Action, more ...string) {
	attributes := map[string]string{}
	for i := 0; i < len(more); i += 2 {
		attributes[more[i]] = more[i+1]
	}
	maps.Copy(attributes, c.config.Labels)
	if c.config.Image != "" {
		attributes["image"] = c.config.Image
	}
	attributes["name"] = c.name
	e.emit(events.ContainerEventType, action, c.id, attributes)
}

// streamEvents answers GET /events: the history since a time, then what happens until another.
func (e *Engine) streamEvents(r *request) error {
	args, err := r.filters("config", "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope", "secret", "service", "type", "volume")
	if err != nil {
		return err
	}
	since, err := parseTime(r.query.Get("since"))
	if err != nil {
		return err
	}
	until, err := parseTime(r.query.Get("until"))
	if err != nil {
		return err
	}
	sub := &listener{more: make(chan struct{}, 1)}
	e.mu.Lock()
	if !since.IsZero() {
		for _, m := range e.events.history {
			if at := time.Unix(0, m.TimeNano); !at.Before(since) && (until.IsZero() || !at.After(until)) {
				sub.queue = append(sub.queue, m)
			}
		}
		sub.more <- struct{}{}
	}
	e.events.listeners[sub] = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.events.listeners, sub)
	}()
	return e.pump(r, sub, args, until)
}

// pump writes events until the caller goes, the daemon stops or the time is over.
func (e *Engine) pump(r *request, sub *listener, args filters.Args, until time.Time) error {
	out := json.NewEncoder(r.stream("application/json"))
	var over <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		over = timer.C
	}
	for {
		// What is already there is written even when its time is over: "until now" reads the history.
		e.mu.Lock()
		queue := sub.queue
		sub.queue = nil
		e.mu.Unlock()
		for _, m := range queue {
			if !eventPasses(args, m) {
				continue
			}
			if err := out.Encode(m); err != nil {
				return gone(err)
			}
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-over:
			return nil
		case <-sub.more:
		}
	}
}

// eventPasses is the filter of daemon/events/filter.go.
func eventPasses(args filters.Args, m events.Message) bool {
	return actionPasses(args, string(m.Action)) &&
		args.ExactMatch("type", string(m.Type)) &&
		args.ExactMatch("scope", m.Scope) &&
		(!args.Contains("label") || args.MatchKVList("label", m.Actor.Attributes)) &&
		actorPasses(args, events.ContainerEventType, m) &&
		actorPasses(args, events.VolumeEventType, m) &&
		actorPasses(args, events.NetworkEventType, m) &&
		imagePasses(args, m)
}

// actionPasses: "exec_create" matches "exec_create: sh", and "health_status" "health_status: healthy".
func actionPasses(args filters.Args, action string) bool {
	if !args.Contains("event") {
		return true
	}
	if args.ExactMatch("event", action) {
		return true
	}
	before, _, found := strings.Cut(action, ":")
	return found && args.ExactMatch("event", before)
}

func actorPasses(args filters.Args, kind events.Type, m events.Message) bool {
	key := string(kind)
	if !args.Contains(key) {
		return true
	}
	return m.Type == kind && (args.FuzzyMatch(key, m.Actor.ID) || args.FuzzyMatch(key, m.Actor.Attributes["name"]))
}

func imagePasses(args filters.Args, m events.Message) bool {
	if !args.Contains("image") {
		return true
	}
	name := m.Actor.Attributes["image"]
	if m.Type == events.ImageEventType {
		name = m.Actor.Attributes["name"]
	}
	return args.ExactMatch("image", m.Actor.ID) || args.ExactMatch("image", name) || args.ExactMatch("image", familiar(name))
}

// parseTime reads seconds with a fraction, or RFC 3339, the two forms that the client sends.
func parseTime(text string) (time.Time, error) {
	if text == "" || text == "0" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, fail(400, "strconv.ParseInt: parsing %q: invalid syntax", text)
	}
	nanos, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	return time.Unix(seconds, nanos), nil
}
