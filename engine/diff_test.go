package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/go-connections/nat"
	"github.com/google/go-cmp/cmp"

	"galley/compose"
)

// The helpers below write small projects and states down by what matters in a test.

func service(name string, change ...func(*compose.Service)) *compose.Service {
	s := &compose.Service{
		Name:     name,
		Replicas: 1,
		Config:   container.Config{Image: "app:1"},
		Hash:     "1:" + name + "-spec",
		Fields:   map[string]string{"image": "a"},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func needs(others ...string) func(*compose.Service) {
	return func(s *compose.Service) {
		for _, other := range others {
			name, condition, ok := strings.Cut(other, ":")
			if !ok {
				condition = string(compose.Started)
			}
			s.Needs = append(s.Needs, compose.Need{Service: name, Condition: compose.Condition(condition), Required: true})
		}
	}
}

func on(networks ...string) func(*compose.Service) {
	return func(s *compose.Service) {
		for _, name := range networks {
			s.Endpoints = append(s.Endpoints, compose.Endpoint{Network: name, Name: "shop_" + name})
		}
	}
}

func publishes(port string) func(*compose.Service) {
	return func(s *compose.Service) {
		s.Host.PortBindings = nat.PortMap{"80/tcp": {{HostPort: port}}}
	}
}

func shop(services ...*compose.Service) *compose.Project {
	return &compose.Project{Name: "shop", Separator: "-", Services: services}
}

func observed(containers ...*Container) *State {
	return &State{Project: "shop", API: "1.41", Containers: containers, Images: []image.Summary{{ID: "sha256:app1", RepoTags: []string{"app:1"}}}}
}

func ran(service string, change ...func(*Container)) *Container {
	c := &Container{
		ID:      service + "-id",
		Name:    "shop-" + service + "-1",
		Service: service,
		Number:  1,
		Phase:   container.StateRunning,
		ImageID: "sha256:app1",
		Hash:    "1:" + service + "-spec",
		Summary: container.Summary{Image: "app:1", Labels: map[string]string{}},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func outdatedSpec(c *Container) {
	c.Hash = "1:earlier"
	c.Summary.Labels[compose.LabelFields] = `{"image":"a","environment.LEVEL":"x"}`
}

func exited(code int) func(*Container) {
	return func(c *Container) { c.Phase, c.ExitCode = container.StateExited, code }
}

func named(id, name string) func(*Container) {
	return func(c *Container) { c.ID, c.Name = id, name }
}

func numbered(n int, id string) func(*Container) {
	return func(c *Container) {
		c.Number, c.ID, c.Name = n, id, strings.TrimSuffix(c.Name, "1")+string(rune('0'+n))
	}
}

func attached(name, id string) func(*Container) {
	return func(c *Container) {
		if c.Summary.NetworkSettings == nil {
			c.Summary.NetworkSettings = &container.NetworkSettingsSummary{Networks: map[string]*network.EndpointSettings{}}
		}
		c.Summary.NetworkSettings.Networks[name] = &network.EndpointSettings{NetworkID: id}
	}
}

func shopNetwork(key, hash string) network.Summary {
	return network.Summary{Name: "shop_" + key, ID: key + "-id", Labels: map[string]string{
		compose.LabelProject: "shop", compose.LabelNetwork: key, compose.LabelHash: hash,
	}}
}

func TestDiff(t *testing.T) {
	anonymousVolume := strings.Repeat("ab", 32)
	tests := map[string]struct {
		want *compose.Project
		have *State
		opts DiffOptions
		plan string
	}{
		"creates what is missing, dependencies first, and gates on their conditions": {
			want: func() *compose.Project {
				p := shop(service("db", on("default")), service("migrate", needs("db:service_healthy")), service("web", needs("migrate:service_completed_successfully")))
				p.Networks = []*compose.Network{{Key: "default", Name: "shop_default"}}
				return p
			}(),
			have: observed(),
			plan: `
0 create network shop_default (missing)
1 create container shop-db-1 (missing) needs 0
2 start container shop-db-1 (missing) needs 1
3 create container shop-migrate-1 (missing)
4 await container shop-db-1 (service migrate waits for it) needs 2
5 start container shop-migrate-1 (missing) needs 3 4
6 create container shop-web-1 (missing)
7 await container shop-migrate-1 (service web waits for it) needs 5
8 start container shop-web-1 (missing) needs 6 7
`},
		"is empty when everything is as wanted": {
			want: shop(service("db"), service("web", needs("db"))),
			have: observed(ran("db"), ran("web")),
		},
		"replaces by creating, stopping, starting, awaiting, removing, renaming": {
			want: shop(service("web")),
			have: observed(ran("web", outdatedSpec)),
			plan: `
0 create container shop-web-1.web-spec (environment.LEVEL changed)
1 stop container shop-web-1 (replaced) needs 0
2 start container shop-web-1.web-spec (environment.LEVEL changed) needs 0 1
3 await container shop-web-1.web-spec (before the old one goes) needs 2
4 remove container shop-web-1 (replaced) needs 1 3
5 rename container shop-web-1.web-spec (takes the old one's place) needs 4
`},
		"starts first where the recipe says so": {
			want: shop(service("web", func(s *compose.Service) { s.Update.StartFirst = true })),
			have: observed(ran("web", outdatedSpec)),
			plan: `
0 create container shop-web-1.web-spec (environment.LEVEL changed)
1 start container shop-web-1.web-spec (environment.LEVEL changed) needs 0
2 await container shop-web-1.web-spec (before the old one goes) needs 1
3 stop container shop-web-1 (replaced) needs 2
4 remove container shop-web-1 (replaced) needs 2 3
5 rename container shop-web-1.web-spec (takes the old one's place) needs 4
`},
		"does not start first with a fixed host port": {
			want: shop(service("web", publishes("80"), func(s *compose.Service) { s.Update.StartFirst = true })),
			have: observed(ran("web", outdatedSpec)),
			plan: `
warning: service web can't be started first, since it publishes a fixed host port: the old container is stopped first
0 create container shop-web-1.web-spec (environment.LEVEL changed)
1 stop container shop-web-1 (replaced) needs 0
2 start container shop-web-1.web-spec (environment.LEVEL changed) needs 0 1
3 await container shop-web-1.web-spec (before the old one goes) needs 2
4 remove container shop-web-1 (replaced) needs 1 3
5 rename container shop-web-1.web-spec (takes the old one's place) needs 4
`},
		"goes on where a crash left a started replacement beside the stopped old one": {
			want: shop(service("web")),
			have: observed(ran("web", outdatedSpec, exited(0)), ran("web", named("new-id", "shop-web-1.web-spec"))),
			plan: `
0 await container shop-web-1.web-spec (before the old one goes)
1 remove container shop-web-1 (replaced) needs 0
2 rename container shop-web-1.web-spec (takes the old one's place) needs 1
`},
		"goes on where a crash left a replacement that was not started": {
			want: shop(service("web")),
			have: observed(ran("web", outdatedSpec), ran("web", named("new-id", "shop-web-1.web-spec"), func(c *Container) { c.Phase = container.StateCreated })),
			plan: `
0 stop container shop-web-1 (replaced)
1 start container shop-web-1.web-spec (not started) needs 0
2 await container shop-web-1.web-spec (before the old one goes) needs 1
3 remove container shop-web-1 (replaced) needs 0 2
4 rename container shop-web-1.web-spec (takes the old one's place) needs 3
`},
		"only renames where a crash came before that": {
			want: shop(service("web")),
			have: observed(ran("web", named("new-id", "shop-web-1.web-spec"))),
			plan: `
0 rename container shop-web-1.web-spec (takes the old one's place)
`},
		"starts what has exited, but no completed one-shot": {
			want: shop(service("job"), service("web", needs("job:service_completed_successfully"))),
			have: observed(ran("job", exited(0)), ran("web", exited(137))),
			plan: `
0 start container shop-web-1 (exited with code 137)
`},
		"runs a one-shot again that failed": {
			want: shop(service("job"), service("web", needs("job:service_completed_successfully"))),
			have: observed(ran("job", exited(1)), ran("web", exited(137))),
			plan: `
0 start container shop-job-1 (exited with code 1)
1 await container shop-job-1 (service web waits for it) needs 0
2 start container shop-web-1 (exited with code 137) needs 1
`},
		"scales up behind the highest number": {
			want: shop(service("web", func(s *compose.Service) { s.Replicas = 3 })),
			have: observed(ran("web"), ran("web", numbered(3, "three"))),
			plan: `
0 create container shop-web-4 (missing)
1 start container shop-web-4 (missing) needs 0
`},
		"scales down the outdated first, then the highest": {
			want: shop(service("web")),
			have: observed(ran("web", outdatedSpec), ran("web", numbered(2, "two")), ran("web", numbered(3, "three"))),
			plan: `
0 stop container shop-web-1 (too many replicas)
1 remove container shop-web-1 (too many replicas) needs 0
2 stop container shop-web-3 (too many replicas)
3 remove container shop-web-3 (too many replicas) needs 2
`},
		"warns about orphans": {
			want: shop(service("web")),
			have: observed(ran("old"), ran("web")),
			plan: `
warning: container shop-old-1 is an orphan: the recipe has no service "old"; --remove-orphans removes it
`},
		"removes orphans when asked, and leaves what a profile switches off": {
			want: func() *compose.Project { p := shop(service("web")); p.Inactive = []string{"debug"}; return p }(),
			have: observed(ran("debug"), ran("old"), ran("web")),
			opts: DiffOptions{RemoveOrphans: true},
			plan: `
0 stop container shop-old-1 (orphan)
1 remove container shop-old-1 (orphan) needs 0
`},
		"attaches the further networks one by one on an old engine": {
			want: shop(service("web", on("front", "back"))),
			have: observed(),
			plan: `
0 create container shop-web-1 (missing)
1 connect container shop-web-1 (this engine attaches one network at creation) needs 0
2 start container shop-web-1 (missing) needs 0 1
`},
		"makes a changed network anew and attaches its users again": {
			want: func() *compose.Project {
				p := shop(service("web", on("front")))
				p.Networks = []*compose.Network{{Key: "front", Name: "shop_front", Hash: "1:new"}}
				return p
			}(),
			have: func() *State {
				s := observed(ran("web", attached("shop_front", "front-id")))
				s.Networks = []network.Summary{shopNetwork("front", "1:old")}
				return s
			}(),
			plan: `
0 stop container shop-web-1 (network definition changed)
1 disconnect container shop-web-1 (network definition changed) needs 0
2 remove network shop_front (network definition changed) needs 1
3 create network shop_front (network definition changed) needs 2
4 connect container shop-web-1 (the network was made anew) needs 3
5 start container shop-web-1 (its network was made anew) needs 0 4
`},
		"attaches a container again that somebody disconnected": {
			want: func() *compose.Project {
				p := shop(service("web", on("front")))
				p.Networks = []*compose.Network{{Key: "front", Name: "shop_front", Hash: "1:new"}}
				return p
			}(),
			have: func() *State {
				s := observed(ran("web"))
				s.Networks = []network.Summary{shopNetwork("front", "1:new")}
				return s
			}(),
			plan: `
0 connect container shop-web-1 (not attached)
`},
		"replaces the child of a namespace whose parent is replaced": {
			want: shop(service("app"), service("side", needs("app"), func(s *compose.Service) { s.Host.NetworkMode = "service:app" })),
			have: observed(ran("app", outdatedSpec), ran("side", func(c *Container) { c.Summary.Labels[labelParents] = "app=app-id" })),
			plan: `
0 create container shop-app-1.app-spec (environment.LEVEL changed)
1 stop container shop-app-1 (replaced) needs 0
2 start container shop-app-1.app-spec (environment.LEVEL changed) needs 0 1
3 await container shop-app-1.app-spec (before the old one goes) needs 2
4 create container shop-side-1.side-spe (service app, which it shares with, is replaced) needs 0
5 stop container shop-side-1 (replaced) needs 2 4
6 start container shop-side-1.side-spe (service app, which it shares with, is replaced) needs 2 4 5
7 await container shop-side-1.side-spe (before the old one goes) needs 6
8 remove container shop-side-1 (replaced) needs 5 7
9 rename container shop-side-1.side-spe (takes the old one's place) needs 8
10 remove container shop-app-1 (replaced) needs 1 3 7
11 rename container shop-app-1.app-spec (takes the old one's place) needs 10
`},
		"restarts a dependent that asks for it": {
			want: shop(service("db"), service("web", needs("db"), func(s *compose.Service) { s.Needs[0].Restart = true })),
			have: observed(ran("db", outdatedSpec), ran("web")),
			plan: `
0 create container shop-db-1.db-spec (environment.LEVEL changed)
1 stop container shop-db-1 (replaced) needs 0
2 start container shop-db-1.db-spec (environment.LEVEL changed) needs 0 1
3 await container shop-db-1.db-spec (before the old one goes) needs 2
4 remove container shop-db-1 (replaced) needs 1 3
5 rename container shop-db-1.db-spec (takes the old one's place) needs 4
6 restart container shop-web-1 (service db was replaced) needs 2
`},
		"lets a start wait for the stop that frees its port, even if two swap": {
			want: shop(service("a", publishes("81")), service("b", publishes("80"), needs("a:service_healthy"))),
			have: observed(
				ran("a", outdatedSpec, func(c *Container) { c.Summary.Ports = []container.Port{{PublicPort: 80, Type: "tcp"}} }),
				ran("b", outdatedSpec, func(c *Container) { c.Summary.Ports = []container.Port{{PublicPort: 81, Type: "tcp"}} })),
			plan: `
0 create container shop-a-1.a-spec (environment.LEVEL changed)
1 stop container shop-a-1 (replaced) needs 0
2 create container shop-b-1.b-spec (environment.LEVEL changed)
3 stop container shop-b-1 (replaced) needs 2
4 start container shop-a-1.a-spec (environment.LEVEL changed) needs 0 1 3
5 await container shop-a-1.a-spec (before the old one goes) needs 4
6 remove container shop-a-1 (replaced) needs 1 5
7 rename container shop-a-1.a-spec (takes the old one's place) needs 6
8 start container shop-b-1.b-spec (environment.LEVEL changed) needs 1 2 3 5
9 await container shop-b-1.b-spec (before the old one goes) needs 8
10 remove container shop-b-1 (replaced) needs 3 9
11 rename container shop-b-1.b-spec (takes the old one's place) needs 10
`},
		"carries anonymous volumes over and drops those that nobody uses": {
			want: shop(service("db", func(s *compose.Service) {
				s.Host.Mounts = []mount.Mount{{Type: mount.TypeBind, Source: "/srv", Target: "/other"}}
			})),
			have: observed(ran("db", outdatedSpec, func(c *Container) {
				c.Summary.Mounts = []container.MountPoint{
					{Type: mount.TypeVolume, Name: anonymousVolume, Destination: "/data"},
					{Type: mount.TypeVolume, Name: strings.Repeat("cd", 32), Destination: "/other"},
				}
			})),
			plan: `
0 create container shop-db-1.db-spec (environment.LEVEL changed)
1 stop container shop-db-1 (replaced) needs 0
2 start container shop-db-1.db-spec (environment.LEVEL changed) needs 0 1
3 await container shop-db-1.db-spec (before the old one goes) needs 2
4 remove container shop-db-1 (replaced) needs 1 3
5 rename container shop-db-1.db-spec (takes the old one's place) needs 4
6 remove volume ` + strings.Repeat("cd", 32) + ` (anonymous, used by nobody any more) needs 4
`},
		"pulls every missing image before anything that runs is stopped": {
			want: shop(service("db"), service("web", func(s *compose.Service) { s.Config.Image = "app:2" })),
			have: observed(ran("db", outdatedSpec)),
			plan: `
0 pull image app:2 (missing)
1 create container shop-db-1.db-spec (environment.LEVEL changed)
2 stop container shop-db-1 (replaced) needs 0 1
3 start container shop-db-1.db-spec (environment.LEVEL changed) needs 1 2
4 await container shop-db-1.db-spec (before the old one goes) needs 3
5 remove container shop-db-1 (replaced) needs 2 4
6 rename container shop-db-1.db-spec (takes the old one's place) needs 5
7 create container shop-web-1 (missing) needs 0
8 start container shop-web-1 (missing) needs 7
`},
		"waits for everything with --wait, but not for what is up": {
			want: shop(service("db"), service("web")),
			have: observed(ran("db", func(c *Container) { c.Health = container.Healthy })),
			opts: DiffOptions{Wait: true},
			plan: `
0 create container shop-web-1 (missing)
1 start container shop-web-1 (missing) needs 0
2 await container shop-web-1 (--wait) needs 1
`},
		"plans only the services asked for and what they need": {
			want: shop(service("db"), service("other"), service("web", needs("db"))),
			have: observed(),
			opts: DiffOptions{Services: []string{"web"}},
			plan: `
0 create container shop-db-1 (missing)
1 start container shop-db-1 (missing) needs 0
2 create container shop-web-1 (missing)
3 start container shop-web-1 (missing) needs 1 2
`},
		"an optional dependency only has to have ended": {
			want: shop(service("db"), service("web", needs("db:service_healthy"), func(s *compose.Service) { s.Needs[0].Required = false })),
			have: observed(),
			plan: `
0 create container shop-db-1 (missing)
1 start container shop-db-1 (missing) needs 0
2 create container shop-web-1 (missing)
3 await container shop-db-1 (service web waits for it) needs 1
4 start container shop-web-1 (missing) needs 2 after 3
`},
		"takes the project away by its labels, dependents first": {
			want: &compose.Project{Name: "shop"},
			have: func() *State {
				s := observed(ran("db", attached("shop_default", "default-id")), ran("web", func(c *Container) { c.Needs = []compose.Need{{Service: "db"}} }))
				s.Networks = []network.Summary{shopNetwork("default", "1:x"), {Name: "bridge"}}
				s.Volumes = []*volume.Volume{{Name: "shop_data", Labels: map[string]string{compose.LabelProject: "shop"}}}
				return s
			}(),
			opts: DiffOptions{Down: &Down{}},
			plan: `
0 stop container shop-web-1 (not wanted)
1 remove container shop-web-1 (not wanted) needs 0
2 stop container shop-db-1 (not wanted) needs 0
3 remove container shop-db-1 (not wanted) needs 2
4 remove network shop_default (not wanted) needs 3
`},
		"takes volumes and images along only when asked": {
			want: &compose.Project{Name: "shop"},
			have: func() *State {
				s := observed(ran("db", exited(0)))
				s.Volumes = []*volume.Volume{{Name: "shop_data", Labels: map[string]string{compose.LabelProject: "shop"}}, {Name: "other"}}
				return s
			}(),
			opts: DiffOptions{Down: &Down{Volumes: true, Images: "all"}},
			plan: `
0 remove container shop-db-1 (not wanted)
1 remove volume shop_data (--volumes) needs 0
2 remove image app:1 (--rmi all) needs 0
`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan, err := Diff(test.want, test.have, test.opts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(test.plan, "\n"), plan.String()); diff != "" {
				t.Errorf("plan differs (-want +got):\n%s", diff)
			}
			inOrder(t, plan)
		})
	}
}

// inOrder fails when a step waits for a later one.
func inOrder(t testing.TB, plan *Plan) {
	t.Helper()
	for i, step := range plan.Steps {
		for _, before := range append(step.Needs, step.After...) {
			if before >= i {
				t.Errorf("step %d waits for step %d", i, before)
			}
		}
	}
}

func TestDiffRefusesWhatCanNotBeDone(t *testing.T) {
	withVolume := func(v compose.Volume) *compose.Project {
		p := shop(service("db", func(s *compose.Service) { s.Host.Binds = []string{v.Name + ":/data"} }))
		p.Volumes = []*compose.Volume{&v}
		return p
	}
	tests := map[string]struct {
		want *compose.Project
		have *State
		opts DiffOptions
		err  string
	}{
		"an external volume that is missing": {
			want: withVolume(compose.Volume{Name: "data", External: true}),
			have: observed(),
			err:  "volume \"data\" is external and does not exist: create it with `docker volume create data`",
		},
		"a volume whose definition changed": {
			want: withVolume(compose.Volume{Name: "shop_data", Hash: "1:new"}),
			have: func() *State {
				s := observed()
				s.Volumes = []*volume.Volume{{Name: "shop_data", Labels: map[string]string{compose.LabelProject: "shop", compose.LabelHash: "1:old"}}}
				return s
			}(),
			err: "the definition of volume \"shop_data\" changed, and a volume with data in it is not made anew: put the definition back, " +
				"give the volume another name, or save its data and run `docker volume rm shop_data`",
		},
		"an external network that is missing": {
			want: func() *compose.Project {
				p := shop(service("web", on("front")))
				p.Networks = []*compose.Network{{Key: "front", Name: "shop_front", External: true}}
				return p
			}(),
			have: observed(),
			err:  "network \"shop_front\" is external and does not exist: create it with `docker network create shop_front`",
		},
		"an attribute that the engine is too old for": {
			want: shop(service("web", func(s *compose.Service) {
				s.Requires = []compose.Requirement{{Attribute: "services.web.annotations", API: "1.43"}}
			})),
			have: observed(),
			err:  "services.web.annotations needs engine API 1.43, this engine has 1.41",
		},
		"a service that is not there": {
			want: shop(service("web")),
			have: observed(),
			opts: DiffOptions{Services: []string{"wbe"}},
			err:  `no such service: "wbe"`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Diff(test.want, test.have, test.opts)
			if err == nil || err.Error() != test.err {
				t.Errorf("got error %v, want %s", err, test.err)
			}
		})
	}
}

func TestDiffRefusesAnImageThatMustNotBePulled(t *testing.T) {
	want := shop(service("web", func(s *compose.Service) {
		s.Config.Image, s.Pull.Policy = "app:2", compose.PullNever
	}))
	_, err := Diff(want, observed(), DiffOptions{})
	var missing *ImageError
	if !errors.As(err, &missing) || missing.Ref != "app:2" {
		t.Errorf("got error %v, want an ImageError for app:2", err)
	}
}
