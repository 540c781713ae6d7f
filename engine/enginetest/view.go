package enginetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/storage"
	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"
)

// phase is the container's state in a word (container/state.go, StateString).
func (c *ctr) phase() container.ContainerState {
	switch {
	case c.running && c.paused:
		return container.StatePaused
	case c.running && c.restarting:
		return container.StateRestarting
	case c.running:
		return container.StateRunning
	case c.dead:
		return container.StateDead
	case c.started.IsZero():
		return container.StateCreated
	}
	return container.StateExited
}

// status is the container's state for people (container/state.go, String).
func (c *ctr) status() string {
	ago := func(t time.Time) string { return units.HumanDuration(time.Since(t)) }
	switch c.phase() {
	case container.StatePaused:
		return "Up " + ago(c.started) + " (Paused)"
	case container.StateRestarting:
		return fmt.Sprintf("Restarting (%d) %s ago", c.exitCode, ago(c.finished))
	case container.StateRunning:
		up := "Up " + ago(c.started)
		switch {
		case c.health == nil || c.health.Status == container.NoHealthcheck:
		case c.health.Status == container.Starting:
			up += " (health: starting)"
		default:
			up += " (" + c.health.Status + ")"
		}
		return up
	case container.StateDead:
		return "Dead"
	case container.StateCreated:
		return "Created"
	}
	return fmt.Sprintf("Exited (%d) %s ago", c.exitCode, ago(c.finished))
}

// stamp writes a time as dockerd does; the zero time is the year 1.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// inspectContainer answers GET /containers/*/json.
func (e *Engine) inspectContainer(r *request) error {
	var body []byte
	e.awaitRecord(r.name)
	if err := e.with(r, func(c *ctr) (err error) {
		// Under the lock: what is shown is shared.
		body, err = json.Marshal(e.inspect(c, r))
		return err
	}); err != nil {
		return err
	}
	return r.reply(http.StatusOK, json.RawMessage(body))
}

func (e *Engine) inspect(c *ctr, r *request) container.InspectResponse {
	argv := slices.Concat(c.config.Entrypoint, c.config.Cmd)
	dir := "/var/lib/docker/containers/" + c.id + "/"
	base := &container.ContainerJSONBase{
		ID: c.id, Created: stamp(c.created), Path: argv[0], Args: argv[1:], Image: c.image, Name: "/" + c.name,
		RestartCount: c.restartCount, Driver: "overlay2", Platform: "linux", HostConfig: c.host,
		GraphDriver: storage.DriverData{Name: "overlay2"},
		State: &container.State{
			Status: c.phase(), Running: c.running, Paused: c.paused, Restarting: c.restarting, OOMKilled: c.oomKilled, Dead: c.dead,
			Pid: c.pid, ExitCode: c.exitCode, Error: c.message, StartedAt: stamp(c.started), FinishedAt: stamp(c.finished), Health: c.health,
		},
	}
	if !c.started.IsZero() {
		base.ResolvConfPath, base.HostnamePath, base.HostsPath = dir+"resolv.conf", dir+"hostname", dir+"hosts"
		base.LogPath = dir + c.id + "-json.log"
	}
	for _, x := range e.execs {
		if x.container == c && !x.done {
			base.ExecIDs = append(base.ExecIDs, x.id)
		}
	}
	slices.Sort(base.ExecIDs)
	return container.InspectResponse{
		ContainerJSONBase: base, Mounts: c.mountList(), Config: c.config, NetworkSettings: c.networkSettings(r),
	}
}

func (c *ctr) mountList() []container.MountPoint {
	list := []container.MountPoint{}
	for _, m := range c.mounts {
		if !m.hidden {
			list = append(list, m.MountPoint)
		}
	}
	return list
}

// endpointList shows the endpoints. In an inspect the aliases of older callers have the short id among them.
func (c *ctr) endpointList(aliases bool, r *request) map[string]*network.EndpointSettings {
	list := map[string]*network.EndpointSettings{}
	for name, ep := range c.endpoints {
		s := ep.settings
		switch {
		case !aliases && r.older("1.44"):
			s.Aliases = nil
		case r.older("1.45") && s.EndpointID+s.NetworkID != "" && container.NetworkMode(name).IsUserDefined():
			s.Aliases = append(slices.Clone(s.Aliases), short(c.id))
		}
		list[name] = &s
	}
	return list
}

func (c *ctr) networkSettings(r *request) *container.NetworkSettings {
	s := &container.NetworkSettings{Networks: c.endpointList(true, r)}
	s.Ports = nat.PortMap{}
	maps.Copy(s.Ports, c.published)
	if c.running && !c.restarting {
		s.SandboxID = c.id
		s.SandboxKey = "/var/run/docker/netns/" + short(c.id)
	}
	if bridge := s.Networks["bridge"]; bridge != nil {
		//lint:ignore SA1019 old callers read them
		s.EndpointID, s.Gateway, s.IPAddress = bridge.EndpointID, bridge.Gateway, bridge.IPAddress
		//lint:ignore SA1019 as above
		s.IPPrefixLen, s.MacAddress = bridge.IPPrefixLen, bridge.MacAddress
	}
	return s
}

// listContainers answers GET /containers/json.
func (e *Engine) listContainers(r *request) error {
	args, err := r.filters("ancestor", "before", "exited", "expose", "health", "id", "isolation", "is-task", "label", "label!", "name", "network", "publish", "since", "status", "volume")
	if err != nil {
		return err
	}
	for _, status := range args.Get("status") {
		if err := container.ValidateContainerState(status); err != nil {
			return fail(http.StatusBadRequest, "invalid filter 'status=%s'", status)
		}
	}
	limit, _ := strconv.Atoi(r.query.Get("limit")) // 0 is none
	all := r.flag("all") || limit > 0 || args.Contains("status") || args.Contains("exited")
	list := []container.Summary{}
	e.mu.Lock()
	containers := e.sorted()
	slices.Reverse(containers)
	for _, c := range containers {
		if (all || c.running) && e.listed(c, args) && (limit <= 0 || len(list) < limit) {
			list = append(list, e.summary(c, r))
		}
	}
	body, err := json.Marshal(list)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	return r.reply(http.StatusOK, json.RawMessage(body))
}

// listed applies the filters of a list (daemon/list.go).
func (e *Engine) listed(c *ctr, args filters.Args) bool {
	health := container.NoHealthcheck
	if c.health != nil {
		health = c.health.Status
	}
	ok := labelsPass(args, c.config.Labels) &&
		args.ExactMatch("status", c.phase()) &&
		args.ExactMatch("health", health) &&
		(!args.Contains("id") || args.Match("id", c.id)) &&
		(!args.Contains("name") || args.Match("name", c.name) || args.Match("name", "/"+c.name)) &&
		(!args.Contains("exited") || !c.running && !c.started.IsZero() && args.ExactMatch("exited", strconv.Itoa(c.exitCode))) &&
		(!args.Contains("is-task") || args.ExactMatch("is-task", "false"))
	return ok && e.onNetwork(c, args) && e.mounted(c, args) && e.descends(c, args) && e.inOrder(c, args)
}

func (e *Engine) onNetwork(c *ctr, args filters.Args) bool {
	if !args.Contains("network") {
		return true
	}
	for name, ep := range c.endpoints {
		if args.ExactMatch("network", name) || ep.net != nil && (args.ExactMatch("network", ep.net.ID) || args.ExactMatch("network", ep.net.Name)) {
			return true
		}
	}
	return false
}

func (e *Engine) mounted(c *ctr, args filters.Args) bool {
	return !args.Contains("volume") || slices.ContainsFunc(c.mounts, func(m mountPoint) bool {
		return m.Name != "" && args.ExactMatch("volume", m.Name) || args.ExactMatch("volume", m.Destination)
	})
}

func (e *Engine) descends(c *ctr, args filters.Args) bool {
	return !args.Contains("ancestor") || slices.ContainsFunc(args.Get("ancestor"), func(ref string) bool {
		m := e.findImage(ref)
		return m != nil && m.id == c.image
	})
}

func (e *Engine) inOrder(c *ctr, args filters.Args) bool {
	for _, ref := range args.Get("before") {
		if other, err := e.container(ref); err != nil || c.serial >= other.serial {
			return false
		}
	}
	for _, ref := range args.Get("since") {
		if other, err := e.container(ref); err != nil || c.serial <= other.serial {
			return false
		}
	}
	return true
}

func (e *Engine) summary(c *ctr, r *request) container.Summary {
	if c.pending != nil {
		return c.pending.before
	}
	s := container.Summary{
		ID: c.id, Names: []string{"/" + c.name}, Image: c.config.Image, ImageID: c.image, Command: c.command(), Created: c.created.Unix(),
		Ports: c.portList(), Labels: c.config.Labels, State: c.phase(), Status: c.status(),
		NetworkSettings: &container.NetworkSettingsSummary{Networks: c.endpointList(false, r)}, Mounts: c.mountList(),
	}
	s.HostConfig.NetworkMode = string(c.host.NetworkMode)
	if !r.older("1.46") {
		s.HostConfig.Annotations = c.host.Annotations
	}
	// A tag that moved on no longer names what the container runs.
	if m := e.findImage(c.config.Image); m == nil || m.id != c.image {
		s.Image = c.image
	}
	return s
}

// command is the command line in one string, its arguments quoted where they have a blank in them.
func (c *ctr) command() string {
	argv := slices.Concat(c.config.Entrypoint, c.config.Cmd)
	for i, arg := range argv[1:] {
		if strings.Contains(arg, " ") {
			argv[i+1] = "'" + arg + "'"
		}
	}
	return strings.Join(argv, " ")
}

// containerTop answers GET /containers/*/top.
func (e *Engine) containerTop(r *request) error {
	var top container.TopResponse
	if err := e.with(r, func(c *ctr) error {
		if !c.running {
			return e.notRunning(c)
		}
		if c.restarting {
			return fail(http.StatusConflict, "Container %s is restarting, wait until the container is running", c.id)
		}
		top.Titles = []string{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}
		argv := strings.Join(slices.Concat(c.config.Entrypoint, c.config.Cmd), " ")
		top.Processes = [][]string{{"root", strconv.Itoa(c.pid), "1", "0", c.started.Format("15:04"), "?", "00:00:00", argv}}
		return nil
	}); err != nil {
		return err
	}
	return r.reply(http.StatusOK, top)
}

// waitContainer answers POST /containers/*/wait: at once with the headers, then with the code.
func (e *Engine) waitContainer(r *request) error {
	condition := container.WaitCondition(r.query.Get("condition"))
	switch condition {
	case "":
		condition = container.WaitConditionNotRunning
	case container.WaitConditionNotRunning, container.WaitConditionNextExit, container.WaitConditionRemoved:
	default:
		return fail(http.StatusBadRequest, "invalid condition: %q", condition)
	}
	e.mu.Lock()
	c, err := e.container(r.name)
	if err != nil {
		e.mu.Unlock()
		return err
	}
	exits := c.exits
	e.mu.Unlock()
	out := r.stream("application/json")
	for {
		e.mu.Lock()
		met := c.removed || condition == container.WaitConditionNotRunning && !c.running || condition == container.WaitConditionNextExit && c.exits > exits
		changed, code := c.changed, c.exitCode
		e.mu.Unlock()
		if met {
			return gone(json.NewEncoder(out).Encode(e.waited(code)))
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return nil
		}
	}
}

// waited is the end of a wait; old Engines write the error that there is none of.
func (e *Engine) waited(code int) any {
	if e.atLeast("1.44") {
		return container.WaitResponse{StatusCode: int64(code)}
	}
	return map[string]any{"StatusCode": code, "Error": nil}
}

// updateContainer answers POST /containers/*/update: what is given replaces what was.
func (e *Engine) updateContainer(r *request) error {
	var raw json.RawMessage
	if err := r.read(&raw); err != nil {
		return err
	}
	var body container.UpdateConfig
	if err := json.Unmarshal(raw, &body); err != nil {
		return fail(http.StatusBadRequest, "invalid JSON: %s", err)
	}
	if err := e.with(r, func(c *ctr) error { return e.update(c, body, raw) }); err != nil {
		return err
	}
	return r.reply(http.StatusOK, container.UpdateResponse{})
}

func (e *Engine) update(c *ctr, body container.UpdateConfig, raw []byte) error {
	if c.host.AutoRemove && body.RestartPolicy.Name != "" {
		return fail(http.StatusBadRequest, "Restart policy cannot be updated because AutoRemove is enabled for the container")
	}
	if body.Memory != 0 && body.Memory > c.host.MemorySwap && body.MemorySwap == 0 && c.host.MemorySwap > 0 {
		return fail(http.StatusConflict, "Cannot update container %s: Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time", c.id)
	}
	var given map[string]any
	if err := json.Unmarshal(raw, &given); err != nil {
		return err
	}
	// Zero values mean "leave it" (container/container_unix.go, UpdateContainer).
	maps.DeleteFunc(given, func(_ string, v any) bool { return v == nil || v == 0.0 || v == "" })
	delete(given, "RestartPolicy")
	changes, err := json.Marshal(given)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(changes, &c.host.Resources); err != nil {
		return fail(http.StatusBadRequest, "%s", err)
	}
	if body.RestartPolicy.Name != "" {
		c.host.RestartPolicy = body.RestartPolicy
	}
	c.touch()
	e.tell(c, "update")
	return nil
}
