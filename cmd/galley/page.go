package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"galley/bosh"
)

//go:embed page.css
var pageStyle string

// pages serve the status to people.
type pages struct {
	cli    *cli
	status *statusWriter
	ctx    context.Context // ends with the supervisor

	mu    sync.Mutex
	read  time.Time
	lines map[string][]string
}

// pageEvery is how often the page asks for itself again, and how long last lines are good for.
const pageEvery = 5 * time.Second

func (p *pages) serve(w http.ResponseWriter, r *http.Request) {
	s := p.status.status()
	now := time.Now()
	page := drawPage(s, p.lastLines(r.Context(), s, now), now)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store")
	// Who has gone needs no answer.
	_, _ = io.WriteString(w, page)
}

// healthOf sums up the health of a service's containers; "" where nobody checks it.
func healthOf(s bosh.ServiceStatus) string {
	worst := ""
	order := []string{"", "healthy", "starting", "unhealthy"}
	for _, c := range s.Containers {
		if slices.Index(order, c.Health) > slices.Index(order, worst) {
			worst = c.Health
		}
	}
	return worst
}

// lastLines are the last lines of every service, read again when they are old.
func (p *pages) lastLines(ctx context.Context, s *bosh.Status, now time.Time) map[string][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.read) < pageEvery/2 {
		return p.lines
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	p.read, p.lines = now, nil
	e, err := p.cli.connect(ctx)
	if err != nil {
		return nil // the page says that the Engine can't be reached
	}
	defer e.Close()
	p.lines = serviceLines(ctx, e, s, func(bosh.ServiceStatus) bool { return true })
	return p.lines
}

// pageGraph is the picture of who needs whom.
type pageGraph struct {
	Width, Height int
	Nodes         []graphNode
	Edges         []graphEdge
}

type graphNode struct {
	X, Y, TextX, TextY int
	Name, State        string
}

type graphEdge struct {
	X1, Y1, X2, Y2 int
}

// The measures of the picture, in pixels.
const (
	nodeWidth, nodeHeight = 150, 34
	nodeGapX, nodeGapY    = 60, 16
	graphMargin           = 10
)

// drawGraph lays the services out in columns, each right of all that it needs; nil where nothing needs anything.
func drawGraph(services []bosh.ServiceStatus) *pageGraph {
	depth := depths(services)
	g := &pageGraph{}
	rows := map[int]int{}
	at := map[string]graphNode{}
	needs := 0
	for _, s := range services {
		column := depth[s.Name]
		n := graphNode{
			X:    graphMargin + column*(nodeWidth+nodeGapX),
			Y:    graphMargin + rows[column]*(nodeHeight+nodeGapY),
			Name: s.Name, State: s.State,
		}
		n.TextX, n.TextY = n.X+nodeWidth/2, n.Y+nodeHeight/2+5
		rows[column]++
		needs += len(s.Needs)
		g.Width = max(g.Width, n.X+nodeWidth+graphMargin)
		g.Height = max(g.Height, n.Y+nodeHeight+graphMargin)
		at[s.Name] = n
		g.Nodes = append(g.Nodes, n)
	}
	if needs == 0 {
		return nil
	}
	for _, s := range services {
		for _, need := range s.Needs {
			if from, there := at[need]; there {
				to := at[s.Name]
				g.Edges = append(g.Edges, graphEdge{from.X + nodeWidth, from.Y + nodeHeight/2, to.X, to.Y + nodeHeight/2})
			}
		}
	}
	return g
}

// depths are the lengths of the longest ways from each service to one that needs nothing.
func depths(services []bosh.ServiceStatus) map[string]int {
	depth := map[string]int{}
	for range services { // no way is longer than all services
		for _, s := range services {
			for _, need := range s.Needs {
				depth[s.Name] = max(depth[s.Name], min(depth[need]+1, len(services)-1))
			}
		}
	}
	return depth
}

// shorten cuts a text that has no place.
func shorten(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return fmt.Sprintf("%s…", string(runes[:most-1]))
	}
	return text
}
