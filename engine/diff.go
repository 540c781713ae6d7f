package engine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"

	"galley/compose"
)

// DiffOptions narrow or widen a plan. The zero value is a plain `up`.
type DiffOptions struct {
	// Services limits the plan to these and what they need; empty means all.
	Services []string
	// NoDeps leaves out what Services need.
	NoDeps bool
	// RemoveOrphans removes containers and networks of the project that the recipe does not define.
	RemoveOrphans bool
	// IgnoreOrphans leaves out the warnings of what RemoveOrphans would remove.
	IgnoreOrphans bool
	// ForceRecreate replaces containers that are as wanted, of Services, and RecreateDeps those of what Services need;
	// NoRecreate keeps those that are not as wanted.
	ForceRecreate, RecreateDeps, NoRecreate bool
	// RenewAnonymous gives a container that takes another's place anonymous volumes of its own: the data in the other's is lost.
	RenewAnonymous bool
	// NoStart creates without starting.
	NoStart bool
	// Wait adds a gate for every service: running, and healthy where it has a healthcheck, or completed with 0.
	Wait bool
	// WaitTimeout bounds the gates that Wait adds, from the beginning of the walk; 0 is for ever.
	WaitTimeout time.Duration
	// StopTimeout overrides the containers' own grace period, in seconds; nil keeps it.
	StopTimeout *int
	// Pull overrides the services' pull policies; "" keeps them.
	Pull compose.PullPolicy
	// Scale overrides the number of replicas by service.
	Scale map[string]int
	// RecreateVolumes are volumes, by key or name, that are made anew if their definition changed: their data is lost. The
	// state must know of outsiders.
	RecreateVolumes []string
	// OwnRestarts: containers are started again by the caller, as the recipe's restart policies say, and not by the Engine,
	// whose own policy is to be "no" on all of them. It changes in place, without a stop.
	OwnRestarts bool
	// Pins, if set, are the images that references stand for, whatever they stand for now: an earlier state comes back with
	// the images that it had.
	Pins map[string]Pin
	// NoRollback leaves a service whose update failed as it is, for a look. It concerns Converge alone.
	NoRollback bool
	// refused are containers that the Engine would not change in place, or not start, by id, with the reason: they are replaced.
	refused map[string]string
	// restore, if set, is what services are put back to: that counts as wanted, whatever the recipe says.
	restore *restoration
	// keep are containers that count as wanted too, since an earlier update of theirs was put back.
	keep map[string]map[string]bool
	// leave are containers that ended and are not started, by id, with the reason.
	leave map[string]string
	// restart are containers that run and are to be restarted, by id, with the reason.
	restart map[string]string
	// notPulled are images that could not be had just now.
	notPulled []notPulled
	// noRefresh pulls only what is missing. It concerns Converge alone.
	noRefresh bool
	// OneOff, if set, limits the plan to what a one-off container needs, and to its creation; Services is not looked at.
	OneOff *OneOff
	// Down, if set, takes the project away, whatever is wanted: from labels alone, so it needs no readable recipe.
	Down *Down
}

// replicas is how many of a service there shall be.
func (o DiffOptions) replicas(s *compose.Service) int {
	if n, ok := o.Scale[s.Name]; ok {
		return n
	}
	return s.Replicas
}

// Down says how much of a project is taken away.
type Down struct {
	// StopOnly leaves containers and networks in place, stopped.
	StopOnly bool
	// Volumes removes the project's named and anonymous volumes too.
	Volumes bool
	// Images is "", "local" (those without a tag of their own) or "all" that the project's containers use.
	Images string
}

// Diff compares what is wanted with what is there and returns the plan that closes the gap. It is pure. The error joins
// all that makes the plan impossible, as an external network that is missing or a volume whose definition changed.
func Diff(want *compose.Project, have *State, opts DiffOptions) (*Plan, error) {
	d := newDiffer(want, have, opts)
	if opts.Down != nil {
		d.down()
	} else {
		d.up()
	}
	if err := errors.Join(d.errs...); err != nil {
		return nil, err
	}
	return &Plan{Project: want.Name, Steps: d.steps(), Warnings: d.warnings, old: d.old, before: d.before}, nil
}

// differ makes one plan. A missing or nil node means "there already".
type differ struct {
	graph
	want *compose.Project
	have *State
	opts DiffOptions

	services map[string]*servicePlan
	// users are the services whose networks and volumes are looked after.
	users []*compose.Service
	// networks are the nodes that make a network, by the Engine's name; for one in remade, that make it anew.
	networks map[string]*node
	remade   map[string]bool
	// before are the networks that are made anew, as they are.
	before  []network.Summary
	volumes map[string]*node // by the Engine's name
	images  map[madeFor]*node
	// stops and removals are the nodes that stop and remove an observed container, by id.
	stops, removals map[string]*node
	// absent are the pinned images that must be pulled: no container runs from them.
	absent map[string]bool
	// leaves are the nodes that detach a container from a network, by the Engine's name.
	leaves map[string][]*node
	// starts are the nodes that start a container, with the host ports that it takes.
	starts []portUse
	frees  []portUse
	// old are the containers that are replaced, by service.
	old map[string][]*Container

	// files are the configs and secrets that are there.
	files *Files

	warnings []string
	errs     []error
}

func newDiffer(want *compose.Project, have *State, opts DiffOptions) *differ {
	if opts.OwnRestarts {
		want = withoutRestarts(want)
	}
	want = withEndpointSysctls(want, have.API)
	files := have.Files
	if files == nil {
		files = &Files{Why: "there is no directory for them"}
	}
	d := &differ{
		files:    files,
		want:     want,
		have:     have,
		opts:     opts,
		services: map[string]*servicePlan{},
		networks: map[string]*node{},
		remade:   map[string]bool{},
		volumes:  map[string]*node{},
		images:   map[madeFor]*node{},
		stops:    map[string]*node{},
		removals: map[string]*node{},
		leaves:   map[string][]*node{},
		absent:   map[string]bool{},
		old:      map[string][]*Container{},
	}
	if opts.Pins != nil {
		d.want = d.pinned(want)
	}
	return d
}

// withoutRestarts is a project that leaves no restart to the Engine.
func withoutRestarts(p *compose.Project) *compose.Project {
	other := *p
	other.Services = slices.Clone(p.Services)
	for i, s := range other.Services {
		service := *s
		service.Host.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyDisabled}
		other.Services[i] = &service
	}
	return &other
}

func (d *differ) fail(format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf(format, args...))
}

func (d *differ) warn(format string, args ...any) {
	d.warnings = append(d.warnings, fmt.Sprintf(format, args...))
}

// up plans everything that the wanted project needs. What shall become of each container is decided first, since images,
// networks and dependents hang on it; then the steps are laid down, orphans first: they may hold a port or a name.
func (d *differ) up() {
	chosen := d.chosen()
	using := d.using(chosen)
	d.users = using
	d.requireAPI(using)
	d.checkRecreated()
	d.requireFiles(using)
	for _, s := range chosen {
		d.services[s.Name] = d.decide(s)
	}
	for _, s := range chosen {
		d.planImage(d.services[s.Name])
	}
	d.refuseShared()
	d.warnUnheeded(using)
	d.planOrphans()
	d.planNetworks(using)
	d.planVolumes(using)
	for _, s := range chosen {
		d.planService(d.services[s.Name])
	}
	d.planBystanders()
	for _, s := range chosen {
		if p := d.services[s.Name]; len(d.children(p)) > 0 {
			d.settleService(p)
		}
	}
	for _, s := range chosen {
		d.dropVolumes(d.services[s.Name])
	}
	d.dropFiles()
	d.planOrphanNetworks()
	d.orderByPorts()
	d.orderByAddresses()
	if d.opts.Wait {
		d.planWait(chosen)
	}
	d.planOneOff()
}

// chosen are the services to plan, each after what it needs.
func (d *differ) chosen() []*compose.Service {
	names := d.opts.Services
	if d.opts.OneOff != nil {
		names = d.opts.OneOff.dependencies(d.opts.NoDeps)
	} else if len(names) == 0 {
		for _, s := range d.want.Services {
			names = append(names, s.Name)
		}
	}
	var order []*compose.Service
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		s := d.want.Service(name)
		if seen[name] || s == nil {
			return
		}
		seen[name] = true
		for _, need := range s.Needs {
			if !d.opts.NoDeps || slices.Contains(names, need.Service) {
				visit(need.Service)
			}
		}
		order = append(order, s)
	}
	for _, name := range names {
		if d.want.Service(name) == nil {
			d.fail("no such service: %q", name)
		}
		visit(name)
	}
	return order
}

// requireAPI refuses what the connected Engine is too old for, or too new, before anything is touched.
func (d *differ) requireAPI(services []*compose.Service) {
	for _, s := range services {
		for _, r := range s.Requires {
			if versions.LessThan(d.have.API, r.API) {
				d.errs = append(d.errs, &TooOldError{Attribute: r.Attribute, Place: r.Place, Need: r.API, Have: d.have.API})
			}
		}
		for _, r := range s.Refusals {
			if !versions.LessThan(d.have.API, r.API) {
				d.errs = append(d.errs, &TooNewError{Attribute: r.Attribute, Place: r.Place, Since: r.API, Have: d.have.API, Why: r.Why, Hint: r.Hint})
			}
		}
	}
}
