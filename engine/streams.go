package engine

import (
	"context"
	"time"
)

// LogLine is one line that a container wrote.
type LogLine struct {
	// Container and Service name the writer.
	Container, Service string
	// Stderr tells which stream; a container with a terminal has only stdout.
	Stderr bool
	// Time is set when LogOptions.Timestamps asks for it.
	Time time.Time
	Text string
}

// LogOptions choose log lines.
type LogOptions struct {
	// Containers by id or name.
	Containers []*Container
	// Follow goes on with new lines until ctx ends or all containers have ended.
	Follow bool
	// Tail is "all" or a number of last lines; "" means all.
	Tail string
	// Since and Until are as the Engine takes them: RFC 3339, Unix seconds, or a duration before now.
	Since, Until string
	Timestamps   bool
}

// Logs hands the containers' log lines to sink, from one goroutine, each container's own in order.
func (e *Engine) Logs(ctx context.Context, opts LogOptions, sink func(LogLine)) error {
	panic("being written")
}
