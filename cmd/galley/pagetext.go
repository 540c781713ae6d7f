package main

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"time"

	"galley/bosh"
)

// markup is a page under construction. What others wrote gets into it through text and the arguments of add alone, which
// escape it. (html/template would do the same and make the program a quarter larger: it keeps the linker from leaving out
// any exported method.)
type markup struct {
	strings.Builder
}

// add writes markup in which each % verb stands for an argument; texts among them are escaped.
func (m *markup) add(format string, args ...any) {
	for i, arg := range args {
		switch value := arg.(type) {
		case string:
			args[i] = html.EscapeString(value)
		case int:
		default:
			args[i] = html.EscapeString(fmt.Sprint(value))
		}
	}
	fmt.Fprintf(m, format, args...)
}

// drawPage is the status as a page that needs nothing else, no JavaScript either.
func drawPage(s *bosh.Status, lines map[string][]string, now time.Time) string {
	m := &markup{}
	state, word := "failed", "not up"
	if s.Up {
		state, word = "up", "up"
	}
	m.add("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
	m.add("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
	m.add("<meta http-equiv=\"refresh\" content=\"%d\">\n<title>%s: %s</title>\n", int(pageEvery.Seconds()), word, s.Project)
	m.WriteString("<style>\n" + pageStyle + "</style>\n</head>\n<body>\n")
	m.add("<h1>%s <span class=\"%s\">%s</span></h1>\n<p class=\"dim\">%s</p>\n", s.Project, state, word, summary(s))
	for _, trouble := range troublesOf(s) {
		m.add("<p class=\"trouble\">%s</p>\n", trouble)
	}
	m.services(s.Services, now)
	m.graph(drawGraph(s.Services))
	m.lastLines(s.Services, lines)
	m.add("<footer>Supervised since %s by process %d. Engine %s at %s. ", s.Supervised.Format(time.RFC3339), s.PID, s.Engine.API, s.Engine.Host)
	m.add("Recipe %.12s since %s. As of %s.</footer>\n</body>\n</html>\n", s.Recipe.Hash, s.Recipe.Loaded.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	return m.String()
}

// services is the table.
func (m *markup) services(services []bosh.ServiceStatus, now time.Time) {
	m.add("<h2>Services</h2>\n<div class=\"scroll\">\n<table>\n<thead><tr>")
	titles := []string{"service", "state", "health", "replicas", "for", "uptime", "restarts", "ports", "image", "note"}
	for _, title := range titles {
		m.add("<th>%s</th>", title)
	}
	m.add("</tr></thead>\n<tbody>\n")
	for _, s := range services {
		m.add("<tr><td class=\"name\">%s</td><td class=\"%s\">%s</td><td>%s</td>", s.Name, s.State, s.State, healthOf(s))
		m.add("<td>%d/%d</td><td>%s</td><td>%s</td><td>%d</td><td class=\"ports\">", s.Running, s.Wanted, ago(now, s.Since), uptime(s, now), s.Restarts)
		for _, c := range s.Containers {
			for _, port := range c.Ports {
				m.add("%s<br>", port)
			}
		}
		m.add("</td><td>%s</td><td class=\"note\">%s</td></tr>\n", s.Image, noteOn(s))
	}
	if len(services) == 0 {
		m.add("<tr><td colspan=\"%d\" class=\"dim\">nothing is known yet</td></tr>\n", len(titles))
	}
	m.add("</tbody>\n</table>\n</div>\n")
}

// uptime is how long the youngest of a service's containers has been running.
func uptime(s bosh.ServiceStatus, now time.Time) string {
	var started []time.Time
	for _, c := range s.Containers {
		if c.Started != nil && c.State == "running" {
			started = append(started, *c.Started)
		}
	}
	if len(started) == 0 {
		return ""
	}
	return ago(now, slices.MaxFunc(started, time.Time.Compare))
}

// graph is the picture.
func (m *markup) graph(g *pageGraph) {
	if g == nil {
		return
	}
	m.add("<h2>Who needs whom</h2>\n<div class=\"scroll\">\n")
	m.add("<svg width=\"%d\" height=\"%d\" role=\"img\" aria-label=\"The services, each right of those that it needs\">\n", g.Width, g.Height)
	m.add("<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\"/></marker></defs>\n")
	for _, e := range g.Edges {
		m.add("<path d=\"M%d %d L%d %d\" marker-end=\"url(#tip)\"/>\n", e.X1, e.Y1, e.X2, e.Y2)
	}
	for _, n := range g.Nodes {
		m.add("<g class=\"%s\"><title>%s: %s</title><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\"/>", n.State, n.Name, n.State, n.X, n.Y, nodeWidth, nodeHeight)
		m.add("<text x=\"%d\" y=\"%d\">%s</text></g>\n", n.TextX, n.TextY, shorten(n.Name, 18))
	}
	m.add("</svg>\n</div>\n")
}

// lastLines are what the services logged last.
func (m *markup) lastLines(services []bosh.ServiceStatus, lines map[string][]string) {
	m.add("<h2>Last lines</h2>\n")
	for _, s := range services {
		if len(lines[s.Name]) == 0 {
			continue
		}
		m.add("<details open><summary>%s</summary><pre>%s</pre></details>\n", s.Name, sanitize(strings.Join(lines[s.Name], "\n")))
	}
}
