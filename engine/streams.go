package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// LogLine is one line that a container wrote.
type LogLine struct {
	// Container and Service name the writer.
	Container, Service string
	// Stderr tells which stream; a container with a terminal has only stdout.
	Stderr bool
	// Time is when the Engine received the line.
	Time time.Time
	Text string
}

// LogOptions choose log lines.
type LogOptions struct {
	// Project is the containers' project.
	Project    string
	Containers []*Container
	// Follow goes on with new lines, through restarts, until ctx ends or no container will write any more.
	Follow bool
	// Joins, with Follow, picks those containers that are followed too when they start later; nil: none.
	Joins func(*Container) bool
	// Tail is "all" or a number of last lines of each container; "" means all.
	Tail string
	// Since and Until are as the Engine takes them: RFC 3339, Unix seconds, or a duration before now.
	Since, Until string
}

// Logs hands the containers' log lines to sink, from one goroutine: what was written before the call in order of time over
// all containers, what comes afterwards as it comes, each container's own lines in order.
func (e *Engine) Logs(ctx context.Context, opts LogOptions, sink func(LogLine)) error {
	f := &following{Engine: e, opts: opts, watch: e.newWatch(opts.Project), tailers: map[string]*tailer{}}
	defer f.watch.close()
	for _, c := range opts.Containers {
		f.tailer(c)
	}
	if !opts.Follow || len(opts.Containers) > 1 {
		if err := f.history(ctx, sink); err != nil || !opts.Follow {
			return errors.Join(err, f.unreadable())
		}
	}
	return errors.Join(f.follow(ctx, sink), f.unreadable())
}

// unreadable joins why logs could not be read that their drivers don't keep; it hinders no other.
func (f *following) unreadable() error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(f.tailers)) {
		errs = append(errs, f.tailers[id].unreadable)
	}
	return errors.Join(errs...)
}

// following is the reading of several logs.
type following struct {
	*Engine
	opts    LogOptions
	watch   *watch
	tailers map[string]*tailer // by container id
}

func (f *following) tailer(c *Container) *tailer {
	t := &tailer{Engine: f.Engine, c: c, opts: f.opts, watch: f.watch}
	f.tailers[c.ID] = t
	return t
}

// history hands on what the logs hold now, in order of time.
func (f *following) history(ctx context.Context, sink func(LogLine)) error {
	readers, ctx := errgroup.WithContext(ctx)
	streams := make([]chan LogLine, len(f.opts.Containers))
	for i, c := range f.opts.Containers {
		streams[i] = make(chan LogLine, ahead)
		readers.Go(func() error {
			defer close(streams[i])
			return f.tailers[c.ID].readOnce(ctx, into(ctx, streams[i]))
		})
	}
	merge(streams, sink)
	return readers.Wait()
}

// ahead is how many lines of each container are read ahead while they are put in order.
const ahead = 64

// into hands lines on to a channel until ctx ends.
func into(ctx context.Context, lines chan<- LogLine) func(LogLine) {
	return func(l LogLine) {
		select {
		case lines <- l:
		case <-ctx.Done():
		}
	}
}

// merge hands on the lines of all streams, the earliest first; each stream is in order.
func merge(streams []chan LogLine, sink func(LogLine)) {
	heads := make([]*LogLine, len(streams))
	for {
		first := -1
		for i, stream := range streams {
			if heads[i] == nil && stream != nil {
				line, ok := <-stream
				if !ok {
					streams[i] = nil
					continue
				}
				heads[i] = &line
			}
			if heads[i] != nil && (first < 0 || heads[i].Time.Before(heads[first].Time)) {
				first = i
			}
		}
		if first < 0 {
			return
		}
		sink(*heads[first])
		heads[first] = nil
	}
}

// follow hands on what comes, until no container will write any more.
func (f *following) follow(ctx context.Context, sink func(LogLine)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines, ended := make(chan LogLine), make(chan endedTailer)
	begin := func(t *tailer) {
		t.active = true
		go func() { ended <- endedTailer{t, t.follow(ctx, into(ctx, lines))} }()
	}
	var others <-chan struct{}
	if f.opts.Joins != nil {
		woken, done := f.watch.on(ctx, anyOther)
		defer done()
		others = woken
	}
	active := len(f.tailers)
	for _, t := range f.tailers {
		begin(t)
	}
	var errs []error
	for active > 0 {
		select {
		case line := <-lines:
			sink(line)
			continue
		case <-others:
		case e := <-ended:
			active--
			e.tailer.active = false
			if e.err != nil {
				errs = append(errs, e.err)
				cancel()
			}
		}
		for _, t := range f.joining(ctx) {
			active++
			begin(t)
		}
	}
	return errors.Join(errs...)
}

type endedTailer struct {
	tailer *tailer
	err    error
}

// joining are the tailers of containers that were made, or started again, meanwhile.
func (f *following) joining(ctx context.Context) []*tailer {
	if f.opts.Joins == nil || ctx.Err() != nil {
		return nil
	}
	containers, err := f.Containers(ctx, f.opts.Project)
	if err != nil {
		return nil // an Engine that went away ends the readers too
	}
	var joining []*tailer
	for _, c := range containers {
		switch t := f.tailers[c.ID]; {
		case t == nil && f.opts.Joins(c):
			joined := f.tailer(c)
			joined.opts.Tail, joined.opts.Since = "", "" // all of it is new
			joining = append(joining, joined)
		case t != nil && !t.active && c.Running():
			joining = append(joining, t)
		}
	}
	return slices.Clip(joining)
}

// lastLogs reads the last lines that a container wrote, for the report of its failure; none if they can't be had.
func (r *run) lastLogs(ctx context.Context, c ref) []string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.opts.AnswerWithin)
	defer cancel()
	var lines []string
	// What can't be read is left out: the failure itself is what must be told.
	_ = r.Logs(ctx, LogOptions{
		Project:    r.plan.Project,
		Containers: []*Container{{ID: r.id(c), Name: c.name}},
		Tail:       strconv.Itoa(failureLines),
	}, func(l LogLine) { lines = append(lines, l.Text) })
	return lines
}

// failureLines is how many last lines of a log, or of a hook, tell of a failure.
const failureLines = 10
