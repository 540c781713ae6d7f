package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/docker/client"

	"galley/engine/enginetest/dockerd"
)

// What is measured of updates and of waiting, by what is printed.
const (
	oneOfTen = "one of 10 services changed: its port does not answer for"
	allOfTen = "all 10 services changed: one's port does not answer for"
	behind   = "start-first behind nginx: failed requests"
	chain    = "up -d --wait, 5 services, each ready 1 s after the one before"
)

// goals are what galley is to reach, in the order in which it is printed. alone is what the chain's services need.
func goals(alone float64) [][2]string {
	return [][2]string{
		{oneOfTen, "less than docker-compose 2's"},
		{allOfTen, "a third of docker-compose 2's"},
		{behind, "none"},
		{chain, fmt.Sprintf("%.3f s, 1.2 times of what the services need by themselves", 1.2*alone)},
	}
}

// updates measures what users of a project notice of its updates, with those tools that know what the recipes ask for.
type updates struct {
	contest *contest
	api     client.APIClient
	values  map[string]map[string][]float64 // by what, by tool
	alone   []float64                       // what the chain's services need by themselves, in seconds
}

// run measures each row with each tool, rounds times, and prints the medians.
func (u *updates) run(ctx context.Context, rounds int, deadline time.Time) error {
	u.values = make(map[string]map[string][]float64)
	if err := dockerd.LoadSoftware(ctx, u.api, dockerd.Nginx(), os.Stderr); err != nil {
		return fmt.Errorf("loading the proxy: %w", err)
	}
	tools := slices.DeleteFunc(slices.Clone(u.contest.tools), func(t tool) bool { return !t.modern })
	for round := range rounds {
		if round > 0 && time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "only %d of %d rounds of updates: the time is up\n", round, rounds)
			break
		}
		alone, err := readyAlone(ctx, u.api)
		if err != nil {
			return err
		}
		u.alone = append(u.alone, alone.Seconds())
		for i := range tools {
			t := tools[(i+round)%len(tools)]
			fmt.Fprintf(os.Stderr, "round %d of updates: %s\n", round+1, t.name)
			if err := u.turn(ctx, t, round == 0); err != nil {
				return err
			}
		}
	}
	return u.print(os.Stdout, tools)
}

// turn measures everything once with one tool. Where a tool needs a minute for the chain, once is enough.
func (u *updates) turn(ctx context.Context, t tool, first bool) error {
	silence := func(a asked) float64 { return a.silence.Seconds() }
	failures := func(a asked) float64 { return float64(a.failures) }
	for _, row := range []struct {
		what          string
		before, after func(port int) string
		value         func(asked) float64
	}{
		{oneOfTen, ten(0), ten(1), silence},
		{allOfTen, ten(0), ten(small), silence},
		{behind, proxied("1"), proxied("2"), failures},
	} {
		if err := u.update(ctx, t, row.what, row.before, row.after, row.value); err != nil {
			return fmt.Errorf("%s, %s: %w", t.name, row.what, err)
		}
	}
	if !first && t.name != u.contest.tools[0].name {
		return nil
	}
	return u.within(ctx, chained(), func(recipe, project string) error {
		s, err := u.contest.measure(ctx, t, append(t.up(recipe, project), "--wait"))
		if err != nil {
			return fmt.Errorf("%s, %s: %w", t.name, chain, err)
		}
		u.note(t, chain, s.Took.Seconds())
		return nil
	})
}

// update brings up one recipe, and asks its port all the while that it becomes another.
func (u *updates) update(ctx context.Context, t tool, what string, before, after func(port int) string, value func(asked) float64) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	return u.within(ctx, before(port), func(recipe, project string) error {
		if _, err := u.contest.measure(ctx, t, t.up(recipe, project)); err != nil {
			return err
		}
		if err := os.WriteFile(recipe, []byte(after(port)), 0o600); err != nil {
			return fmt.Errorf("changing a recipe: %w", err)
		}
		seen, err := askDuring(ctx, fmt.Sprintf("http://127.0.0.1:%d/", port), func() error {
			_, err := u.contest.measure(ctx, t, t.up(recipe, project))
			return err
		})
		if err != nil {
			return err
		}
		u.note(t, what, value(seen))
		return nil
	})
}

// within gives the work a recipe and a project, and removes the project after it.
func (u *updates) within(ctx context.Context, text string, work func(recipe, project string) error) error {
	recipe := filepath.Join(u.contest.dir, "update.yml")
	if err := os.WriteFile(recipe, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing a recipe: %w", err)
	}
	project := u.contest.newProject()
	if err := work(recipe, project); err != nil {
		return err
	}
	galley := u.contest.tools[0]
	_, err := u.contest.measure(ctx, galley, galley.down(recipe, project))
	return forgive(err)
}

func (u *updates) note(t tool, what string, value float64) {
	if u.values[what] == nil {
		u.values[what] = make(map[string][]float64)
	}
	u.values[what][t.name] = append(u.values[what][t.name], value)
}

func (u *updates) print(w io.Writer, tools []tool) error {
	fmt.Fprint(w, "\nA client that asks 200 times a second, and a chain of services with gates; medians\n\n")
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, t := range tools {
		fmt.Fprintf(table, "\t%s", t.name)
	}
	fmt.Fprintln(table, "\tgoal")
	same := func(v float64) float64 { return v }
	for _, goal := range goals(median(u.alone, same)) {
		fmt.Fprint(table, goal[0])
		for _, t := range tools {
			format := "\t%.3f s"
			if goal[0] == behind {
				format = "\t%.0f"
			}
			fmt.Fprintf(table, format, median(u.values[goal[0]][t.name], same))
		}
		fmt.Fprintf(table, "\t%s\n", goal[1])
	}
	return table.Flush()
}

// freePort finds a port that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// server is the command of a web server that says after two seconds that it is ready.
const server = `["sh", "-c", "{ sleep 2; touch /ready; } & exec nginx -g 'daemon off;'"]`

// ten returns a recipe of ten services, the first of which serves the port. So many of them are changed.
func ten(changed int) func(port int) string {
	return func(port int) string {
		var text strings.Builder
		text.WriteString("services:\n")
		for i := range small {
			version := 1
			if i < changed {
				version = 2
			}
			fmt.Fprintf(&text, "  s%d:\n    image: %s\n    command: %s\n    init: true\n", i, dockerd.Nginx().Name, server)
			fmt.Fprintf(&text, "    environment: {VERSION: '%d'}\n", version)
			if i == 0 {
				fmt.Fprintf(&text, "    ports: ['127.0.0.1:%d:80']\n", port)
			}
		}
		return text.String()
	}
}

// proxyConf asks the Engine's DNS server again each second, as nginx can at most. An address that is gone takes no answer
// away: nginx goes on to the next one.
const proxyConf = `server {
  listen 80;
  resolver 127.0.0.11 valid=1s;
  location / {
    set $$web http://web;
    proxy_pass $$web;
    proxy_connect_timeout 500ms;
  }
}
`

// proxied returns a recipe with a server behind a proxy that has the port. The server is ready late enough for the
// proxy to have seen its address when the old one goes.
func proxied(version string) func(port int) string {
	return func(port int) string {
		return fmt.Sprintf(`services:
  proxy:
    image: %[1]s
    ports: ['127.0.0.1:%[2]d:80']
    depends_on: {web: {condition: service_healthy}}
    configs: [{source: proxy, target: /etc/nginx/conf.d/default.conf}]
  web:
    image: %[1]s
    init: true
    command: %[3]s
    environment: {VERSION: '%[4]s'}
    deploy: {update_config: {order: start-first}}
    healthcheck:
      test: [CMD, test, -e, /ready]
      interval: 1s
      timeout: 5s
configs:
  proxy:
    content: |
%[5]s`, dockerd.Nginx().Name, port, server, version, indent(proxyConf))
	}
}

func indent(text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		lines.WriteString("      " + line)
	}
	return lines.String()
}

// chainCommand is what a service of the chain does.
const chainCommand = "sleep 1; touch /ready; echo ready; exec sleep infinity"

const chainLength = 5

// chained is a recipe whose services each wait for the one before, and are ready after a second. Their healthcheck is as
// slow as many are.
func chained() string {
	var text strings.Builder
	text.WriteString("services:\n")
	for i := range chainLength {
		fmt.Fprintf(&text, "  s%d:\n    image: busybox:latest\n    init: true\n    command: [sh, -c, '%s']\n", i, chainCommand)
		text.WriteString("    healthcheck: {test: [CMD, test, -e, /ready], interval: 10s, timeout: 5s}\n")
		if i > 0 {
			fmt.Fprintf(&text, "    depends_on: {s%d: {condition: service_healthy}}\n", i-1)
		}
	}
	return text.String()
}
