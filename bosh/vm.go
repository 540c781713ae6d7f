package bosh

import "path/filepath"

// VM knows where the job docker of the release keeps its files on a BOSH VM. Root is "/", but in tests.
type VM struct {
	Root string
}

// path is a path of the VM, under its root.
func (v VM) path(absolute string) string { return filepath.Join(v.Root, absolute) }

// Job is the job's bundle: its rendered templates. The agent makes it anew with each change.
func (v VM) Job() string { return v.path("/var/vcap/jobs/docker") }

// Project is the directory that recipes call $PWD. Its name is why the project is called "running".
func (v VM) Project() string { return filepath.Join(v.Job(), "etc/running") }

// Recipe is the rendered recipe.
func (v VM) Recipe() string { return filepath.Join(v.Project(), "docker-compose.yml") }

// Settings, Files and DaemonSpec are the rendered properties: [Settings], []File, and what daemon-config reads.
func (v VM) Settings() string   { return filepath.Join(v.Job(), "config/settings.json") }
func (v VM) Files() string      { return filepath.Join(v.Job(), "config/files.json") }
func (v VM) DaemonSpec() string { return filepath.Join(v.Job(), "config/daemon-spec.json") }

// Prep is the operator's script that runs before the containers start.
func (v VM) Prep() string { return filepath.Join(v.Job(), "bin/prep") }

// Run is lost at a reboot: pidfiles, sockets, and what is secret. It lies on a tmpfs of 16 MB.
func (v VM) Run() string { return v.path("/var/vcap/sys/run/docker") }

// Log is where the agent looks for logs.
func (v VM) Log() string { return v.path("/var/vcap/sys/log/docker") }

// Data outlives a reboot, but not the VM.
func (v VM) Data() string { return v.path("/var/vcap/data/docker") }

// Store is the persistent disk's mount point, if the VM has one.
func (v VM) Store() string { return v.path("/var/vcap/store") }

// DataRoot is the Engine's own: images, containers, volumes. The original release had it there, too.
func (v VM) DataRoot() string { return filepath.Join(v.Store(), "docker") }

// ExecRoot is the Engine's run-time state, too large for Run. Nothing in it outlives the processes that it tells of.
func (v VM) ExecRoot() string { return filepath.Join(v.Data(), "exec") }

// Temp is a temporary directory with room: /tmp of a stemcell is small.
func (v VM) Temp() string { return filepath.Join(v.Data(), "tmp") }

// DaemonJSON is the Engine's configuration.
func (v VM) DaemonJSON() string { return filepath.Join(v.Data(), "daemon.json") }

// Certs is where every Engine looks for the certificates of registries.
func (v VM) Certs() string { return v.path("/etc/docker/certs.d") }

// DockerConfig is the directory of config.json with the registries' credentials.
func (v VM) DockerConfig() string { return filepath.Join(v.Run(), "auth") }

// Socket is the Engine's, DaemonPID its process's number.
func (v VM) Socket() string    { return filepath.Join(v.Run(), "docker.sock") }
func (v VM) DaemonPID() string { return filepath.Join(v.Run(), "docker.pid") }
func (v VM) DaemonLog() string { return filepath.Join(v.Log(), "dockerd.log") }

func (v VM) notifySocket() string { return filepath.Join(v.Run(), "notify.sock") }

// SupervisorPID, Health and Status are the supervisor's.
func (v VM) SupervisorPID() string { return filepath.Join(v.Run(), "galley.pid") }
func (v VM) Health() string        { return filepath.Join(v.Run(), "health.sock") }
func (v VM) Status() string        { return filepath.Join(v.Run(), "status.json") }
func (v VM) SupervisorLog() string { return filepath.Join(v.Log(), "galley.log") }

// Bin is where a package's programs are.
func (v VM) Bin(pkg string) string { return filepath.Join(v.path("/var/vcap/packages"), pkg, "bin") }

// Paths are where Galley keeps its own files on the VM; the last good project is beside the volumes that belong to it.
func (v VM) Paths() Paths {
	return Paths{Run: filepath.Join(v.Run(), "galley"), State: filepath.Join(v.Store(), "galley")}
}
