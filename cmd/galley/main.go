// Command galley runs Docker Compose recipes on one machine's Docker Engine.
//
// It holds no logic of its own: it reads flags, hands the work to the packages compose and engine, and prints. What is
// printed, and where, stands in ui.go; what the exit codes mean, in exit.go.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
)

// version is set when the program is linked: -X main.version=v1.2.3.
var version string

func main() {
	os.Exit(run())
}

// run is the whole program but for the exit.
func run() int {
	tuneCollector(os.Args[1:])
	ctx, stop := interruptible()
	defer stop()
	return newCLI().execute(ctx, os.Args[1:])
}

// interruptible returns a context that the first SIGINT or SIGTERM ends, with an *interruption as its cause. The second
// one ends the process, whatever it is doing.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		first := interruption{(<-signals).(syscall.Signal)}
		cancel(first)
		<-signals
		os.Exit(first.exitCode())
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// tuneCollector collects garbage less often than Go's own choice: a command allocates a few megabytes and ends. check, which
// runs in pipelines over recipes of any size, and run, which stays for months, spend the time and keep their memory small.
func tuneCollector(args []string) {
	switch {
	case os.Getenv("GOGC") != "":
	case slices.Contains(args, "run"):
		debug.SetGCPercent(50)
	case slices.Contains(args, "check"):
		debug.SetGCPercent(150)
	default:
		debug.SetGCPercent(400)
	}
}
