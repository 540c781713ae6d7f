package bosh

import (
	"fmt"
	"os"
	"path/filepath"
)

// Paths knows where Galley keeps the few files that are no state of the Engine's.
type Paths struct {
	// Run is the directory for what need not outlive a reboot: locks.
	Run string
	// State is the directory for what outlives one: the last good projects.
	State string
}

// UserPaths are the paths of a process that runs outside a BOSH job. Run is GALLEY_RUN_DIR, else /run/galley for root, and
// the user's own runtime directory (XDG_RUNTIME_DIR) or a folder in the temporary directory for everybody else. State is
// GALLEY_STATE_DIR, else /var/lib/galley for root, and in XDG_STATE_HOME or ~/.local/state for everybody else. getenv
// reads the environment.
func UserPaths(uid int, getenv func(string) string) Paths {
	return Paths{Run: runDir(uid, getenv), State: stateDir(uid, getenv)}
}

func runDir(uid int, getenv func(string) string) string {
	own, runtime := getenv("GALLEY_RUN_DIR"), getenv("XDG_RUNTIME_DIR")
	switch {
	case own != "":
		return filepath.Clean(own)
	case uid == 0:
		return "/run/galley"
	case runtime != "":
		return filepath.Join(runtime, "galley")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("galley-%d", uid))
}

func stateDir(uid int, getenv func(string) string) string {
	own, state := getenv("GALLEY_STATE_DIR"), getenv("XDG_STATE_HOME")
	switch {
	case own != "":
		return filepath.Clean(own)
	case uid == 0:
		return "/var/lib/galley"
	case state != "":
		return filepath.Join(state, "galley")
	}
	return filepath.Join(getenv("HOME"), ".local", "state", "galley")
}

// Lock is the lock file of a project.
func (p Paths) Lock(project string) string {
	return filepath.Join(p.Run, project+".lock")
}

// Known is the file with what is known of a project's containers beyond what the Engine lists: a cache.
func (p Paths) Known(project string) string {
	return filepath.Join(p.State, project+".known.json")
}

// History is the file with a project's last good states, a [History].
func (p Paths) History(project string) string {
	return filepath.Join(p.State, project+".good.json")
}

// Supervisor is the lock file of the one process that may supervise a project.
func (p Paths) Supervisor(project string) string {
	return filepath.Join(p.Run, project+".supervisor.lock")
}

// Control is the socket on which a project's supervisor gives others their turn.
func (p Paths) Control(project string) string {
	return filepath.Join(p.Run, project+".supervisor.sock")
}

// Status is the file in which a project's supervisor says how the project is, a [Status].
func (p Paths) Status(project string) string {
	return filepath.Join(p.Run, project+".status.json")
}
