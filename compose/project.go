package compose

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
)

// Project is a recipe made ready for the Engine: what shall be there, and in which order.
type Project struct {
	// Name is the project's name, the value of [LabelProject] on all that belongs to it.
	Name string
	// WorkingDir is the absolute directory that relative paths of the recipe start from.
	WorkingDir string
	// Files are the recipe's files, absolute, in the order of their merge; "-" is standard input.
	Files []string
	// Separator joins container names: "-", or "_" as docker-compose 1 did.
	Separator string
	// Services are the active services, sorted by name.
	Services []*Service
	// Inactive names the services that no active profile asks for, sorted. They are known, hence no orphans.
	Inactive []string
	// Networks and Volumes are those that active services use, sorted by key.
	Networks []*Network
	Volumes  []*Volume
}

// Service returns the active service of that name, or nil.
func (p *Project) Service(name string) *Service {
	i, ok := slices.BinarySearchFunc(p.Services, name, func(s *Service, name string) int {
		return strings.Compare(s.Name, name)
	})
	if !ok {
		return nil
	}
	return p.Services[i]
}

// NetworkNamed returns the network that has that name on the Engine, or nil.
func (p *Project) NetworkNamed(name string) *Network {
	if i := slices.IndexFunc(p.Networks, func(n *Network) bool { return n.Name == name }); i >= 0 {
		return p.Networks[i]
	}
	return nil
}

// Scaled is the project with other numbers of replicas, by service; itself where none is given.
func (p *Project) Scaled(replicas map[string]int) *Project {
	if len(replicas) == 0 {
		return p
	}
	other := *p
	other.Services = slices.Clone(p.Services)
	for i, s := range other.Services {
		if n, ok := replicas[s.Name]; ok {
			service := *s
			service.Replicas = n
			other.Services[i] = &service
		}
	}
	return &other
}

// Knows tells whether the recipe defines a service of that name, active or not.
func (p *Project) Knows(service string) bool {
	_, inactive := slices.BinarySearch(p.Inactive, service)
	return inactive || p.Service(service) != nil
}

// ContainerName returns the name of replica number of a service.
func (p *Project) ContainerName(s *Service, number int) string {
	if s.ContainerName != "" {
		return s.ContainerName
	}
	return strings.Join([]string{p.Name, s.Name, strconv.Itoa(number)}, p.Separator)
}

// Service is one service: the payload of its containers, its order and its gates.
//
// A reference to another service's container (network_mode, ipc, pid, uts, cgroup, volumes_from) stands in Host
// as "service:NAME" and becomes a container's id when the container is created; [Service.Parents] lists them.
type Service struct {
	Name string
	// Replicas is how many containers shall run; 0 is legal.
	Replicas int
	// ContainerName is the fixed name of the only replica, or "".
	ContainerName string
	// Platform is os/arch[/variant] as written, or "" for the Engine's own.
	Platform string
	Pull     Pull
	// Config and Host are the container's create payload, less identity labels, which the engine adds per replica.
	Config container.Config
	Host   container.HostConfig
	// ClearCommand: the recipe clears the image's CMD (`command: []`) and sets no entrypoint. The Engine has no
	// such call; creating with the image's own ENTRYPOINT written out has that effect.
	ClearCommand bool
	// NoAttach: an attached up leaves out what this service prints (attach: false).
	NoAttach bool
	// Endpoints are the attachments to networks, highest priority first. Empty with a NetworkMode that is no network.
	Endpoints []Endpoint
	// Needs are the services to be gated on before a container of this one starts, sorted by service.
	Needs []Need
	// Update is what deploy.update_config says of replacing this service's containers, Rollback what
	// deploy.rollback_config says of putting them back.
	Update, Rollback Update
	// PreStart are run to completion before a container starts, PostStart in it afterwards, PreStop in it before it is
	// stopped (compose-spec, services: pre_start, post_start, pre_stop).
	PreStart           []Init
	PostStart, PreStop []Hook
	// Files are the configs and secrets, sorted by target.
	Files []File
	// OnSecretChange is the signal that tells a container of a changed content, which is then rewritten in place; "" has
	// the container replaced (x-galley: on_secret_change).
	OnSecretChange string
	// NoEarlyProbes leaves it to the Engine alone to find out that a container became healthy (x-galley: early_probes).
	NoEarlyProbes bool
	// RestartUnhealthy has a supervisor restart a container that became unhealthy (x-galley: on_unhealthy).
	RestartUnhealthy bool
	// Schedule are the times at which a supervisor runs this service, as [ParseSchedule] reads them; "" for one that is there
	// all the time. With it Replicas is 0 (x-galley: schedule).
	Schedule string `json:",omitempty"`
	// Fields are the digests of all that makes a container of this service what it is, by recipe attribute
	// ("image", "environment.LOG_LEVEL"); a plan's reasons come from comparing them. Values are never in it.
	Fields map[string]string
	// Hash is the versioned digest over Fields: a container whose [LabelHash] differs is replaced.
	Hash string
	// Requires are the attributes in use that need more than the oldest supported Engine API.
	Requires []Requirement
	// Refusals are those that newer Engines refuse.
	Refusals []Refusal
}

// Parents returns the services whose containers this service's containers share a namespace or volumes with, sorted.
func (s *Service) Parents() []string {
	refs := append([]string{
		string(s.Host.NetworkMode), string(s.Host.IpcMode), string(s.Host.PidMode), string(s.Host.UTSMode), string(s.Host.Cgroup),
	}, slices.Concat(s.Host.VolumesFrom, s.Host.Links)...)
	var parents []string
	for _, ref := range refs {
		if name, ok := strings.CutPrefix(ref, ServicePrefix); ok {
			name, _, _ = strings.Cut(name, ":") // volumes_from: service:NAME:ro, links: service:NAME:ALIAS
			parents = append(parents, name)
		}
	}
	slices.Sort(parents)
	return slices.Compact(parents)
}

// APISocket stands in [Service.Host] for the socket of the Engine in use, as the source of a bind mount (use_api_socket).
const APISocket = "api-socket:"

// ServicePrefix marks a reference to another service's container in [Service.Host].
const ServicePrefix = "service:"

// Pull says when a service's image is pulled.
type Pull struct {
	Policy PullPolicy
	// Explicit: the recipe says missing; where it says nothing, a pull that is asked for by hand pulls all the same.
	Explicit bool `json:",omitempty"`
	// MaxAge is, with PullRefresh, how old the last pull may be.
	MaxAge time.Duration
}

// PullPolicy is one of the values of pull_policy (compose-spec, services: pull_policy).
type PullPolicy string

// The pull policies. "daily", "weekly" and "every_N" are PullRefresh with an age; "if_not_present" is PullMissing; "build",
// for an image that is made elsewhere, is PullNever.
const (
	PullMissing PullPolicy = "missing"
	PullAlways  PullPolicy = "always"
	PullNever   PullPolicy = "never"
	PullRefresh PullPolicy = "refresh"
)

// Endpoint is a service's attachment to one network.
type Endpoint struct {
	// Network is the key of the network in the recipe, Name its name on the Engine.
	Network, Name string
	// Settings hold what the recipe says (aliases, addresses, driver options); the engine adds the container's name.
	Settings network.EndpointSettings
}

// Need is one entry of depends_on, explicit or implied by links, namespaces and volumes_from.
type Need struct {
	Service   string
	Condition Condition
	// Restart: this service restarts when the needed one is replaced.
	Restart bool
	// Required: without it a missing or failed dependency is only warned about.
	Required bool
}

// Condition is when a needed service counts as there (compose-spec, services: depends_on).
type Condition string

// The three conditions.
const (
	Started   Condition = "service_started"
	Healthy   Condition = "service_healthy"
	Completed Condition = "service_completed_successfully"
)

// Update is how a service's containers are replaced (compose-spec, deploy: update_config). The zero value replaces all
// replicas at once, the old ones stopped first, and puts the service back when one fails.
type Update struct {
	// StartFirst: the new container starts before the old one stops.
	StartFirst bool
	// Parallelism is how many replicas are replaced at once; 0 means all. A section that doesn't say it means 1.
	Parallelism int
	// Delay is the pause between one group of replicas and the next.
	Delay time.Duration
	// Monitor is how long a new container must stay up before its replacement counts as done; 0 leaves it to the engine.
	Monitor time.Duration
	// OnFailure says what becomes of the service when a replacement fails; "" means FailureRollback.
	OnFailure FailureAction
}

// FailureAction is a value of deploy.update_config.failure_action.
type FailureAction string

// The failure actions: put the service back, leave it as it is, go on with the further replicas.
const (
	FailureRollback FailureAction = "rollback"
	FailurePause    FailureAction = "pause"
	FailureContinue FailureAction = "continue"
)

// Hook is a command that is run in a service's container at a moment of its life.
type Hook struct {
	Command    []string `json:"command"`
	User       string   `json:"user,omitempty"`
	WorkingDir string   `json:"working_dir,omitempty"`
	Env        []string `json:"environment,omitempty"`
	Privileged bool     `json:"privileged,omitempty"`
}

// Init is a container that runs to completion before a service's container starts, with that one's volumes.
type Init struct {
	// Config, Host, Platform and Endpoints are its payload, as those of a [Service].
	Config    container.Config
	Host      container.HostConfig
	Platform  string
	Endpoints []Endpoint
	// Files are the configs and secrets that it doesn't get from the service's container.
	Files []File
	// PerReplica runs it before each replica, not once for the service.
	PerReplica bool
}

// Network is a network of the project, or an external one that must exist.
type Network struct {
	Key, Name string
	External  bool
	Create    network.CreateOptions
	// Hash is the versioned digest of Create; "" for an external one.
	Hash string
}

// Volume is a named volume of the project, or an external one that must exist.
type Volume struct {
	Key, Name string
	External  bool
	Create    volume.CreateOptions
	// Hash is the versioned digest of Create; "" for an external one.
	Hash string
}

// Requirement is an attribute in use that needs an Engine API newer than 1.41.
type Requirement struct {
	// Attribute is the recipe's attribute path, as "services.web.annotations".
	Attribute string
	// API is the least Engine API version, as "1.43".
	API string
	// Place is where the attribute stands, as file:line:column; "" if it is not known.
	Place string
}

// Refusal is an attribute in use that Engines from some API on refuse.
type Refusal struct {
	// Attribute is the recipe's attribute path, as "services.web.sysctls.net.ipv4.conf.eth1.log_martians".
	Attribute string
	// API is the first Engine API version that refuses it, as "1.46".
	API string
	// Why says in words what is refused, Hint what to write instead.
	Why, Hint string
	// Place is where the attribute stands, as file:line:column; "" if it is not known.
	Place string
}
