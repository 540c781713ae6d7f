package engine

import (
	"fmt"
	"strings"
)

// UnreachableError says that no Engine answered at Host.
type UnreachableError struct {
	Host string
	Err  error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("reaching the engine at %s: %v", e.Host, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// StepError is the failure of one step of a plan.
type StepError struct {
	Step *Step
	// Err is the cause, in the Engine's words where it is the Engine that refused.
	Err error
	// Logs are the last lines of the container that failed, oldest first, where it ran at all.
	Logs []string
}

func (e *StepError) Error() string {
	return fmt.Sprintf("%s %s: %v", e.Step.Action.Verb(), e.Step.Action.Target(), e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// UnhealthyError says that a container did not pass the gate that others wait for, or that --wait asks for.
type UnhealthyError struct {
	Service, Container string
	// State tells what became of it, as "is unhealthy" or "exited with code 3".
	State string
}

func (e *UnhealthyError) Error() string { return fmt.Sprintf("service %q %s", e.Service, e.State) }

// ImageError says that an image is not there and can't be had.
type ImageError struct {
	Ref string
	Err error
	// Reason tells why a pull failed; "" if none was tried.
	Reason PullReason
	// Hint is the way out.
	Hint string
}

func (e *ImageError) Error() string { return fmt.Sprintf("getting image %q: %v", e.Ref, e.Err) }

func (e *ImageError) Unwrap() error { return e.Err }

// TooOldError says that a recipe needs more than the connected Engine can do.
type TooOldError struct {
	// Attribute is the recipe's attribute path, Place where it stands, "" if that is not known; Need and Have are Engine API
	// versions.
	Attribute, Place, Need, Have string
}

func (e *TooOldError) Error() string {
	text := fmt.Sprintf("%s needs engine API %s, this engine has %s", e.Attribute, e.Need, e.Have)
	if e.Place != "" {
		return e.Place + ": " + text
	}
	return text
}

// TooNewError says that a recipe holds what the connected Engine does not take any more.
type TooNewError struct {
	// Attribute is the recipe's attribute path, Place where it stands, "" if that is not known; Since and Have are Engine API
	// versions. Why says what is refused, Hint what to write instead.
	Attribute, Place, Since, Have, Why, Hint string
}

func (e *TooNewError) Error() string {
	text := fmt.Sprintf("%s is refused from engine API %s on, this engine has %s: %s", e.Attribute, e.Since, e.Have, e.Why)
	if e.Place != "" {
		return e.Place + ": " + text
	}
	return text
}

// InterruptedError says that Apply was asked to end before the plan was done.
type InterruptedError struct {
	// Left are the steps that were not begun.
	Left []*Step
}

func (e *InterruptedError) Error() string {
	var left []string
	for _, s := range e.Left {
		left = append(left, fmt.Sprintf("%s %s", s.Action.Verb(), s.Action.Target()))
	}
	return fmt.Sprintf("interrupted; not done: %s", strings.Join(left, ", "))
}
