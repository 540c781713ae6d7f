package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"galley/compose"
)

// TestDiffOfResources holds what becomes of networks, volumes, images, and of what the recipe doesn't know.
func TestDiffOfResources(t *testing.T) {
	anonymousVolume := strings.Repeat("ab", 32)
	testDiff(t, map[string]diffTest{
		"makes a changed volume anew when asked, its users removed first, their anonymous volumes carried over": {
			want: func() *compose.Project {
				p := shop(service("db", func(s *compose.Service) { s.Host.Binds = []string{"shop_data:/data"} }), service("web", needs("db")))
				p.Volumes = []*compose.Volume{{Key: "data", Name: "shop_data", Hash: "1:new"}}
				return p
			}(),
			have: func() *State {
				s := observed(ran("db", func(c *Container) {
					c.Summary.Mounts = []container.MountPoint{
						{Type: mount.TypeVolume, Name: "shop_data", Destination: "/data"},
						{Type: mount.TypeVolume, Name: anonymousVolume, Destination: "/cache"},
					}
				}), ran("web"))
				s.Volumes = []*volume.Volume{{Name: "shop_data", Labels: map[string]string{compose.LabelProject: "shop", compose.LabelHash: "1:old"}}}
				s.Outsiders = map[string][]string{}
				return s
			}(),
			opts: DiffOptions{RecreateVolumes: []string{"data"}},
			plan: `
0 stop container shop-db-1 (volume shop_data is made anew)
1 remove container shop-db-1 (volume shop_data is made anew) needs 0
2 remove volume shop_data (VOLUME MADE ANEW, ITS DATA IS LOST) needs 1
3 create volume shop_data (VOLUME MADE ANEW, ITS DATA IS LOST) needs 2
4 create container shop-db-1.db-spec (volume shop_data is made anew; keeps the anonymous volume at /cache) needs 3
5 start container shop-db-1.db-spec (volume shop_data is made anew) needs 4
6 rename container shop-db-1.db-spec (takes the old one's place) needs 1 5
`},
		"makes a volume that is defined under two keys once": {
			want: func() *compose.Project {
				p := shop(service("db", func(s *compose.Service) { s.Host.Binds = []string{"shared:/data"} }))
				p.Volumes = []*compose.Volume{{Key: "a", Name: "shared", Hash: "1:same"}, {Key: "b", Name: "shared", Hash: "1:same"}}
				return p
			}(),
			have: observed(),
			plan: `
0 create volume shared (missing)
1 create container shop-db-1 (missing) needs 0
2 start container shop-db-1 (missing) needs 1
`},
		"going back leaves a volume as it is now": {
			want: func() *compose.Project {
				p := shop(service("db", func(s *compose.Service) { s.Host.Binds = []string{"shop_data:/data"} }))
				p.Volumes = []*compose.Volume{{Key: "data", Name: "shop_data", Hash: "1:then"}}
				return p
			}(),
			have: func() *State {
				s := observed(ran("db"))
				s.Volumes = []*volume.Volume{{Name: "shop_data", Labels: map[string]string{compose.LabelProject: "shop", compose.LabelHash: "1:now"}}}
				return s
			}(),
			opts: DiffOptions{Pins: map[string]Pin{}},
			plan: `
warning: the definition of volume shop_data changed since, and it stays as it is now
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
		"removes no network that what a profile switches off, or a one-off, is on": {
			want: func() *compose.Project { p := shop(service("web")); p.Inactive = []string{"debug"}; return p }(),
			have: func() *State {
				s := observed(ran("debug", attached("shop_debug", "debug-id")), ran("web"),
					ran("web", named("run-id", "shop-web-run-1"), attached("shop_run", "run-id"), func(c *Container) { c.OneOff = true }))
				s.Networks = []network.Summary{shopNetwork("debug", "1:x"), shopNetwork("run", "1:x"), shopNetwork("old", "1:x")}
				return s
			}(),
			opts: DiffOptions{RemoveOrphans: true},
			plan: `
0 remove network shop_old (orphan)
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
			want: redefinedNetwork(),
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
		"what a plan leaves out comes back to a network that is made anew": {
			want: func() *compose.Project {
				p := shop(service("db", on("front")), service("off", on("front")), service("web", on("front")))
				p.Networks = []*compose.Network{{Key: "front", Name: "shop_front", Hash: "1:new"}}
				return p
			}(),
			have: func() *State {
				s := observed(ran("db", attached("shop_front", "front-id")), ran("off", attached("shop_front", "front-id"), exited(0)), ran("web"))
				s.Networks = []network.Summary{shopNetwork("front", "1:old")}
				return s
			}(),
			opts: DiffOptions{Services: []string{"web"}},
			plan: `
0 stop container shop-db-1 (network definition changed)
1 disconnect container shop-db-1 (network definition changed) needs 0
2 disconnect container shop-off-1 (network definition changed)
3 remove network shop_front (network definition changed) needs 1 2
4 create network shop_front (network definition changed) needs 3
5 connect container shop-web-1 (the network was made anew) needs 4
6 connect container shop-db-1 (the network was made anew) needs 4
7 start container shop-db-1 (its network was made anew) needs 0 6
8 connect container shop-off-1 (the network was made anew) needs 4
`},
		"a network stays as it was when the update of what is on it was put back": {
			want: redefinedNetwork(),
			have: func() *State {
				s := observed(ran("web", attached("shop_front", "front-id")))
				s.Networks = []network.Summary{shopNetwork("front", "1:old")}
				return s
			}(),
			opts: DiffOptions{keep: map[string]map[string]bool{"web": {"web-id": true}}},
		},
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
0 create container shop-db-1.db-spec (environment.LEVEL changed; keeps the anonymous volume at /data)
1 stop container shop-db-1 (replaced) needs 0
2 start container shop-db-1.db-spec (environment.LEVEL changed) needs 0 1
3 await container shop-db-1.db-spec (before the old one goes) needs 2
4 remove container shop-db-1 (replaced) needs 1 3
5 rename container shop-db-1.db-spec (takes the old one's place) needs 4
6 remove volume ` + strings.Repeat("cd", 32) + ` (anonymous, the recipe has something else at /other now) needs 4
`},
		"makes anonymous volumes anew when asked, of containers that are replaced": {
			want: shop(service("db", func(s *compose.Service) { s.Config.Volumes = map[string]struct{}{"/data": {}} }), service("web")),
			have: observed(
				ran("db", outdatedSpec, func(c *Container) {
					c.Summary.Mounts = []container.MountPoint{{Type: mount.TypeVolume, Name: anonymousVolume, Destination: "/data"}}
				}),
				ran("web", func(c *Container) {
					c.Summary.Mounts = []container.MountPoint{{Type: mount.TypeVolume, Name: strings.Repeat("cd", 32), Destination: "/data"}}
				}),
			),
			opts: DiffOptions{RenewAnonymous: true},
			plan: `
0 create container shop-db-1.db-spec (environment.LEVEL changed)
1 stop container shop-db-1 (replaced) needs 0
2 start container shop-db-1.db-spec (environment.LEVEL changed) needs 0 1
3 await container shop-db-1.db-spec (before the old one goes) needs 2
4 remove container shop-db-1 (replaced) needs 1 3
5 rename container shop-db-1.db-spec (takes the old one's place) needs 4
6 remove volume ` + anonymousVolume + ` (anonymous, made anew at /data: ITS DATA IS LOST) needs 4
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
	})
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
			want: withVolume(compose.Volume{Key: "data", Name: "shop_data", Hash: "1:new"}),
			have: func() *State {
				s := observed()
				s.Volumes = []*volume.Volume{{Name: "shop_data", Labels: map[string]string{compose.LabelProject: "shop", compose.LabelHash: "1:old"}}}
				return s
			}(),
			err: "the definition of volume \"shop_data\" changed, and a volume with data in it is not made anew: put the definition back, " +
				"give the volume another name, or save its data and let it go with --recreate-volumes data",
		},
		"a volume made anew that a container of another project uses": {
			want: withVolume(compose.Volume{Key: "data", Name: "shop_data", Hash: "1:new"}),
			have: func() *State {
				s := observed()
				s.Volumes = []*volume.Volume{{Name: "shop_data", Labels: map[string]string{compose.LabelProject: "shop", compose.LabelHash: "1:old"}}}
				s.Outsiders = map[string][]string{"shop_data": {"backup"}}
				return s
			}(),
			opts: DiffOptions{RecreateVolumes: []string{"data"}},
			err:  `volume "shop_data" is made anew, but container backup of another project uses it: remove that one first`,
		},
		"a volume made anew that is external": {
			want: withVolume(compose.Volume{Key: "data", Name: "data", External: true}),
			have: func() *State {
				s := observed()
				s.Volumes = []*volume.Volume{{Name: "data"}}
				return s
			}(),
			opts: DiffOptions{RecreateVolumes: []string{"data"}},
			err:  `--recreate-volumes: volume "data" is external: its data is not this project's`,
		},
		"a volume made anew that isn't there": {
			want: withVolume(compose.Volume{Key: "data", Name: "shop_data"}),
			have: observed(),
			opts: DiffOptions{RecreateVolumes: []string{"date"}},
			err:  `--recreate-volumes: no such volume: "date"`,
		},
		"a network made anew that a running container is on which is not started again": {
			want: redefinedNetwork(),
			have: func() *State {
				s := observed(ran("web"), ran("old", attached("shop_front", "front-id")),
					ran("web", named("run-id", "shop-web-run-1"), attached("shop_front", "front-id"), func(c *Container) { c.OneOff = true }),
					ran("web", numbered(2, "ended"), attached("shop_front", "front-id"), exited(0)))
				s.Networks = []network.Summary{shopNetwork("front", "1:old")}
				return s
			}(),
			err: "network \"shop_front\" is made anew, but container shop-old-1 is on it, which this plan would not start again: remove that one first\n" +
				"network \"shop_front\" is made anew, but container shop-web-run-1 is on it, which this plan would not start again: remove that one first",
		},
		"a network made anew while nothing is to be started": {
			want: redefinedNetwork(),
			have: func() *State {
				s := observed(ran("web", attached("shop_front", "front-id")))
				s.Networks = []network.Summary{shopNetwork("front", "1:old")}
				return s
			}(),
			opts: DiffOptions{NoStart: true},
			err:  "network \"shop_front\" is made anew, but container shop-web-1 is on it, which this plan would not start again: remove that one first",
		},
		"a network made anew that a container of another project is on": {
			want: redefinedNetwork(),
			have: func() *State {
				s := observed()
				s.Networks = []network.Summary{shopNetwork("front", "1:old")}
				s.Guests = map[string][]string{"front-id": {"proxy"}}
				return s
			}(),
			err: "network \"shop_front\" is made anew, but container proxy of another project is on it: take it off first, with `docker network disconnect shop_front proxy`",
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

// redefinedNetwork is a shop whose network is not the one that is there.
func redefinedNetwork() *compose.Project {
	p := shop(service("web", on("front")))
	p.Networks = []*compose.Network{{Key: "front", Name: "shop_front", Hash: "1:new"}}
	return p
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

// TestDiffInPlace holds what changes on a container that is kept.
func TestDiffInPlace(t *testing.T) {
	had := func(s Settings) func(*Container) { return func(c *Container) { c.Settings = s } }
	front := Settings{"networks.shop_front": "aliases shop-web-1"}
	networks := func(keys ...string) []network.Summary {
		var all []network.Summary
		for _, key := range keys {
			all = append(all, shopNetwork(key, "1:"+key))
		}
		return all
	}
	address := func(a string) func(*compose.Service) {
		return func(s *compose.Service) {
			s.Endpoints[0].Settings.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: a}
		}
	}
	with := func(p *compose.Project, keys ...string) *compose.Project {
		for _, key := range keys {
			p.Networks = append(p.Networks, &compose.Network{Key: key, Name: "shop_" + key, Hash: "1:" + key})
		}
		return p
	}
	testDiff(t, map[string]diffTest{
		"an orphan network stays while another project's container is on it": {
			want: shop(service("web")),
			have: func() *State {
				s := observed(ran("web"))
				s.Networks = []network.Summary{shopNetwork("front", "1:front")}
				s.Guests = map[string][]string{"front-id": {"proxy"}}
				return s
			}(),
			opts: DiffOptions{RemoveOrphans: true},
			plan: `
warning: network shop_front is an orphan, but container proxy of another project is on it: it is left
`,
		},
		"an orphan network goes after its last user was detached": {
			want: with(shop(service("web", on("front"))), "front"),
			have: func() *State {
				s := observed(ran("web", attached("shop_front", "front-id"), attached("shop_back", "back-id"), had(front)))
				s.Networks = networks("front", "back")
				return s
			}(),
			opts: DiffOptions{RemoveOrphans: true},
			plan: `
0 disconnect container shop-web-1 (no longer on this network)
1 remove network shop_back (orphan) needs 0
`},
		"what somebody attached by hand to a network of his own stays": {
			want: with(shop(service("web", on("front"))), "front"),
			have: func() *State {
				s := observed(ran("web", attached("shop_front", "front-id"), attached("proxy", "proxy-id"), had(front)))
				s.Networks = append(networks("front"), network.Summary{Name: "proxy", ID: "proxy-id"})
				return s
			}(),
			opts: DiffOptions{RemoveOrphans: true},
		},
		"two that swap addresses both leave before either joins": {
			want: with(shop(service("a", on("front"), address("10.0.0.3")), service("b", on("front"), address("10.0.0.2"))), "front"),
			have: func() *State {
				s := observed(
					ran("a", attached("shop_front", "front-id"), had(Settings{"networks.shop_front": "aliases shop-a-1; ipv4_address 10.0.0.2"})),
					ran("b", attached("shop_front", "front-id"), had(Settings{"networks.shop_front": "aliases shop-b-1; ipv4_address 10.0.0.3"})))
				s.Networks = networks("front")
				return s
			}(),
			plan: `
0 disconnect container shop-a-1 (networks.front aliases shop-a-1; ipv4_address 10.0.0.2 → aliases shop-a-1; ipv4_address 10.0.0.3)
1 disconnect container shop-b-1 (networks.front aliases shop-b-1; ipv4_address 10.0.0.3 → aliases shop-b-1; ipv4_address 10.0.0.2)
2 connect container shop-a-1 (networks.front aliases shop-a-1; ipv4_address 10.0.0.2 → aliases shop-a-1; ipv4_address 10.0.0.3) needs 0 1
3 connect container shop-b-1 (networks.front aliases shop-b-1; ipv4_address 10.0.0.3 → aliases shop-b-1; ipv4_address 10.0.0.2) needs 0 1
`},
		"what changes in place is told beside what doesn't": {
			want: shop(service("web", func(s *compose.Service) { s.Host.Memory = 1 << 30 })),
			have: observed(ran("web", outdatedSpec, exited(0), had(Settings{"restart": "always"}))),
			plan: `
0 create container shop-web-1.web-spec (environment.LEVEL changed, mem_limit none → 1g, restart always → none)
1 start container shop-web-1.web-spec (environment.LEVEL changed, mem_limit none → 1g, restart always → none) needs 0
2 await container shop-web-1.web-spec (before the old one goes) needs 1
3 remove container shop-web-1 (replaced) needs 2
4 rename container shop-web-1.web-spec (takes the old one's place) needs 3
`},
	})
}
