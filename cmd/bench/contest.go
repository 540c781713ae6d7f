package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// What is measured, in the order in which it is printed.
const (
	upSmall   = "up -d, 10 services from nothing"
	upLarge   = "up -d, 30 services from nothing"
	upNothing = "up -d, 30 services, nothing to do"
	plan      = "plan (up --dry-run), 30 services, nothing to do"
	down      = "down, 30 services"
	check     = "check (config -q), 100 services"
)

const (
	small, large, huge = 10, 30, 100
	// Short commands are run several times a round.
	repeat = 5
)

type contest struct {
	self    string // the bench's own program
	dir     string // of recipes
	host    string
	tools   []tool
	results map[string]map[string][]sample // by what, by tool
	// projects counts the projects so far.
	projects int
}

// run runs the rounds, as many as begin before the deadline, and returns how many.
func (c *contest) run(ctx context.Context, rounds int, deadline time.Time) (int, error) {
	for _, n := range []int{small, large, huge} {
		if err := os.WriteFile(c.recipe(n), []byte(recipe(n)), 0o600); err != nil {
			return 0, fmt.Errorf("writing a recipe: %w", err)
		}
	}
	for _, t := range c.tools { // not counted: Python compiles, the system caches
		if t.check != nil {
			if _, err := c.measure(ctx, t, t.check(c.recipe(small))); err != nil {
				return 0, err
			}
		}
	}
	for round := range rounds {
		if round > 0 && time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "only %d of %d rounds: the time is up\n", round, rounds)
			return round, nil
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, rounds)
		for i := range c.tools {
			t := c.tools[(i+round)%len(c.tools)] // nobody is always first
			if err := c.turn(ctx, t); err != nil {
				return 0, err
			}
		}
	}
	return rounds, nil
}

// turn measures everything once with one tool.
func (c *contest) turn(ctx context.Context, t tool) error {
	if t.check != nil {
		for range repeat {
			if err := c.record(ctx, check, t, t.check(c.recipe(huge))); err != nil {
				return err
			}
		}
	}
	project := c.newProject()
	if err := c.record(ctx, upSmall, t, t.up(c.recipe(small), project)); err != nil {
		return err
	}
	if err := c.clear(ctx, small, project); err != nil {
		return err
	}
	project = c.newProject()
	if err := c.record(ctx, upLarge, t, t.up(c.recipe(large), project)); err != nil {
		return err
	}
	if t.down == nil { // the bare program knows only how to go up
		return c.clear(ctx, large, project)
	}
	for range repeat {
		if err := c.record(ctx, upNothing, t, t.up(c.recipe(large), project)); err != nil {
			return err
		}
		if t.plan != nil {
			if err := c.record(ctx, plan, t, t.plan(c.recipe(large), project)); err != nil {
				return err
			}
		}
	}
	return forgive(c.record(ctx, down, t, t.down(c.recipe(large), project)))
}

// newProject returns a name that no turn had before: see forgive.
func (c *contest) newProject() string {
	c.projects++
	return fmt.Sprintf("bench%d", c.projects)
}

// clear removes a project without counting it.
func (c *contest) clear(ctx context.Context, n int, project string) error {
	galley := c.tools[0]
	_, err := c.measure(ctx, galley, galley.down(c.recipe(n), project))
	return forgive(err)
}

// forgive lets pass, aloud, that the Engine won't remove a network: when many containers of one start at once, Engine 20.10
// now and then miscounts the network's endpoints, whoever asked it to.
func forgive(err error) error {
	if err != nil && strings.Contains(err.Error(), "has active endpoints") {
		fmt.Fprintln(os.Stderr, "not counted: the Engine miscounted the endpoints of a network, and keeps it")
		return nil
	}
	return err
}

func (c *contest) record(ctx context.Context, what string, t tool, command []string) error {
	s, err := c.measure(ctx, t, command)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", t.name, what, err)
	}
	if c.results[what] == nil {
		c.results[what] = make(map[string][]sample)
	}
	c.results[what][t.name] = append(c.results[what][t.name], s)
	return nil
}

func (c *contest) measure(ctx context.Context, t tool, command []string) (sample, error) {
	env := t.env
	if env == nil {
		env = os.Environ()
	}
	return measure(ctx, c.self, append(slices.Clip(env), "DOCKER_HOST="+c.host), command)
}

func (c *contest) recipe(n int) string { return filepath.Join(c.dir, fmt.Sprintf("%d.yml", n)) }

// recipe has n services that depend on nothing. All contestants read version 2.4 of the format.
func recipe(n int) string {
	var text strings.Builder
	text.WriteString("version: '2.4'\nservices:\n")
	for i := range n {
		fmt.Fprintf(&text, "  s%d:\n    image: busybox:latest\n    command: [sleep, infinity]\n    init: true\n", i)
		text.WriteString("    environment:\n      A: '1'\n      B: two\n    labels:\n      x: y\n")
	}
	return text.String()
}

// print prints the table of medians.
func (c *contest) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, t := range c.tools {
		fmt.Fprintf(table, "\t%s", t.name)
	}
	fmt.Fprintln(table)
	took := func(s sample) float64 { return s.Took.Seconds() }
	seconds := func(v float64) string { return fmt.Sprintf("%.3f s", v) }
	for _, what := range []string{upSmall, upLarge, upNothing, plan, down, check} {
		c.row(table, what, took, seconds)
	}
	peak := func(s sample) float64 { return float64(s.Peak) / 1e6 }
	megabytes := func(v float64) string { return fmt.Sprintf("%.1f MB", v) }
	c.row(table, check+", peak memory", peak, megabytes)
	if err := c.sizes(megabytes, table); err != nil {
		return err
	}
	return table.Flush()
}

// row prints one value for each tool, and its ratio to the first tool's.
func (c *contest) row(w io.Writer, what string, value func(sample) float64, format func(float64) string) {
	key := strings.TrimSuffix(what, ", peak memory")
	fmt.Fprint(w, what)
	var first float64
	for i, t := range c.tools {
		v := median(c.results[key][t.name], value)
		if i == 0 {
			first = v
		}
		fmt.Fprintf(w, "\t%s", cell(v, first, i == 0, format))
	}
	fmt.Fprintln(w)
}

func (c *contest) sizes(format func(float64) string, w io.Writer) error {
	fmt.Fprint(w, "size of the program")
	var first float64
	for i, t := range c.tools {
		var size float64
		if t.program != "" {
			info, err := os.Stat(t.program)
			if err != nil {
				return fmt.Errorf("measuring %s: %w", t.name, err)
			}
			size = float64(info.Size()) / 1e6
		}
		if i == 0 {
			first = size
		}
		fmt.Fprintf(w, "\t%s", cell(size, first, i == 0, format))
	}
	_, err := fmt.Fprintln(w)
	return err
}

func cell(v, first float64, isFirst bool, format func(float64) string) string {
	switch {
	case v == 0:
		return "-"
	case isFirst:
		return format(v)
	default:
		return fmt.Sprintf("%s (%.2f)", format(v), v/first)
	}
}

// median is 0 when there are no samples.
func median[T any](samples []T, value func(T) float64) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, value(s))
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}
