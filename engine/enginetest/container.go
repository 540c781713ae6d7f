package enginetest

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
)

// ctr is a container. Engine.mu guards it.
type ctr struct {
	id, name string
	serial   int
	created  time.Time
	image    string
	config   *container.Config
	host     *container.HostConfig
	// endpoints are by the network's name, or by what the caller wrote until the network is found, at start.
	endpoints map[string]*endpoint
	mounts    []mountPoint
	files     *files
	log       *logBook

	running, paused, restarting, dead bool
	exitCode                          int
	message                           string
	started, finished                 time.Time
	oomKilled                         bool
	health                            *container.Health
	published                         nat.PortMap
	pid                               int

	proc         *process
	restartCount int
	restarts     restarter
	// manual: somebody stopped it, so that "unless-stopped" leaves it.
	manual bool
	// exits counts the ends of its process, for those who wait for the next one.
	exits   int
	removed bool
	// pending is what lists don't show yet; nil, if they are right.
	pending *unrecorded
	// changed is closed, and replaced, whenever any of this changes.
	changed chan struct{}
}

// touch wakes all who wait for the container to change.
func (c *ctr) touch() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// newID is an id of 64 digits.
func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

func short(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}

// sorted returns the containers, oldest first.
func (e *Engine) sorted() []*ctr {
	return slices.SortedFunc(maps.Values(e.containers), func(a, b *ctr) int { return cmp.Compare(a.serial, b.serial) })
}

// container finds a container as dockerd does: by id, by name, by the beginning of its id.
func (e *Engine) container(ref string) (*ctr, error) {
	if c := e.containers[ref]; c != nil {
		return c, nil
	}
	var prefixed []*ctr
	for _, c := range e.containers {
		if c.name == strings.TrimPrefix(ref, "/") {
			return c, nil
		}
		if strings.HasPrefix(c.id, ref) {
			prefixed = append(prefixed, c)
		}
	}
	switch len(prefixed) {
	case 0:
		return nil, fail(http.StatusNotFound, "No such container: %s", ref)
	case 1:
		return prefixed[0], nil
	}
	return nil, fail(http.StatusBadRequest, "Multiple IDs found with provided prefix: %s", ref)
}

// with runs f on the container that a call names.
func (e *Engine) with(r *request, f func(*ctr) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.container(r.name)
	if err != nil {
		return err
	}
	return f(c)
}

// nameFree refuses a name that is malformed or taken (daemon/names.go, daemon/errors.go).
func (e *Engine) nameFree(name string) error {
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`).MatchString(name) {
		return fail(http.StatusBadRequest, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
	}
	for _, c := range e.containers {
		if c.name == name {
			return fail(http.StatusConflict, "Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", "/"+name, c.id)
		}
	}
	return nil
}

// createContainer answers POST /containers/create.
func (e *Engine) createContainer(r *request) error {
	var body container.CreateRequest
	if err := r.read(&body); err != nil {
		return err
	}
	if body.Config == nil {
		return fail(http.StatusBadRequest, "%s", e.words("Config cannot be empty in order to create a container", "config cannot be empty in order to create a container"))
	}
	if body.HostConfig == nil {
		body.HostConfig = &container.HostConfig{}
	}
	if err := r.forgetNewer(&body); err != nil {
		return err
	}
	e.mu.Lock()
	c, warnings, err := e.create(r.query.Get("name"), &body)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	return r.reply(http.StatusCreated, container.CreateResponse{ID: c.id, Warnings: append([]string{}, warnings...)})
}

// words picks between what dockerd 20.10 says and what 26 and newer say.
func (e *Engine) words(old, new string) string {
	if e.atLeast("1.44") {
		return new
	}
	return old
}

// forgetNewer drops what the caller's API version did not know, as dockerd's postContainersCreate does.
func (r *request) forgetNewer(body *container.CreateRequest) error {
	h := body.HostConfig
	if r.older("1.43") {
		h.Annotations = nil
	}
	if r.older("1.44") {
		if body.Healthcheck != nil {
			body.Healthcheck.StartInterval = 0
		}
		if names := endpointNames(body); len(names) > 1 {
			words := r.e.words("Container cannot be connected to network endpoints: %s", "Container cannot be created with multiple network endpoints: %s")
			return fail(http.StatusBadRequest, words, strings.Join(names, ", "))
		}
	}
	for _, m := range h.Mounts {
		switch {
		case r.older("1.45") && m.VolumeOptions != nil && m.VolumeOptions.Subpath != "":
			if r.e.atLeast("1.45") {
				return fail(http.StatusBadRequest, "VolumeOptions.Subpath needs API v1.45 or newer")
			}
			m.VolumeOptions.Subpath = ""
		case r.older("1.48") && m.Type == "image":
			if r.e.atLeast("1.48") {
				return fail(http.StatusBadRequest, `Mount type "Image" needs API v1.48 or newer`)
			}
			return fail(http.StatusBadRequest, `invalid mount config for type "image": mount type unknown`)
		}
	}
	if h.PidsLimit != nil && *h.PidsLimit <= 0 {
		h.PidsLimit = nil
	}
	return nil
}

func endpointNames(body *container.CreateRequest) []string {
	if body.NetworkingConfig == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(body.NetworkingConfig.EndpointsConfig))
}

// create makes a container of a payload. Nothing is left of one that fails.
func (e *Engine) create(name string, body *container.CreateRequest) (*ctr, []string, error) {
	image, err := e.imageOf(body.Image)
	if err != nil {
		return nil, nil, err
	}
	config, host := body.Config, body.HostConfig
	if image != nil {
		image.lend(config)
	}
	if len(config.Entrypoint) == 0 && len(config.Cmd) == 0 {
		return nil, nil, fail(http.StatusBadRequest, "%s", e.words("No command specified", "no command specified"))
	}
	if name == "" {
		e.serial++
		name = fmt.Sprintf("nameless_%d", e.serial)
	}
	if err := e.nameFree(strings.TrimPrefix(name, "/")); err != nil {
		return nil, nil, err
	}
	warnings, err := e.settle(config, host)
	if err != nil {
		return nil, nil, err
	}
	e.serial++
	c := &ctr{
		id: newID(), name: strings.TrimPrefix(name, "/"), serial: e.serial, created: time.Now().UTC(),
		config: config, host: host,
		endpoints: map[string]*endpoint{}, files: newFiles(), log: newLogBook(), changed: make(chan struct{}),
	}
	if image != nil {
		c.image = image.id
		c.files.copyFrom(image.files)
	}
	if config.Hostname == "" && !host.NetworkMode.IsHost() && !host.NetworkMode.IsContainer() {
		config.Hostname = short(c.id)
	}
	if err := e.planMounts(c); err != nil {
		return nil, nil, err
	}
	e.planEndpoints(c, body.NetworkingConfig)
	e.containers[c.id] = c
	e.tell(c, events.ActionCreate)
	return c, warnings, nil
}

// settle checks the settings and fills in dockerd's defaults.
func (e *Engine) settle(config *container.Config, host *container.HostConfig) (warnings []string, err error) {
	if err := e.checkRestartPolicy(host); err != nil {
		return nil, err
	}
	for _, mode := range []string{string(host.IpcMode), string(host.PidMode)} {
		if parent, ok := strings.CutPrefix(mode, "container:"); ok {
			if _, err := e.container(parent); err != nil {
				return nil, err
			}
		}
	}
	if host.Memory != 0 && host.Memory < 6<<20 {
		return nil, fail(http.StatusBadRequest, "Minimum memory limit allowed is 6MB")
	}
	if host.Memory > 0 && host.MemorySwap == 0 {
		host.MemorySwap = 2 * host.Memory
	}
	if config.Labels == nil {
		config.Labels = map[string]string{}
	}
	if host.NetworkMode == "" {
		host.NetworkMode = network.NetworkDefault
	}
	if host.NetworkMode.IsDefault() && e.atLeast("1.45") {
		host.NetworkMode = network.NetworkBridge
	}
	if host.RestartPolicy.Name == "" && e.atLeast("1.44") {
		host.RestartPolicy.Name = container.RestartPolicyDisabled
	}
	if host.LogConfig.Type == "" {
		host.LogConfig.Type = "json-file"
	}
	if host.LogConfig.Config == nil {
		host.LogConfig.Config = map[string]string{}
	}
	if host.ShmSize == 0 {
		host.ShmSize = 64 << 20
	}
	if host.IpcMode == "" {
		host.IpcMode = container.IPCModePrivate
	}
	if host.CgroupnsMode == "" {
		host.CgroupnsMode = container.CgroupnsModeHost
	}
	if host.Runtime == "" {
		host.Runtime = "runc"
	}
	return nil, nil
}

// checkRestartPolicy is api/types/container's ValidateRestartPolicy in dockerd's words.
func (e *Engine) checkRestartPolicy(host *container.HostConfig) error {
	p := host.RestartPolicy
	if host.AutoRemove && p.Name != "" && p.Name != container.RestartPolicyDisabled {
		return fail(http.StatusBadRequest, "can't create 'AutoRemove' container with restart policy")
	}
	if err := container.ValidateRestartPolicy(p); err != nil {
		if !e.atLeast("1.44") && !slices.Contains([]container.RestartPolicyMode{"no", "always", "on-failure", "unless-stopped"}, p.Name) {
			return fail(http.StatusBadRequest, "invalid restart policy '%s'", p.Name)
		}
		return fail(http.StatusBadRequest, "%s", err)
	}
	return nil
}

// removeContainer answers DELETE /containers/*.
func (e *Engine) removeContainer(r *request) error {
	if err := e.with(r, func(c *ctr) error {
		if c.running && !r.flag("force") {
			return e.runningStill(c, r.name)
		}
		e.remove(c, r.flag("v"))
		return nil
	}); err != nil {
		return err
	}
	return r.done(http.StatusNoContent)
}

// runningStill refuses the removal of a running container (daemon/delete.go, cleanupContainer).
func (e *Engine) runningStill(c *ctr, ref string) error {
	if !e.atLeast("1.48") {
		ref = "/" + c.name
	}
	switch {
	case e.atLeast("1.44") && c.paused:
		return fail(http.StatusConflict, "cannot remove container %q: container is paused and must be unpaused first", ref)
	case e.atLeast("1.44"):
		return fail(http.StatusConflict, "cannot remove container %q: container is %s: stop the container before removing or force remove", ref, c.phase())
	case c.paused:
		return fail(http.StatusConflict, "You cannot remove a paused container %s. Unpause and then stop the container before attempting removal or force remove", c.id)
	}
	return fail(http.StatusConflict, "You cannot remove a %s container %s. Stop the container before attempting removal or force remove", c.phase(), c.id)
}

// remove kills the container if it runs and takes it away; with volumes, its anonymous ones too.
func (e *Engine) remove(c *ctr, volumes bool) {
	c.manual = true
	if c.running {
		e.signal(c, sigKill)
	}
	e.halt(c)
	delete(e.containers, c.id)
	if volumes {
		e.removeAnonymous(c)
	}
	for id, x := range e.execs {
		if x.container == c {
			delete(e.execs, id)
		}
	}
	c.removed = true
	c.touch()
	e.tell(c, events.ActionDestroy)
}

// renameContainer answers POST /containers/*/rename.
func (e *Engine) renameContainer(r *request) error {
	name := r.query.Get("name")
	if name == "" {
		return fail(http.StatusBadRequest, "Neither old nor new names may be empty")
	}
	name = strings.TrimPrefix(name, "/")
	if err := e.with(r, func(c *ctr) error {
		if c.name == name {
			return fail(http.StatusBadRequest, "Renaming a container with the same name as its current name")
		}
		if err := e.nameFree(name); err != nil {
			f := err.(*failure)
			return fail(f.status, "Error when allocating new name: %s", f.message)
		}
		old := c.name
		c.name = name
		c.touch()
		e.tell(c, events.ActionRename, "oldName", "/"+old)
		return nil
	}); err != nil {
		return err
	}
	return r.done(http.StatusNoContent)
}
