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
}

// UserPaths are the paths of a process that runs outside a BOSH job: /run/galley for root, the user's own runtime
// directory (XDG_RUNTIME_DIR, as getenv gives it) or a folder in the temporary directory for everybody else.
func UserPaths(uid int, getenv func(string) string) Paths {
	switch runtime := getenv("XDG_RUNTIME_DIR"); {
	case uid == 0:
		return Paths{Run: "/run/galley"}
	case runtime != "":
		return Paths{Run: filepath.Join(runtime, "galley")}
	}
	return Paths{Run: filepath.Join(os.TempDir(), fmt.Sprintf("galley-%d", uid))}
}

// Lock is the lock file of a project.
func (p Paths) Lock(project string) string {
	return filepath.Join(p.Run, project+".lock")
}
