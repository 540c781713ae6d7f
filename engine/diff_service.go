package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/versions"

	"galley/compose"
)

// planService lays down the steps for the replicas of a service, and removes those that are too many. What is replaced
// goes only when all replicas have passed their gates ([differ.settleService]): until then the whole service can be put back.
func (d *differ) planService(p *servicePlan) {
	d.removeSurplus(p)
	d.clearInits(p)
	turns := newTurns(p)
	for _, r := range p.replicas {
		r.passed = d.planReplica(p, r, turns.next(r))
		turns.took(r)
	}
	if len(d.children(p)) == 0 {
		d.settleService(p)
	}
	d.planRestart(p)
}

// children are the planned services that share namespaces or volumes with one.
func (d *differ) children(p *servicePlan) []string {
	return slices.DeleteFunc(withChildren(d.want, []string{p.spec.Name})[1:], func(name string) bool {
		return d.services[name] == nil
	})
}

// settleService clears up once the whole service has passed, with all that share with it: what they are put back to if they
// fail needs the old one.
func (d *differ) settleService(p *servicePlan) {
	children := d.children(p)
	var passed []*node
	for _, name := range append(children, p.spec.Name) {
		for _, r := range d.services[name].replicas {
			passed = append(passed, r.passed...)
		}
	}
	for _, r := range p.replicas {
		if p.update.OnFailure == compose.FailureContinue && len(children) == 0 {
			passed = r.passed
		}
		d.settle(p, r, passed)
	}
}

// removeSurplus removes containers that are too many. Their anonymous volumes stay: nobody said that their data may go; but for
// those that an update which failed made, and which are put back to nothing.
func (d *differ) removeSurplus(p *servicePlan) {
	why := "too many replicas"
	if p.back {
		why = "its update failed"
	}
	for _, c := range p.surplus {
		if d.removals[c.ID] != nil {
			continue // with its volume
		}
		change(d.remove(c, d.stop(c, why), why), func(a removeContainer) removeContainer {
			a.volumes = p.back && c.Number > 0
			return a
		})
	}
}

// planReplica returns what must have passed before what stands in the replica's place is removed.
func (d *differ) planReplica(p *servicePlan, r *replica, turn gates) []*node {
	if r.keep == nil {
		return d.planCreate(p, r, turn)
	}
	return d.planKeep(p, r, turn)
}

// planCreate creates a replica. Where it takes an old one's place, that is stopped as late as possible: when the new one is
// created, all its gates are open, and it is its turn.
func (d *differ) planCreate(p *servicePlan, r *replica, turn gates) []*node {
	ready := d.create(p, r)
	d.rememberOld(p, r)
	if d.opts.NoStart {
		return append(ready, d.stopOthers(r, ready...)...)
	}
	open := d.gatesOf(p.spec).and(turn)
	if p.update.StartFirst && d.canOverlap(p.spec, r) {
		d.start(p, r, r.why, open, nil, ready...)
		return d.pass(p, r, func(passed *node) []*node { return d.stopOthers(r, passed) })
	}
	stops := d.stopOthers(r, append(ready, open.needs...)...)
	after(stops, open.after)
	d.start(p, r, r.why, open, stops, ready...)
	return d.pass(p, r, nil)
}

// pass adds the gate of a replica that takes another one's place, and what comes right behind it.
func (d *differ) pass(p *servicePlan, r *replica, then func(passed *node) []*node) []*node {
	if len(r.others) == 0 {
		return nil
	}
	passed := d.await(p, r, p.gate(), "before the old one goes")
	change(passed, func(a awaitContainer) awaitContainer {
		a.steady, a.monitor = true, p.update.Monitor
		return a
	})
	if then == nil {
		return []*node{passed}
	}
	return append(then(passed), passed)
}

// rememberOld notes what a replica is put back to if its update fails.
func (d *differ) rememberOld(p *servicePlan, r *replica) {
	switch {
	case len(r.others) > 0:
		d.old[p.spec.Name] = append(d.old[p.spec.Name], ranBefore(r.others))
	case r.keep != nil && r.keep.Running(): // it is stopped for its network
		d.old[p.spec.Name] = append(d.old[p.spec.Name], r.keep)
	}
}

// ranBefore picks, of the containers that stand in a replica's place, the one that counts: whose volumes are carried on, and
// which is put back if its replacement fails. What was never started is merely left over.
func ranBefore(others []*Container) *Container {
	for _, c := range others {
		if c.Running() {
			return c
		}
	}
	for _, c := range others {
		if c.Phase != container.StateCreated {
			return c
		}
	}
	return others[0]
}

// planKeep starts a container that is as wanted and does not run, and changes what can be changed on it.
func (d *differ) planKeep(p *servicePlan, r *replica, turn gates) []*node {
	ready := d.adjust(p, r)
	if !d.mustStart(p, r) {
		if r.keep.Phase == container.StatePaused {
			d.warn("container %s is paused and was left so", r.keep.Name)
		}
		ready = append(ready, d.record(p, r)...)
		d.refreshFiles(p, r)
		if d.unproven(p, r) {
			d.rememberOld(p, r)
			return d.pass(p, r, func(passed *node) []*node { return d.stopOthers(r, append(ready, passed)...) })
		}
		return append(ready, d.stopOthers(r)...)
	}
	d.rememberOld(p, r)
	if d.keepsFiles(p, r) { // a reboot took away what is in memory
		ready = append(ready, d.planFiles(p, r, filesOf(p.spec, r.number))...)
	}
	open := d.gatesOf(p.spec).and(turn)
	if d.opts.restore != nil && len(r.others) > 0 && p.update.StartFirst && d.canOverlap(p.spec, r) {
		d.start(p, r, d.whyStart(r.keep), open, nil, ready...)
		return d.pass(p, r, func(passed *node) []*node { return d.stopOthers(r, passed) })
	}
	stops := d.stopOthers(r, append(ready, open.needs...)...)
	after(stops, open.after)
	if stop := d.stops[r.keep.ID]; stop != nil {
		stops = append(stops, stop)
	}
	d.start(p, r, d.whyStart(r.keep), open, stops, ready...)
	return d.pass(p, r, nil)
}

// unproven tells whether a replica's container is a replacement that was cut short between its start and its gate: it
// still has its passing name, and the one before it is there.
func (d *differ) unproven(p *servicePlan, r *replica) bool {
	return d.opts.restore == nil && !d.opts.NoStart && len(r.others) > 0 && ranBefore(r.others).Phase != container.StateCreated &&
		r.keep.Phase == container.StateRunning && r.keep.Name != d.want.ContainerName(p.spec, r.number)
}

// after lets nodes wait for others to have ended.
func after(nodes, ended []*node) {
	for _, n := range nodes {
		n.after = append(n.after, ended...)
	}
}

func (d *differ) mustStart(p *servicePlan, r *replica) bool {
	switch {
	case d.opts.NoStart, p.oneShot && r.keep.completed(), d.opts.leave[r.keep.ID] != "":
		return false
	}
	return !r.keep.Running() || d.stops[r.keep.ID] != nil
}

func (d *differ) whyStart(c *Container) string {
	switch {
	case d.stops[c.ID] != nil:
		return "its network was made anew"
	case c.Phase == container.StateExited:
		return fmt.Sprintf("exited with code %d", c.ExitCode)
	}
	return "not started"
}

// create adds the creation and, for Engines that attach only one network at creation, the other attachments; it returns
// all that must be done before the start.
func (d *differ) create(p *servicePlan, r *replica) []*node {
	s := p.spec
	action := createContainer{
		subject:    subject{r.ref, s.Name},
		project:    d.want,
		spec:       s,
		image:      d.have.local(s.Config.Image),
		mounted:    d.localMounts(&s.Host),
		number:     r.number,
		parents:    map[string]ref{},
		inherit:    d.inherited(s, r),
		files:      fileMounts(d.files.Dir, filesOf(s, r.number)),
		connectAll: d.connectsAll(),
	}
	action.forsaken = forsaken(r, action.inherit)
	if before := r.before(); len(before) > 0 {
		action.replaces = ranBefore(before).ID
	}
	if img := d.have.image(s.Config.Image); img != nil {
		action.imageID = img.ID
	}
	written := d.planFiles(p, r, filesOf(s, r.number))
	created := d.add(action, r.why+kept(action.inherit), append(written, d.pulls(s.Config.Image, s.Platform, &s.Host)...)...)
	d.needParents(created, s, action.parents)
	d.needResources(created, s.Endpoints, &s.Host)
	r.created = created
	ready := []*node{created}
	if !action.connectAll && len(s.Endpoints) > 1 {
		for _, e := range s.Endpoints[1:] {
			ready = append(ready, d.connect(p, r, e, "this engine attaches one network at creation", nil, created))
		}
	}
	return ready
}

// needParents lets a creation wait for the containers behind the service: references, and notes them by service.
func (d *differ) needParents(created *node, s *compose.Service, parents map[string]ref) {
	for _, name := range s.Parents() {
		if parent := d.services[name]; parent != nil && parent.first() != nil {
			first := parent.first()
			parents[name] = first.ref
			created.need(first.created)
		} else if c := d.runningOf(name); c != nil {
			parents[name] = c.ref()
		} else {
			d.fail("service %q shares with service %q, which has no container", s.Name, name)
		}
	}
}

// needResources lets a creation wait for the networks and volumes that are still to be made.
func (d *differ) needResources(created *node, endpoints []compose.Endpoint, host *container.HostConfig) {
	for _, e := range endpoints {
		created.need(d.networks[e.Name])
	}
	for _, v := range d.want.Volumes {
		if mountsVolume(host, v.Name) {
			created.need(d.volumes[v.Name])
		}
	}
}

// connectsAll tells whether the Engine attaches all networks at creation; older ones take one there, and connects.
func (d *differ) connectsAll() bool { return !versions.LessThan(d.have.API, "1.44") }

// runningOf finds a container of a service that this plan leaves out.
func (d *differ) runningOf(service string) *Container {
	for _, c := range d.have.Containers {
		if c.Service == service && !c.OneOff {
			return c
		}
	}
	return nil
}

// connect attaches a replica to a network. want are all its settings, of a container that is there already.
func (d *differ) connect(p *servicePlan, r *replica, e compose.Endpoint, why string, want Settings, needs ...*node) *node {
	settings := endpointSettings(e, d.want.ContainerName(p.spec, r.number))
	return d.add(connectNetwork{subject{r.ref, p.spec.Name}, e.Name, settings, want}, why, append(needs, d.networks[e.Name])...)
}

// attached tells whether a container is on the Engine's network of that name, and not on one that is gone. The id is
// empty as long as a container was never started.
func (d *differ) attached(c *Container, name string) bool {
	if c.Summary.NetworkSettings == nil {
		return false
	}
	endpoint := c.Summary.NetworkSettings.Networks[name]
	if endpoint == nil {
		return false
	}
	if endpoint.NetworkID == "" {
		return true
	}
	for _, n := range d.have.network(name) {
		if n.ID == endpoint.NetworkID {
			return true
		}
	}
	return false
}

// start adds the start of a replica, with its hooks. Once something was stopped for it, it is urgent: it is begun even when
// the walk is interrupted.
func (d *differ) start(p *servicePlan, r *replica, why string, open gates, stops []*node, needs ...*node) {
	ports := p.spec.Host.PortBindings
	needs = slices.Concat(needs, stops, open.needs)
	inits := d.planInits(p, r, len(stops) > 0, open, needs)
	r.started = d.add(startContainer{
		subject: subject{r.ref, p.spec.Name},
		alone:   usesPortRange(ports),
	}, why, append(needs, inits...)...)
	r.started.urgent = len(stops) > 0
	after([]*node{r.started}, open.after)
	d.starts = append(d.starts, portUse{service: p.spec.Name, node: r.started, ports: boundPorts(ports)})
	d.planPostStart(p, r)
}

// stopOthers stops what stands in a replica's place, if it runs.
func (d *differ) stopOthers(r *replica, needs ...*node) []*node {
	var stops []*node
	for _, c := range r.others {
		if stop := d.stop(c, "replaced", needs...); stop != nil {
			stops = append(stops, stop)
		}
	}
	return stops
}

// settle removes what stood in a replica's place, once passed is done, and gives the replica its proper name.
func (d *differ) settle(p *servicePlan, r *replica, passed []*node) {
	var removed []*node
	for _, c := range r.others {
		removal := d.remove(c, d.stops[c.ID], "replaced", passed...)
		change(removal, func(a removeContainer) removeContainer {
			a.volumes = true
			return a
		})
		removed = append(removed, removal)
	}
	name := d.want.ContainerName(p.spec, r.number)
	if r.ref.name == name {
		return
	}
	if len(removed) == 0 {
		removed = append(removed, r.started)
	}
	why := "takes the old one's place"
	if len(r.others) == 0 && !strings.HasPrefix(r.ref.name, name+".") {
		why = "was renamed"
	}
	d.add(renameContainer{subject{r.ref, p.spec.Name}, name}, why, append(removed, d.nameFreed(name))...)
}

// stop adds the stop of an observed container, once; nil if it does not run. All pulls come first: nothing that runs is
// touched before every image is there.
func (d *differ) stop(c *Container, why string, needs ...*node) *node {
	if stop := d.stops[c.ID]; stop != nil {
		return stop
	}
	if !c.Running() {
		return nil
	}
	needs = append(needs, d.pulled()...)
	stop := d.add(stopContainer{
		subject: subject{c.ref(), c.Service},
		timeout: d.opts.StopTimeout,
		unpause: c.Phase == container.StatePaused,
		stays:   d.opts.Down != nil && d.opts.Down.StopOnly,
	}, why, append(needs, d.planPreStop(c, needs)...)...)
	d.stops[c.ID] = stop
	d.frees = append(d.frees, portUse{service: c.Service, node: stop, ports: publishedPorts(c)})
	return stop
}

// remove adds the removal of an observed container.
func (d *differ) remove(c *Container, stop *node, why string, needs ...*node) *node {
	removal := d.add(removeContainer{subject: subject{c.ref(), c.Service}}, why, append(needs, stop)...)
	d.removals[c.ID] = removal
	return removal
}

// nameFreed is the removal of the container that has a name; nil if nobody has it.
func (d *differ) nameFreed(name string) *node {
	for _, c := range d.have.Containers {
		if c.Name != name {
			continue
		}
		if d.removals[c.ID] == nil {
			d.fail("the name %q is taken by a container of service %q: remove that one first", name, c.Service)
		}
		return d.removals[c.ID]
	}
	return nil
}

// planRestart restarts the containers that options name, those whose namespace has gone, and a service that asks for it when
// one that it depends on was replaced: by this plan, or by an update that was cut short before the restart.
func (d *differ) planRestart(p *servicePlan) {
	for _, r := range p.replicas {
		if r.started != nil || r.keep == nil || r.keep.Phase != container.StateRunning {
			continue
		}
		if why := d.whyRestart(p.spec, r.keep); why != "" {
			d.restart(p, r, why, d.gatesOf(p.spec))
		}
	}
}

// whyRestart tells why a running container is restarted; "" if it isn't.
func (d *differ) whyRestart(s *compose.Service, c *Container) string {
	if why := d.opts.restart[c.ID]; why != "" {
		return why
	}
	for _, name := range s.Parents() {
		if parent := d.services[name]; parent != nil && sharesNamespace(s, name) && parent.beganAnew(c) {
			return fmt.Sprintf("service %s, whose namespace it shares, began anew", name)
		}
	}
	for _, need := range s.Needs {
		dependency := d.services[need.Service]
		switch {
		case !need.Restart || dependency == nil:
		case dependency.renewed() || dependency.outran(c):
			return fmt.Sprintf("service %s was replaced", need.Service)
		case d.stoppedHere(dependency):
			return fmt.Sprintf("service %s is restarted", need.Service)
		}
	}
	return ""
}

// restart stops and starts a replica, with its hooks.
func (d *differ) restart(p *servicePlan, r *replica, why string, open gates) {
	ran := d.planPreStop(r.keep, open.needs)
	r.started = d.add(restartContainer{subject{r.ref, p.spec.Name}, d.opts.StopTimeout}, why, append(ran, open.needs...)...)
	after([]*node{r.started}, open.after)
	d.planPostStart(p, r)
}

// canOverlap tells whether the old and the new container can run at the same time.
func (d *differ) canOverlap(s *compose.Service, r *replica) bool {
	reason := ""
	switch {
	case s.ContainerName != "":
		reason = "container_name is fixed"
	case len(boundPorts(s.Host.PortBindings)) > 0:
		reason = "it publishes a fixed host port"
	case slices.ContainsFunc(s.Endpoints, func(e compose.Endpoint) bool { return e.Settings.IPAMConfig != nil || e.Settings.MacAddress != "" }):
		reason = "it has a fixed address"
	}
	if reason != "" && len(r.others) > 0 {
		d.warn("service %s can't be started first, since %s: the old container is stopped first", s.Name, reason)
	}
	return reason == ""
}

// usesVolume tells whether a service, or a container of its pre_start, mounts a volume of the Engine's name.
func usesVolume(s *compose.Service, name string) bool {
	return mountsVolume(&s.Host, name) ||
		slices.ContainsFunc(s.PreStart, func(init compose.Init) bool { return mountsVolume(&init.Host, name) })
}

func mountsVolume(host *container.HostConfig, name string) bool {
	return slices.ContainsFunc(host.Mounts, func(m mount.Mount) bool { return m.Type == mount.TypeVolume && m.Source == name }) ||
		slices.ContainsFunc(host.Binds, func(bind string) bool { return bindSource(bind) == name })
}
