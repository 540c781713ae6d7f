package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/docker/docker/api/types/network"

	"galley/compose"
)

// Plan is what must be done so that the Engine has what is wanted: a directed acyclic graph in topological order.
type Plan struct {
	// Project is the project's name.
	Project string
	Steps   []Step
	// Warnings are findings that change nothing, as an orphan that was left.
	Warnings []string

	// old are the containers that are replaced, by service: what a failed update is put back to.
	old map[string][]*Container
	// before are the networks that are made anew, as they were.
	before []network.Summary
	// parallel is how many steps run at once; 0 leaves it to [Options].
	parallel int
}

// Empty tells whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 }

// Step is one node of a [Plan].
type Step struct {
	Action Action
	// Why is the field-level reason, as "missing" or "image redis:7 → redis:8".
	Why string
	// Needs are the indices of the steps that must have succeeded before; all smaller than the step's own.
	Needs []int
	// After are the indices of the steps that must have ended before, however they ended; also smaller.
	After []int

	// urgent: something was stopped for this step; between the two, an interruption would leave a service worse than it was.
	urgent bool
}

// interrupts returns what tells, of a step, whether a service is down from it on until an urgent step that needs it is done.
func (p *Plan) interrupts() func(i int) bool {
	down := make([]bool, len(p.Steps))
	for _, s := range p.Steps {
		for _, need := range s.Needs {
			verb := p.Steps[need].Action.Verb()
			down[need] = down[need] || s.urgent && (verb == VerbStop || verb == VerbDisconnect)
		}
	}
	return func(i int) bool { return down[i] }
}

// Action is one Engine call, or one wait. The set is sealed.
type Action interface {
	// Target is the resource acted on.
	Target() Target
	// Verb is what is done to it.
	Verb() Verb
	// do carries the action out. It is idempotent: what is already so is success.
	do(ctx context.Context, r *run) error
}

// Target names a resource of a plan.
type Target struct {
	Kind Kind `json:"kind"`
	// Name is the container's, network's or volume's name, the image's reference, the tarball's path, or a config or secret and
	// whose it is.
	Name string `json:"name"`
	// Service is set for containers, images, configs and secrets.
	Service string `json:"service,omitempty"`
}

// String returns "kind name".
func (t Target) String() string { return string(t.Kind) + " " + t.Name }

// Kind is a kind of resource.
type Kind string

// The kinds.
const (
	KindNetwork   Kind = "network"
	KindVolume    Kind = "volume"
	KindImage     Kind = "image"
	KindContainer Kind = "container"
	KindTarball   Kind = "tarball"
	KindConfig    Kind = Kind(compose.KindConfig)
	KindSecret    Kind = Kind(compose.KindSecret)
	KindFiles     Kind = "files"
)

// Verb is what an [Action] does, in the imperative.
type Verb string

// The verbs. VerbAwait waits for a gate and changes nothing.
const (
	VerbCreate     Verb = "create"
	VerbPull       Verb = "pull"
	VerbLoad       Verb = "load"
	VerbSave       Verb = "save"
	VerbTag        Verb = "tag"
	VerbStart      Verb = "start"
	VerbStop       Verb = "stop"
	VerbRemove     Verb = "remove"
	VerbUpdate     Verb = "update"
	VerbRename     Verb = "rename"
	VerbRun        Verb = "run"
	VerbRestart    Verb = "restart"
	VerbKill       Verb = "kill"
	VerbPause      Verb = "pause"
	VerbUnpause    Verb = "unpause"
	VerbConnect    Verb = "connect"
	VerbDisconnect Verb = "disconnect"
	VerbWrite      Verb = "write"
	VerbSignal     Verb = "signal"
	VerbAwait      Verb = "await"
)

// Event tells how a step of a plan is getting on.
type Event struct {
	// Index is the step's place in the plan, Step the step itself.
	Index int
	Step  *Step
	Kind  EventKind
	// Took is the time since Begun, with Done and Failed.
	Took time.Duration
	// Err is the cause, with Failed; with Skipped it is the root cause: the error of the step that failed.
	Err error
	// Detail is free text with Progress and Warned, as "12.3 MB of 40 MB" of a pull. With Done it is what became of the target
	// where that is not what the verb says: "kept", of an image that could not be pulled anew.
	Detail string
	// Bytes is how much of the data that a step moves has passed, with Progress; nil where nobody counts.
	Bytes *Amount
}

// Amount is some of a total, in bytes, and how many of them pass in a second; 0 is not known.
type Amount struct {
	Done, Total, Rate int64
}

// EventKind is a stage in a step's life: Begun, any number of Progress and Warned, then Done or Failed; or Skipped alone.
type EventKind string

// The kinds of events.
const (
	Begun    EventKind = "begun"
	Progress EventKind = "progress"
	Warned   EventKind = "warned"
	Done     EventKind = "done"
	Failed   EventKind = "failed"
	Skipped  EventKind = "skipped"
)

// String renders the plan for people and goldens, a step a line: number, verb, target, reason, and the numbers of the
// steps that it waits for.
func (p *Plan) String() string {
	var b strings.Builder
	for _, warning := range p.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", warning)
	}
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "%d %s %s (%s)", i, s.Action.Verb(), s.Action.Target(), s.Why)
		writeIndices(&b, " needs", s.Needs)
		writeIndices(&b, " after", s.After)
		b.WriteByte('\n')
	}
	return b.String()
}

func writeIndices(b *strings.Builder, label string, indices []int) {
	if len(indices) == 0 {
		return
	}
	b.WriteString(label)
	for _, i := range indices {
		fmt.Fprintf(b, " %d", i)
	}
}
