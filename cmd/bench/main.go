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
	flag.Parse()
	switch flag.Arg(0) { // as which the bench runs itself
	case "bare":
		return bareUp(ctx, flag.Args()[1:])
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
	return bench(ctx, program, *runs, *within)
}

func bench(ctx context.Context, galley string, runs int, within time.Duration) (err error) {
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
	version, err := daemon.Client().ServerVersion(ctx)
	if err != nil {
		return fmt.Errorf("asking for the Engine's version: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the bench's own program: %w", err)
	}
	dir, err := os.MkdirTemp("", "galley-bench")
	if err != nil {
		return fmt.Errorf("making a folder for recipes: %w", err)
	}
	defer os.RemoveAll(dir)

	all, err := contestants(ctx, galley, self)
	if err != nil {
		return err
	}
	b := &contest{self: self, dir: dir, host: daemon.Host(), tools: all, results: make(map[string]map[string][]sample)}
	rounds, err := b.run(ctx, runs, time.Now().Add(within))
	if err != nil {
		return err
	}
	fmt.Printf("\nDocker Engine %s; medians of %d rounds; in brackets, how many times galley's\n\n", version.Version, rounds)
	return b.print(os.Stdout)
}
