package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"galley/bosh"
	"galley/compose"
	"galley/engine"
	"galley/engine/contexts"
)

// The exit codes; [exitCodesHelp] documents them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInvalid     = 3
	exitPending     = 4
	exitNoImage     = 5
	exitUnhealthy   = 6
	exitUnreachable = 7
	exitLocked      = 8
)

// usageError is a mistake in the command line.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// recipeError says that there is no recipe to work with: it is invalid, or it can't be found or read.
type recipeError struct {
	err error
}

func (e *recipeError) Error() string { return e.err.Error() }
func (e *recipeError) Unwrap() error { return e.err }

// statusError ends the process with a code of its own, silently: all that is to be said was said.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// interruption is the signal that asked the process to end, the cause of its context's end.
type interruption struct {
	signal syscall.Signal
}

func (i interruption) Error() string { return i.signal.String() }

// exitCode is the shell's convention: 128 and the signal's number.
func (i interruption) exitCode() int { return 128 + int(i.signal) }

// exitCode maps what a command returned to the process's exit code. Of several failures the one that explains the others
// counts: an Engine that went away explains a container that is not healthy.
func exitCode(ctx context.Context, err error) int {
	var status statusError
	var notUp *notUpError
	var interrupted interruption
	switch {
	case err == nil:
		return exitDone
	case errors.As(context.Cause(ctx), &interrupted):
		return interrupted.exitCode()
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &notUp):
		return notUp.code
	case is[*usageError](err):
		return exitUsage
	case is[*recipeError](err), is[*compose.InvalidError](err):
		return exitInvalid
	case is[*bosh.HeldError](err):
		return exitLocked
	case is[*engine.UnreachableError](err), is[*engine.TooOldError](err), is[*engine.TooNewError](err), is[*contexts.Error](err):
		return exitUnreachable
	case is[*engine.ImageError](err):
		return exitNoImage
	case is[*engine.UnhealthyError](err):
		return exitUnhealthy
	}
	return exitFailed
}

// is tells whether an error of that type stands anywhere in err's tree.
func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
