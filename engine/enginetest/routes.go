package enginetest

import (
	"net/http"
	"strings"
)

type handler func(*request) error

// route is one endpoint: "POST /containers/*/start", where * is a name, which may contain slashes.
type route struct {
	pattern string
	handle  handler
}

// routes are the endpoints; the first that fits is taken.
func (e *Engine) routes() []route {
	return []route{
		{"GET /_ping", e.ping},
		{"HEAD /_ping", e.ping},
		{"GET /version", e.version},
		{"GET /info", e.info},
		{"GET /events", e.streamEvents},

		{"GET /containers/json", e.listContainers},
		{"POST /containers/create", e.createContainer},
		{"GET /containers/*/json", e.inspectContainer},
		{"GET /containers/*/logs", e.containerLogs},
		{"GET /containers/*/top", e.containerTop},
		{"GET /containers/*/stats", e.containerStats},
		{"POST /containers/*/start", e.startContainer},
		{"POST /containers/*/stop", e.stopContainer},
		{"POST /containers/*/restart", e.restartContainer},
		{"POST /containers/*/kill", e.killContainer},
		{"POST /containers/*/pause", e.pauseContainer},
		{"POST /containers/*/unpause", e.unpauseContainer},
		{"POST /containers/*/rename", e.renameContainer},
		{"POST /containers/*/update", e.updateContainer},
		{"POST /containers/*/wait", e.waitContainer},
		{"POST /containers/*/resize", e.resize},
		{"POST /containers/*/attach", e.attachContainer},
		{"POST /containers/*/exec", e.createExec},
		{"PUT /containers/*/archive", e.putArchive},
		{"GET /containers/*/archive", e.getArchive},
		{"HEAD /containers/*/archive", e.getArchive},
		{"DELETE /containers/*", e.removeContainer},

		{"POST /exec/*/start", e.startExec},
		{"POST /exec/*/resize", e.resize},
		{"GET /exec/*/json", e.inspectExec},

		{"GET /networks", e.listNetworks},
		{"POST /networks/create", e.createNetwork},
		{"POST /networks/*/connect", e.connectNetwork},
		{"POST /networks/*/disconnect", e.disconnectNetwork},
		{"GET /networks/*", e.inspectNetwork},
		{"DELETE /networks/*", e.removeNetwork},

		{"GET /volumes", e.listVolumes},
		{"POST /volumes/create", e.createVolume},
		{"GET /volumes/*", e.inspectVolume},
		{"DELETE /volumes/*", e.removeVolume},

		{"POST /auth", e.logIn},
		{"GET /distribution/*/json", e.inspectDistribution},

		{"GET /images/json", e.listImages},
		{"POST /images/create", e.pullImage},
		{"POST /images/load", e.loadImages},
		{"GET /images/get", e.saveImages},
		{"GET /images/*/json", e.inspectImage},
		{"POST /images/*/tag", e.tagImage},
		{"DELETE /images/*", e.removeImage},
	}
}

// find returns the handler for a call, its pattern, and the name in the path.
func (e *Engine) find(method, path string) (handler, string, string) {
	call := method + " " + path
	for _, rt := range e.routes() {
		prefix, suffix, named := strings.Cut(rt.pattern, "*")
		if !named {
			if call == rt.pattern {
				return rt.handle, rt.pattern, ""
			}
			continue
		}
		name, ok := strings.CutPrefix(call, prefix)
		if !ok {
			continue
		}
		if name, ok = strings.CutSuffix(name, suffix); ok && name != "" {
			return rt.handle, rt.pattern, name
		}
	}
	return nil, "", ""
}

// resize takes note of a terminal's size, which nothing here depends on.
func (e *Engine) resize(r *request) error { return r.done(http.StatusOK) }
