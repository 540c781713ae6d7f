package engine_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"galley/compose"
	"galley/engine"
)

// upgrade is a change from one recipe to another, to be cut short or to be disturbed.
type upgrade struct {
	// from are brought up before, one after the other; none: the project is new.
	from []func(*suite) *compose.Project
	to   func(*suite) *compose.Project
	// then is brought up after it; nil: the same again. An update that fails by itself needs it.
	then func(*suite) *compose.Project
	down *engine.Down
	// recreate are the volumes that are made anew: their users may be gone for a while.
	recreate []string
	// kills are the calls after which it is killed on a real Engine; none: each.
	kills []int
}

func (u upgrade) options() engine.DiffOptions {
	return engine.DiffOptions{RemoveOrphans: true, Down: u.down, RecreateVolumes: u.recreate}
}

// killed are the numbers of calls after which it is killed.
func (u upgrade) killed() iter.Seq[int] {
	if u.kills != nil {
		return slices.Values(u.kills)
	}
	return func(yield func(int) bool) {
		for n := 1; yield(n); n++ {
		}
	}
}

func (u upgrade) last() func(*suite) *compose.Project {
	if u.then != nil {
		return u.then
	}
	return u.to
}

// same are the services that run before and after the update: one container of each must be there all the time.
func (u upgrade) same(s *suite) []string {
	var names []string
	if len(u.from) == 0 || u.recreate != nil {
		return nil
	}
	before := u.from[len(u.from)-1](s)
	for _, svc := range u.to(s).Services {
		if old := before.Service(svc.Name); old != nil && old.Replicas > 0 && svc.Replicas > 0 && svc.Config.Cmd[0] == "sleep" {
			names = append(names, svc.Name)
		}
	}
	return names
}

type recipes = []func(*suite) *compose.Project

// upgrades are those that crashes and faults are tried on. They are small: each is run once for each of its Engine calls.
func upgrades() map[string]upgrade {
	return map[string]upgrade{
		"a chain with gates comes up":               {to: chainOf("1")},
		"a chain with gates changes":                {from: recipes{chainOf("1")}, to: chainOf("2")},
		"a short chain with gates changes":          {from: recipes{shortChainOf("1")}, to: shortChainOf("2")},
		"a service with dependents is replaced":     {from: recipes{familyOf("1")}, to: familyOf("2")},
		"scaled down with an orphan":                {from: recipes{crowdOf(3, "1", true)}, to: crowdOf(1, "2", false)},
		"scaled up and changed":                     {from: recipes{crowdOf(1, "1", false)}, to: crowdOf(3, "2", false)},
		"a network is redefined":                    {from: recipes{networked(false)}, to: networked(true)},
		"anonymous volumes are carried over":        {from: recipes{anonymousOf("1"), anonymousOf("2")}, to: anonymousOf("3")},
		"an anonymous volume is given up":           {from: recipes{anonymousOf("1")}, to: withoutAnonymous},
		"an anonymous volume is no longer declared": {from: recipes{anonymousOf("1"), anonymousOf("2")}, to: undeclared},
		"a volume carried over before is given up":  {from: recipes{anonymousOf("1"), anonymousOf("2")}, to: withoutAnonymous},
		"the new one is started first":              {from: recipes{updatedBy("1", compose.Update{StartFirst: true})}, to: updatedBy("2", compose.Update{StartFirst: true})},
		"limits and networks change in place":       {from: recipes{limitedTo(64, "front")}, to: limitedTo(128, "front", "back")},
		"what changed in place changes back":        {from: recipes{limitedTo(64, "front"), limitedTo(128, "front", "back")}, to: limitedTo(64, "front")},
		"a volume is made anew":                     {from: recipes{storing("1")}, to: storing("2"), recreate: []string{"data"}},
		"one replica at a time":                     {from: recipes{updatedBy("1", compose.Update{Parallelism: 1})}, to: updatedBy("2", compose.Update{Parallelism: 1})},
		"hooks run around a replacement":            {from: recipes{hooked("1")}, to: hooked("2"), kills: []int{3, 6, 9}}, // pre_stop ran, pre_start runs, post_start is about to
		"an update that fails is put back":          {from: recipes{anonymousOf("1")}, to: failing, then: mended},
		"down with volumes":                         {from: recipes{chainOf("1")}, to: nothing, down: &engine.Down{Volumes: true}},
	}
}

func chainOf(level string) func(*suite) *compose.Project {
	return func(s *suite) *compose.Project {
		p := s.recipe(
			svc("db", env("LEVEL="+level), ready("true"), joins("default"), binds(s.project+"_data:/data")),
			svc("migrate", runs("true"), env("LEVEL="+level), joins("default"), waits("db", compose.Healthy)),
			svc("web", env("LEVEL="+level), joins("default"), waits("migrate", compose.Completed)),
		)
		return s.withVolume(p, "data")
	}
}

func shortChainOf(level string) func(*suite) *compose.Project {
	return func(s *suite) *compose.Project {
		return s.recipe(svc("db", env("LEVEL="+level), ready("true")), svc("web", env("LEVEL="+level), waits("db", compose.Healthy)))
	}
}

// familyOf is a service with a child in its namespace, and one that restarts with it.
func familyOf(level string) func(*suite) *compose.Project {
	return func(s *suite) *compose.Project {
		return s.recipe(
			svc("app", env("LEVEL="+level), joins("default")),
			svc("side", waits("app", compose.Started), func(s *compose.Service) { s.Host.NetworkMode = "service:app" }),
			svc("follower", joins("default"), waits("app", compose.Started), func(s *compose.Service) { s.Needs[0].Restart = true }),
		)
	}
}

func crowdOf(replicas int, level string, orphan bool) func(*suite) *compose.Project {
	return func(s *suite) *compose.Project {
		services := []*compose.Service{svc("web", env("LEVEL="+level), joins("default"), func(s *compose.Service) { s.Replicas = replicas })}
		if orphan {
			services = append(services, svc("old", joins("attic"), waits("web", compose.Started)))
		}
		return s.recipe(services...)
	}
}

// networked has two users of a network; one of them is on a second network that stays.
func networked(redefined bool) func(*suite) *compose.Project {
	return func(s *suite) *compose.Project {
		alias := func(s *compose.Service) { s.Endpoints[0].Settings.Aliases = []string{"shopfront"} }
		p := s.recipe(svc("web", joins("front", "back"), alias), svc("proxy", joins("front"), waits("web", compose.Started)))
		if redefined {
			*p.Networks[slices.IndexFunc(p.Networks, func(n *compose.Network) bool { return n.Key == "front" })] = *s.network("front", s.subnet)
		}
		return p
	}
}

// limitedTo has what changes in place: limits, networks, and aliases that go with the limit.
func limitedTo(megabytes int64, networks ...string) func(*suite) *compose.Project {
	return func(s *suite) *compose.Project {
		return s.recipe(
			svc("web", joins(networks...), limited(megabytes<<20, megabytes, 0, ""), func(s *compose.Service) {
				s.Endpoints[0].Settings.Aliases = []string{fmt.Sprintf("shop%d", megabytes)}
			}),
			svc("proxy", joins("front", "back"), waits("web", compose.Started)))
	}
}

// storing has a volume whose definition goes by the level, and two users of it.
func storing(level string) func(*suite) *compose.Project {
	return func(s *suite) *compose.Project {
		p := s.withVolume(s.recipe(
			svc("db", binds(s.project+"_data:/data")),
			svc("backup", binds(s.project+"_data:/data"), waits("db", compose.Started)),
			svc("web", waits("db", compose.Started))), "data")
		p.Volumes[0].Hash += level
		p.Volumes[0].Create.Labels[compose.LabelHash] = p.Volumes[0].Hash
		return p
	}
}

func anonymousOf(level string) func(*suite) *compose.Project {
	return func(s *suite) *compose.Project {
		return s.recipe(svc("db", env("LEVEL="+level), func(s *compose.Service) { s.Config.Volumes = map[string]struct{}{"/data": {}} }))
	}
}

func withoutAnonymous(s *suite) *compose.Project {
	return s.recipe(svc("db", func(s *compose.Service) { s.Host.Tmpfs = map[string]string{"/data": ""} }))
}

// undeclared is [anonymousOf] without the declaration.
func undeclared(s *suite) *compose.Project { return s.recipe(svc("db")) }

// failing replaces the service of [anonymousOf] by one that gets unhealthy, with a further anonymous volume; mended does well.
func failing(s *suite) *compose.Project { return probedBy(s, "false") }
func mended(s *suite) *compose.Project  { return probedBy(s, "true") }

func probedBy(s *suite, test string) *compose.Project {
	return s.recipe(svc("db", ready(test), func(s *compose.Service) { s.Config.Volumes = map[string]struct{}{"/data": {}, "/more": {}} }))
}

func updatedBy(level string, how compose.Update) func(*suite) *compose.Project {
	return func(s *suite) *compose.Project {
		return s.recipe(svc("web", env("LEVEL="+level), joins("default"), func(s *compose.Service) { s.Replicas, s.Update = 2, how }))
	}
}

func hooked(level string) func(*suite) *compose.Project {
	return func(s *suite) *compose.Project {
		return s.recipe(svc("web", env("LEVEL="+level), func(svc *compose.Service) {
			svc.PreStart = []compose.Init{{Config: container.Config{Image: "busybox:latest", Cmd: []string{"true"}}}}
			svc.PostStart = []compose.Hook{hook("true")}
			svc.PreStop = []compose.Hook{hook("true")}
		}))
	}
}

func nothing(s *suite) *compose.Project { return &compose.Project{Name: s.project} }

// ready is a healthcheck whose timeout does not depend on how fast the Engine's time runs.
func ready(test string) func(*compose.Service) {
	return func(s *compose.Service) {
		checked(test)(s)
		s.Config.Healthcheck.Timeout = time.Hour
	}
}

func binds(entries ...string) func(*compose.Service) {
	return func(s *compose.Service) { s.Host.Binds = entries }
}

// withVolume adds a named volume to a recipe.
func (s *suite) withVolume(p *compose.Project, key string) *compose.Project {
	v := &compose.Volume{Key: key, Name: s.project + "_" + key, Hash: "1:" + key}
	v.Create.Labels = map[string]string{compose.LabelProject: s.project, compose.LabelVolume: key, compose.LabelHash: v.Hash}
	p.Volumes = append(p.Volumes, v)
	return p
}

// converge reads and converges, as one run of `up` does.
func (s *suite) converge(ctx context.Context, p *compose.Project, opts engine.DiffOptions) error {
	have, err := s.engine.State(ctx, p.Name)
	if err != nil {
		return err
	}
	_, err = s.engine.Converge(ctx, p, have, opts)
	return err
}

// prepare brings up what the update starts from.
func (u upgrade) prepare(t *testing.T, s *suite) {
	t.Helper()
	for _, from := range u.from {
		if err := s.converge(t.Context(), from(s), engine.DiffOptions{RemoveOrphans: true}); err != nil {
			t.Fatalf("preparing the update: %v", err)
		}
	}
}

// finish brings the update, cut short or not, to its end, and returns what the project has then.
func (u upgrade) finish(t *testing.T, s *suite) string {
	t.Helper()
	want := u.last()(s)
	if err := s.converge(t.Context(), want, u.options()); err != nil {
		t.Errorf("the next converge failed: %v", err)
	}
	plan, err := engine.Diff(want, s.state(t), u.options())
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Empty() {
		t.Errorf("the second plan is not empty:\n%s", plan)
	}
	return s.inventory(t)
}

// unexpected is the error of an update that nothing disturbed, less that of one that fails by itself and is put back.
func (u upgrade) unexpected(err error) error {
	if back := (*engine.RolledBackError)(nil); u.then != nil && errors.As(err, &back) && back.Restore == nil {
		return nil
	}
	return err
}

// ending is what the project has after the update when nothing disturbs it.
func (u upgrade) ending(t *testing.T, s *suite) string {
	t.Helper()
	u.prepare(t, s)
	if err := u.unexpected(s.converge(t.Context(), u.to(s), u.options())); err != nil {
		t.Fatalf("the undisturbed update: %v", err)
	}
	return u.finish(t, s)
}

// inventory lists what the project has, in lines, without what differs from one time to the next: ids, addresses, the
// names that the Engine makes up.
func (s *suite) inventory(t *testing.T) string {
	t.Helper()
	var lines []string
	count := map[string]int{}
	began := map[string]time.Time{} // the latest creation, by service
	var restarting []*engine.Container
	for _, c := range s.state(t).Containers {
		if proper := fmt.Sprintf("%s-%s-%d", s.project, c.Service, c.Number); c.Name != proper {
			t.Errorf("container %s should be named %s", c.Name, proper)
		}
		info, err := s.docker.ContainerInspect(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		c.Started = instant(t, info.State.StartedAt)
		if created := instant(t, info.Created); created.After(began[c.Service]) {
			began[c.Service] = created
		}
		if slices.ContainsFunc(c.Needs, func(n compose.Need) bool { return n.Restart }) {
			restarting = append(restarting, c)
		}
		// Which numbers new replicas get depends on those that are there.
		count[c.Service]++
		lines = append(lines, fmt.Sprintf("container of %s, no. %d: %s %s %q %q networks %q mounts %q memory %d of %d, restarts %q", c.Service, count[c.Service],
			c.Phase, c.Hash, info.Config.Cmd, info.Config.Env, s.endpoints(info), mountsOf(info),
			info.HostConfig.Memory, info.HostConfig.MemorySwap, info.HostConfig.RestartPolicy.Name))
	}
	for _, c := range restarting {
		for _, n := range c.Needs {
			if n.Restart && c.Started.Before(began[n.Service]) {
				t.Errorf("container %s was not restarted after service %s was replaced", c.Name, n.Service)
			}
		}
	}
	mine := filters.NewArgs(filters.Arg("label", compose.LabelProject+"="+s.project))
	networks, err := s.docker.NetworkList(t.Context(), network.ListOptions{Filters: mine})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range networks {
		lines = append(lines, fmt.Sprintf("network %s %s", strings.TrimPrefix(n.Name, s.project), n.Labels[compose.LabelHash]))
	}
	volumes, err := s.docker.VolumeList(t.Context(), volume.ListOptions{Filters: mine})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range volumes.Volumes {
		lines = append(lines, fmt.Sprintf("volume %s %s", strings.TrimPrefix(v.Name, s.project), v.Labels[compose.LabelHash]))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func instant(t *testing.T, stamp string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		t.Error(err)
	}
	return at
}

// endpoints are a container's networks with the aliases that the recipe gives.
func (s *suite) endpoints(info container.InspectResponse) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(info.NetworkSettings.Networks)) {
		var aliases []string
		for _, alias := range info.NetworkSettings.Networks[name].Aliases {
			if alias == strings.TrimPrefix(info.Name, "/") {
				alias = "its name"
			}
			if alias != info.ID[:12] { // the Engine adds the short id
				aliases = append(aliases, alias)
			}
		}
		slices.Sort(aliases)
		found = append(found, fmt.Sprint(strings.TrimPrefix(name, s.project), slices.Compact(aliases)))
	}
	return found
}

var madeUp = regexp.MustCompile(`^[0-9a-f]{64}$`)

func mountsOf(info container.InspectResponse) []string {
	var found []string
	for _, m := range info.Mounts {
		name := "anonymous"
		if !madeUp.MatchString(m.Name) {
			name = "named"
		}
		found = append(found, m.Destination+" "+name)
	}
	slices.Sort(found)
	return found
}

// anonymousVolumes are the names of the Engine's anonymous volumes; dangling are those that nobody mounts.
func (s *suite) anonymousVolumes(ctx context.Context, t *testing.T, dangling bool) []string {
	t.Helper()
	list, err := s.docker.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs(filters.Arg("dangling", fmt.Sprint(dangling)))})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range list.Volumes {
		if madeUp.MatchString(v.Name) {
			names = append(names, v.Name)
		}
	}
	return names
}

// quick are options for an Engine whose time runs fast.
func quick(host string) engine.Options {
	return engine.Options{Host: host, Version: "test", SteadyFor: time.Millisecond}
}

// lasting is a memory that outlives the process of which it is said that it dies.
type lasting struct {
	mu    sync.Mutex
	known map[string]engine.Known
}

func (k *lasting) Load(string) map[string]engine.Known {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.known
}

func (k *lasting) Save(_ string, known map[string]engine.Known) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known = known
	return nil
}
