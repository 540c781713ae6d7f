package compose

import "io"

// Source says where a recipe is and how it is to be read. Nothing is taken from the process's environment or working
// directory unless it stands here.
type Source struct {
	// Files are the recipe's files, merged in order: paths relative to Dir, "-" for Stdin, or a directory that is
	// searched for the default names. Empty: COMPOSE_FILE of Environ or the env files, or else the default names in Dir
	// and its parents, as docker compose does.
	// A single file may be a BOSH manifest: see [LoadAll].
	Files []string
	// Stdin is read when a file is "-".
	Stdin io.Reader
	// Dir is the absolute directory that Files are relative to (the caller's working directory).
	Dir string
	// ProjectDir is what the recipe's own relative paths start from; "" means the first file's directory.
	ProjectDir string
	// Name is the project's name; "" means COMPOSE_PROJECT_NAME of Environ, the recipe's name:, or the directory's name.
	Name string
	// Profiles are the active profiles; empty means COMPOSE_PROFILES of Environ.
	Profiles []string
	// Services are those that the caller names: their profiles are active too.
	Services []string
	// EnvFiles are read for interpolation, the later ones winning; empty means COMPOSE_ENV_FILES of Environ, or .env in
	// the project directory, if any, unless COMPOSE_DISABLE_ENV_FILE of Environ is true.
	EnvFiles []string
	// Environ are KEY=VALUE pairs visible to interpolation, stronger than EnvFiles. nil: none.
	Environ []string
	// Recipe chooses one recipe of a BOSH manifest, as GROUP/JOB; needed only where there are several.
	Recipe string
	// Offline, if set, must know every image of the recipe: what it doesn't is an Error.
	Offline *Offline
	// Key gives what the contents of configs and secrets are digested with: a digest lands in a label, where nobody must be
	// able to try guesses at a secret. It is called only where there are any. nil: no key, and digests that hold no secret.
	Key func() ([]byte, error)
	// Unlocked leaves the lock beside the recipe alone: see [LockPath].
	Unlocked bool
	// Compatibility joins container names with underscores, as docker-compose 1 did.
	Compatibility bool
	// Lint also finds what the recipe runs in spite of, as images without a tag: see [Code.Lint].
	Lint bool
	// EngineAPI is the Engine API version, as "1.41", that the recipe must do with; what needs a newer one is an error.
	// "" means any.
	EngineAPI string
}
