package bosh

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// StatusVersion is the version of [Status]'s form. It is raised when a field changes its meaning; new fields leave it.
const StatusVersion = 1

// Status is what a supervisor says of its project, in a file that is replaced as a whole after each change of the project
// and of the state of any of its services. Times are UTC; what is not known, or does not apply, is left out.
type Status struct {
	// Version is [StatusVersion].
	Version int    `json:"version"`
	Project string `json:"project"`
	// PID is the supervisor's process, Program the start of that process as the kernel counts it: together they tell
	// whether the file is of a process that is alive.
	PID     int    `json:"pid"`
	Program string `json:"program_start"`
	// Supervised is since when the project is supervised, Updated when the file was written.
	Supervised time.Time `json:"supervised"`
	Updated    time.Time `json:"updated"`
	// Up: every service is up, or completed, and nothing is being changed.
	Up bool `json:"up"`
	// Busy: something is being changed. Yielded: another command has its turn.
	Busy    bool `json:"busy,omitempty"`
	Yielded bool `json:"yielded,omitempty"`
	// OwnRestarts: the supervisor restarts containers by the recipe's policies, and the Engine's own policy is none.
	OwnRestarts bool `json:"own_restarts,omitempty"`
	// Engine is the Engine in use.
	Engine EngineStatus `json:"engine"`
	// Recipe is what is in force.
	Recipe RecipeStatus `json:"recipe"`
	// Converged is when something was last changed with success, and Seconds how long that took; Failed is when it was last
	// tried without, and Error why, as long as that is not mended.
	Converged *time.Time `json:"converged,omitempty"`
	Seconds   float64    `json:"seconds,omitempty"`
	Failed    *time.Time `json:"failed,omitempty"`
	Failures  int        `json:"failures,omitempty"`
	Error     string     `json:"error,omitempty"`
	// Services are sorted by name.
	Services []ServiceStatus `json:"services"`
}

// EngineStatus tells of the Engine.
type EngineStatus struct {
	Host string `json:"host"`
	// API is the version in use, as "1.41".
	API string `json:"api,omitempty"`
	// Error is why it can't be reached; "" if it can.
	Error string `json:"error,omitempty"`
}

// RecipeStatus tells of the recipe.
type RecipeStatus struct {
	// Files are the recipe's, absolute.
	Files []string `json:"files,omitempty"`
	// Hash is a digest of what is in force, Loaded since when it is.
	Hash   string    `json:"hash"`
	Loaded time.Time `json:"loaded"`
	// Invalid is what is wrong with the recipe as it stands, which is not in force then.
	Invalid []string `json:"invalid,omitempty"`
	// LastGood: what is in force is the last good project, not the recipe.
	LastGood bool `json:"last_good,omitempty"`
	// RolledBack tells when and why a recipe that did not come up was replaced by the last good project.
	RolledBack *RolledBackStatus `json:"rolled_back,omitempty"`
}

// RolledBackStatus tells of a recipe that did not come up.
type RolledBackStatus struct {
	At    time.Time `json:"at"`
	Error string    `json:"error"`
}

// ServiceStatus tells of a service.
type ServiceStatus struct {
	Name string `json:"name"`
	// State is up, completed, starting, waiting, restarting, failed, stopped or unknown; Why explains it, and Since is when
	// it began.
	State string    `json:"state"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since"`
	// Final: it will not get better by itself.
	Final bool `json:"final,omitempty"`
	// Wanted, Running and Healthy count replicas; one without a healthcheck is healthy when it runs.
	Wanted  int `json:"wanted"`
	Running int `json:"running"`
	Healthy int `json:"healthy"`
	// Restarts count how often a container came back after its end, since Supervised.
	Restarts int `json:"restarts"`
	// LastExit is the last end of a container; LastError is why the last attempt to bring the service up failed.
	LastExit  *ExitStatus `json:"last_exit,omitempty"`
	LastError string      `json:"last_error,omitempty"`
	// Drift names what is not as wanted although nobody changed the recipe.
	Drift []string `json:"drift,omitempty"`
	// Image is the reference that the recipe names, Digest the image's own where it was pulled, ImageID the Engine's id of
	// the one that runs.
	Image   string `json:"image"`
	Digest  string `json:"digest,omitempty"`
	ImageID string `json:"image_id,omitempty"`
	// Needs are the services that this one waits for.
	Needs      []string          `json:"needs,omitempty"`
	Schedule   *ScheduleStatus   `json:"schedule,omitempty"`
	Containers []ContainerStatus `json:"containers,omitempty"`
}

// ExitStatus is the end of a container.
type ExitStatus struct {
	Container string    `json:"container"`
	Code      int       `json:"code"`
	OOM       bool      `json:"oom,omitempty"`
	At        time.Time `json:"at"`
}

// ScheduleStatus tells of a service that runs at times.
type ScheduleStatus struct {
	// Spec is as the recipe says, Next the next time.
	Spec string    `json:"spec"`
	Next time.Time `json:"next"`
	// Runs count those since Supervised, Skipped the times at which it could not run.
	Runs    int `json:"runs"`
	Skipped int `json:"skipped,omitempty"`
	// Results are the last ones, the latest first.
	Results []ResultStatus `json:"results,omitempty"`
}

// ResultStatus is one run of a service with a schedule.
type ResultStatus struct {
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Code     int       `json:"code"`
}

// ContainerStatus tells of a container.
type ContainerStatus struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// State is the Engine's: created, running, paused, restarting, exited, dead. Health is starting, healthy, unhealthy, or
	// left out without a healthcheck.
	State  string `json:"state"`
	Health string `json:"health,omitempty"`
	// Started is when it last started.
	Started *time.Time `json:"started,omitempty"`
	// Ports are what it publishes, as "0.0.0.0:8080->80/tcp".
	Ports []string `json:"ports,omitempty"`
}

// WriteStatus writes the status to path, for everybody to read: there are no secrets in it.
func WriteStatus(path string, s Status) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	return replaceFile(path, append(text, '\n'), 0o644)
}

// ReadStatus reads the status at path. The error is fs.ErrNotExist where there is none, and a *CorruptError where it can't
// be understood.
func ReadStatus(path string) (Status, error) {
	var s Status
	text, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("reading the status: %w", err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, &CorruptError{path, err}
	}
	if s.Version != StatusVersion {
		return s, &CorruptError{path, fmt.Errorf("it has version %d, and this galley reads version %d", s.Version, StatusVersion)}
	}
	return s, nil
}

// Alive tells whether the supervisor that wrote the status is there: else it is what was, not what is.
func (s Status) Alive() bool {
	start, err := ProgramStart(s.PID)
	return err == nil && start == s.Program
}

// ProgramStart is when a process started, in the kernel's clock ticks since the boot: with it, an id that was given out
// again is told apart.
func ProgramStart(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	if err != nil {
		return "", fmt.Errorf("process %d: %w", pid, err)
	}
	return startOf(string(text))
}
