package engine

import (
	"context"
	"time"

	"galley/compose"
)

// RunOptions say how a project is held as its recipe wants it. Its functions are called from one goroutine, but for Lock and Prepare.
type RunOptions struct {
	// Engine says which Engine to talk to. It need not answer yet.
	Engine Options
	// Load reads the recipe: at the start, and again after each value from Reload.
	Load func(ctx context.Context) (*compose.Project, error)
	// LastGood gives what ran when all was well, with its images, for a recipe that can't be read at the start, or does not come up; nil:
	// there is none.
	LastGood func() (*compose.Project, map[string]Pin, error)
	// Save is given the project once everything of it is up, with what the Engine has then; nil: nobody wants it.
	Save func(*compose.Project, *State) error
	// Lock is taken around each change, so that nobody else changes the project meanwhile.
	Lock func(ctx context.Context, project string) (release func(), err error)
	// Prepare is called under the lock before a recipe that was loaded is applied, as for importing images; nil: nothing is
	// to be prepared.
	Prepare func(ctx context.Context, e *Engine, project *compose.Project) error
	// Reload wakes the loop to load the recipe again.
	Reload <-chan struct{}
	// Turns are requests of others to change the project.
	Turns <-chan Turn

	// Diff narrows or widens the plans; Services must be empty. With OwnRestarts the loop applies the restart policies.
	Diff DiffOptions
	// Resync is how often everything is read again although nothing was heard; 0 means 5 minutes.
	Resync time.Duration
	// RestartExited starts also what exited by itself and has no restart policy.
	RestartExited bool
	// NoRepair reports what is not as wanted, and changes something only when a recipe was loaded.
	NoRepair bool
	// RollBackAfter is how long a new recipe may take to come up before the last good one is put in its place; 0 is for ever.
	RollBackAfter time.Duration

	// Step is told of every step of a walk, Note of what else happens, Publish how the project is: after each convergence,
	// and whenever the state of a service changes. Any may be nil.
	Step    func(Event)
	Note    func(Note)
	Publish func(Report)
}

const defaultResync = 5 * time.Minute

// Note is something that happened, beside the steps of a walk.
type Note struct {
	Kind NoteKind
	// Service is what it is about, "" for the project.
	Service string
	// Text says what; Err why, with NoteFailed, NoteLost, NoteInvalid and NoteRolledBack, and sometimes with NoteWarned.
	Text string
	Err  error
	// Took is how long a convergence took.
	Took time.Duration
}

// NoteKind is a kind of [Note].
type NoteKind string

// The kinds of notes.
const (
	NoteConnected  NoteKind = "connected"   // an Engine answered
	NoteLost       NoteKind = "lost"        // the Engine went away, or does not answer
	NoteLoaded     NoteKind = "loaded"      // a recipe is in force
	NoteInvalid    NoteKind = "invalid"     // the recipe can't be used; what was in force before still is
	NoteDrift      NoteKind = "drift"       // something is not as wanted although nobody changed the recipe
	NoteWarned     NoteKind = "warned"      // a finding that changes nothing
	NoteConverged  NoteKind = "converged"   // something was changed, with success
	NoteFailed     NoteKind = "failed"      // something was to be changed, and failed
	NoteYielded    NoteKind = "yielded"     // somebody else has their turn
	NoteRolledBack NoteKind = "rolled-back" // the last good project took the new one's place
)
