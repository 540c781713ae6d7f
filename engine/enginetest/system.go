package enginetest

import (
	"net/http"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/system"
)

// release is the version of the Engine that speaks the API version.
func (e *Engine) release() string {
	releases := map[string]string{
		"1.40": "19.03.15", "1.41": "20.10.24", "1.42": "23.0.6", "1.43": "24.0.9", "1.44": "25.0.5", "1.45": "26.1.5", "1.46": "27.1.2",
		"1.47": "27.5.1", "1.48": "28.0.4", "1.49": "28.1.1", "1.50": "28.2.2", "1.51": "28.5.2", "1.52": "29.0.0",
	}
	if release := releases[e.api]; release != "" {
		return release
	}
	return "0.0.0"
}

// ping answers /_ping.
func (e *Engine) ping(r *request) error {
	h := r.w.Header()
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if e.atLeast("1.41") {
		h.Set("Swarm", "inactive")
	}
	h.Set("Builder-Version", e.words("1", "2"))
	r.w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := r.w.Write([]byte("OK"))
	return gone(err)
}

// version answers GET /version.
func (e *Engine) version(r *request) error {
	return r.reply(http.StatusOK, types.Version{
		Version: e.release(), APIVersion: e.api, MinAPIVersion: e.minAPI, Os: "linux", Arch: "amd64", KernelVersion: "6.1.0",
		GitCommit: "0000000", GoVersion: "go1.24", BuildTime: "2025-01-01T00:00:00.000000000+00:00",
		Components: []types.ComponentVersion{{Name: "Engine", Version: e.release(), Details: map[string]string{
			"ApiVersion": e.api, "MinAPIVersion": e.minAPI, "Arch": "amd64", "Os": "linux", "Experimental": "false",
		}}},
	})
}

// info answers GET /info.
func (e *Engine) info(r *request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	info := system.Info{
		ID: "enginetest", Name: "enginetest", ServerVersion: e.release(), Driver: "overlay2", LoggingDriver: "json-file", CgroupDriver: "cgroupfs",
		CgroupVersion: "1", OSType: "linux", Architecture: "x86_64", OperatingSystem: "Debian GNU/Linux 12 (bookworm)", KernelVersion: "6.1.0",
		NCPU: 2, MemTotal: 4 << 30, DockerRootDir: e.dataRoot, DefaultRuntime: "runc", InitBinary: "docker-init",
		IndexServerAddress: "https://index.docker.io/v1/", MemoryLimit: true, SwapLimit: true, PidsLimit: true, CPUSet: true, CPUShares: true,
		CPUCfsPeriod: true, CPUCfsQuota: true, OomKillDisable: true, IPv4Forwarding: true, Images: len(e.images), Containers: len(e.containers),
		SecurityOptions: []string{"name=seccomp,profile=default"}, SystemTime: stamp(e.born), NEventsListener: len(e.events.listeners),
		Plugins: system.PluginsInfo{Volume: []string{"local"}, Network: []string{"bridge", "host", "ipvlan", "macvlan", "null", "overlay"}, Log: []string{"json-file", "local", "none"}},
	}
	for _, c := range e.containers {
		switch {
		case c.paused:
			info.ContainersPaused++
		case c.running:
			info.ContainersRunning++
		default:
			info.ContainersStopped++
		}
	}
	return r.reply(http.StatusOK, info)
}
