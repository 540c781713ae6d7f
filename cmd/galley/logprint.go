package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"galley/engine"
)

// logFlags say how log lines are printed.
type logFlags struct {
	noColor, noPrefix, timestamps bool
}

func (l *logFlags) addTo(f *pflag.FlagSet, timestamps string) {
	f.BoolVar(&l.noColor, "no-color", false, "print logs without colour")
	f.BoolVar(&l.noPrefix, "no-log-prefix", false, "print logs without the containers' names")
	f.BoolVarP(&l.timestamps, "timestamps", timestamps, false, "print logs with the time of each line")
}

// logPrinter prints log lines, each on the stream that the container wrote it to, behind the container's name.
type logPrinter struct {
	*logFlags
	out, err io.Writer
	color    bool
	project  string

	mu     sync.Mutex
	width  int
	styles map[string]style // by container name
}

// newLogPrinter is for these containers; others may join.
func (c *cli) newLogPrinter(flags *logFlags, project string, containers []*engine.Container) *logPrinter {
	p := &logPrinter{
		logFlags: flags, out: c.out, err: c.err, color: c.ui.outColor && !flags.noColor,
		project: project, styles: map[string]style{},
	}
	for _, have := range containers {
		p.know(have.Name)
	}
	return p
}

// know gives a container the next look. The width only grows, and only for those that come later.
func (p *logPrinter) know(name string) {
	looks := []style{cyan, yellow, green, "35", "34", "96", "93", "92", "95", "94"}
	if _, known := p.styles[name]; !known {
		p.styles[name] = looks[len(p.styles)%len(looks)]
		p.width = max(p.width, len(shortName(p.project, name)))
	}
}

// line prints one line.
func (p *logPrinter) line(l engine.LogLine) {
	text := l.Text
	if p.timestamps {
		text = l.Time.Format(time.RFC3339Nano) + " " + text
	}
	w := p.out
	if l.Stderr {
		w = p.err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.noPrefix {
		fmt.Fprintln(w, text)
		return
	}
	p.know(l.Container)
	prefix := fmt.Sprintf("%-*s  | ", p.width, shortName(p.project, l.Container))
	fmt.Fprintln(w, paint(p.color, p.styles[l.Container], prefix)+text)
}
