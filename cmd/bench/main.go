// Command bench measures galley beside its peers, in one run on one private Docker Engine, and prints a table of medians:
// docker-compose 1.29 and 2 from Debian's packages, and a bare program that only makes the Engine calls that it must.
// It needs root. A peer that can't be had is left out, and named.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"time"

	"galley/engine/enginetest/dockerd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	galley := flag.String("galley", "bin/galley", "the `program` to measure")
	runs := flag.Int("runs", 3, "`number` of rounds; the environment variable BENCH_RUNS overrides it")
	within := flag.Duration("within", 6*time.Minute, "`time` after which no further round begins")
	images := flag.Int("images", 20, "`number` of images in tarballs to load; 0 leaves that out")
	bytes := flag.Int64("image-bytes", 2e9, "`bytes` that they have together")
	packed := flag.Bool("packed", true, "measure the memory that reading compressed tarballs takes")
	contests := flag.Bool("projects", true, "measure what is done with projects")
	updates := flag.Bool("updates", true, "measure what is noticed of updates")
	holds := flag.Bool("run", true, "measure what a supervisor takes, and how fast it repairs")
	flag.Parse()
	switch flag.Arg(0) { // as which the bench runs itself
	case "bare":
		return bareUp(ctx, flag.Args()[1:])
	case "load":
		return bareLoad(ctx, flag.Args()[1:])
	case "measure":
		return measureHere(flag.Args()[1:])
	}
	if n := os.Getenv("BENCH_RUNS"); n != "" {
		var err error
		if *runs, err = strconv.Atoi(n); err != nil || *runs < 1 {
			return fmt.Errorf("reading BENCH_RUNS: %q is not a positive number", n)
		}
	}
	program, err := filepath.Abs(*galley)
	if err != nil {
		return fmt.Errorf("finding %q: %w", *galley, err)
	}
	b := &bench{galley: program, runs: *runs, within: *within, projects: *contests, updates: *updates, holds: *holds, images: *images, bytes: *bytes, packed: *packed}
	return b.run(ctx)
}

// bench is all that is measured on one Engine.
type bench struct {
	galley string
	runs   int
	within time.Duration
	// projects says whether to measure what is done with them, updates whether what is noticed of theirs, holds whether what
	// a supervisor takes, packed whether what reading tarballs takes, images how many to load, with how many bytes in all.
	projects bool
	updates  bool
	holds    bool
	packed   bool
	images   int
	bytes    int64
}

func (b *bench) run(ctx context.Context) (err error) {
	daemon, err := dockerd.Start(ctx, dockerd.Options{Log: os.Stderr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, daemon.Stop()) }()
	busybox, err := dockerd.Busybox(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if err := dockerd.LoadImage(ctx, daemon.Client(), busybox); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the bench's own program: %w", err)
	}
	if b.projects || b.updates {
		if err := b.runProjects(ctx, daemon, self); err != nil {
			return err
		}
	}
	if b.holds {
		if err := b.hold(ctx, daemon); err != nil {
			return err
		}
	}
	return b.tarballs(ctx, daemon, self)
}

// tarballs measures how they are read, and how they get into the Engine.
func (b *bench) tarballs(ctx context.Context, daemon *dockerd.Daemon, self string) error {
	dir, err := os.MkdirTemp("", "galley-bench")
	if err != nil {
		return fmt.Errorf("making a folder for tarballs: %w", err)
	}
	defer os.RemoveAll(dir)
	if b.packed {
		p := &packing{self: self, galley: b.galley, dir: dir}
		if err := p.run(ctx); err != nil {
			return err
		}
	}
	if b.images <= 0 {
		return nil
	}
	m := &importing{self: self, galley: b.galley, dir: dir, api: daemon.Client(), host: daemon.Host(), images: b.images, bytes: b.bytes}
	return m.run(ctx, b.runs, time.Now().Add(b.within))
}

// hold measures a supervisor.
func (b *bench) hold(ctx context.Context, daemon *dockerd.Daemon) error {
	dir, err := os.MkdirTemp("", "galley-bench")
	if err != nil {
		return fmt.Errorf("making a folder for the supervisor: %w", err)
	}
	defer os.RemoveAll(dir)
	h := &holding{galley: b.galley, dir: dir, api: daemon.Client(), host: daemon.Host()}
	return h.run(ctx, os.Stdout)
}

func (b *bench) runProjects(ctx context.Context, daemon *dockerd.Daemon, self string) error {
	version, err := daemon.Client().ServerVersion(ctx)
	if err != nil {
		return fmt.Errorf("asking for the Engine's version: %w", err)
	}
	dir, err := os.MkdirTemp("", "galley-bench")
	if err != nil {
		return fmt.Errorf("making a folder for recipes: %w", err)
	}
	defer os.RemoveAll(dir)
	all, err := contestants(ctx, b.galley, self)
	if err != nil {
		return err
	}
	c := &contest{self: self, dir: dir, host: daemon.Host(), tools: all, results: make(map[string]map[string][]sample)}
	if b.projects {
		rounds, err := c.run(ctx, b.runs, time.Now().Add(b.within))
		if err != nil {
			return err
		}
		fmt.Printf("\nDocker Engine %s; medians of %d rounds; in brackets, how many times galley's\n\n", version.Version, rounds)
		if err := c.print(os.Stdout); err != nil {
			return err
		}
	}
	if !b.updates {
		return nil
	}
	u := &updates{contest: c, api: daemon.Client()}
	return u.run(ctx, b.runs, time.Now().Add(b.within))
}
