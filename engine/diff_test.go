package engine

import (
	"testing"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
)

// TestDiff holds what becomes of services and their containers.
func TestDiff(t *testing.T) {
	testDiff(t, map[string]diffTest{
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
		"puts back by rollback_config: the old one starts first, one at a time, whatever becomes of the others": {
			want: shop(service("web", func(s *compose.Service) {
				s.Replicas = 2
				s.Rollback = compose.Update{StartFirst: true, Parallelism: 1, OnFailure: compose.FailureContinue}
			})),
			have: observed(ran("web", numbered(1, "old-1"), outdatedSpec, exited(137)), ran("web", numbered(2, "old-2"), outdatedSpec, exited(137)),
				ran("web", numbered(1, "new-1"), named("new-1", "shop-web-1.web-spec")), ran("web", numbered(2, "new-2"), named("new-2", "shop-web-2.web-spec"))),
			opts: putBack(map[string]map[string]bool{"web": {"old-1": true, "old-2": true}}, ran("web", numbered(1, "old-1")), ran("web", numbered(2, "old-2"))),
			plan: `
0 start container shop-web-1 (exited with code 137)
1 await container shop-web-1 (before the old one goes) needs 0
2 stop container shop-web-1.web-spec (replaced) needs 1
3 start container shop-web-2 (exited with code 137) after 1 2
4 await container shop-web-2 (before the old one goes) needs 3
5 stop container shop-web-2.web-spec (replaced) needs 4
6 remove container shop-web-1.web-spec (replaced) needs 1 2
7 remove container shop-web-2.web-spec (replaced) needs 4 5
`},
		"puts back what was there: a replica that has passed stays, one in addition goes, of those that were taken away as many come back as are wanted": {
			want: shop(service("web", func(s *compose.Service) { s.Replicas = 3 })),
			have: observed(ran("web", numbered(1, "new-1")), ran("web", numbered(2, "old-2"), outdatedSpec, exited(137)),
				ran("web", numbered(2, "new-2"), named("new-2", "shop-web-2.web-spec"), exited(3)), ran("web", numbered(5, "new-5"), exited(3))),
			opts: putBack(map[string]map[string]bool{"web": {"old-2": true}}, ran("web", numbered(1, "old-1")), ran("web", numbered(2, "old-2")),
				ran("web", numbered(3, "old-3")), ran("web", numbered(4, "old-4"))),
			plan: `
0 remove container shop-web-5 (its update failed)
1 start container shop-web-2 (exited with code 137)
2 await container shop-web-2 (before the old one goes) needs 1
3 create container shop-web-3 (missing)
4 start container shop-web-3 (missing) needs 3
5 remove container shop-web-2.web-spec (replaced) needs 2
`,
		},
		"puts back in order, but for no gate of the recipe that failed": {
			want: shop(service("db"), service("migrate"), service("web", needs("db:service_healthy", "migrate:service_completed_successfully"))),
			have: observed(ran("migrate", outdatedSpec), ran("db", outdatedSpec, exited(137)), ran("web", outdatedSpec, exited(137))),
			opts: putBack(map[string]map[string]bool{"migrate": {"migrate-id": true}, "db": {"db-id": true}, "web": {"web-id": true}},
				ran("migrate"), ran("db"), ran("web")),
			plan: `
0 start container shop-db-1 (exited with code 137)
1 await container shop-db-1 (service web waits for it) needs 0
2 start container shop-web-1 (exited with code 137) after 1
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
		"replaces what is on the volumes of a container that is replaced": {
			want: shop(service("app"), service("backup", needs("app"), func(s *compose.Service) { s.Host.VolumesFrom = []string{"service:app:ro"} })),
			have: observed(ran("app", outdatedSpec), ran("backup", exited(0), func(c *Container) { c.Summary.Labels[labelParents] = "app=app-id" })),
			plan: `
0 create container shop-app-1.app-spec (environment.LEVEL changed)
1 stop container shop-app-1 (replaced) needs 0
2 start container shop-app-1.app-spec (environment.LEVEL changed) needs 0 1
3 await container shop-app-1.app-spec (before the old one goes) needs 2
4 create container shop-backup-1.backup-s (service app, which it shares with, is replaced) needs 0
5 start container shop-backup-1.backup-s (service app, which it shares with, is replaced) needs 2 4
6 await container shop-backup-1.backup-s (before the old one goes) needs 5
7 remove container shop-backup-1 (replaced) needs 6
8 rename container shop-backup-1.backup-s (takes the old one's place) needs 7
9 remove container shop-app-1 (replaced) needs 1 3 6
10 rename container shop-app-1.app-spec (takes the old one's place) needs 9
`},
		"restarts what lives in the namespace of a container that is started, and not what is on its volumes": {
			want: shop(service("app"), service("backup", needs("app"), func(s *compose.Service) { s.Host.VolumesFrom = []string{"service:app"} }),
				service("side", needs("app"), func(s *compose.Service) { s.Host.NetworkMode = "service:app" })),
			have: observed(ran("app", exited(137)), ran("backup", func(c *Container) { c.Summary.Labels[labelParents] = "app=app-id" }),
				ran("side", func(c *Container) { c.Summary.Labels[labelParents] = "app=app-id" })),
			plan: `
0 start container shop-app-1 (exited with code 137)
1 restart container shop-side-1 (service app, whose namespace it shares, began anew) needs 0
`},
		"replaces what runs another image than its tag points to": {
			want: shop(service("web")),
			have: observed(ran("web", exited(0), func(c *Container) { c.ImageID = "sha256:app0" })),
			plan: `
0 create container shop-web-1.web-spec (image app:1 was updated)
1 start container shop-web-1.web-spec (image app:1 was updated) needs 0
2 await container shop-web-1.web-spec (before the old one goes) needs 1
3 remove container shop-web-1 (replaced) needs 2
4 rename container shop-web-1.web-spec (takes the old one's place) needs 3
`},
		"starts what was created, and leaves what is paused": {
			want: shop(service("db"), service("web")),
			have: observed(ran("db", func(c *Container) { c.Phase = container.StatePaused }), ran("web", func(c *Container) { c.Phase = container.StateCreated })),
			plan: `
warning: container shop-db-1 is paused and was left so
0 start container shop-web-1 (not started)
`},
		"replaces what is as wanted when forced": {
			want: shop(service("web")),
			have: observed(ran("web", exited(0))),
			opts: DiffOptions{ForceRecreate: true},
			plan: `
0 create container shop-web-1.web-spec (forced)
1 start container shop-web-1.web-spec (forced) needs 0
2 await container shop-web-1.web-spec (before the old one goes) needs 1
3 remove container shop-web-1 (replaced) needs 2
4 rename container shop-web-1.web-spec (takes the old one's place) needs 3
`},
		"replaces by force what is named, and not what that needs": {
			want: shop(service("db"), service("other"), service("web", needs("db:service_started"))),
			have: observed(ran("db"), ran("web"), ran("other")),
			opts: DiffOptions{Services: []string{"web"}, ForceRecreate: true},
			plan: `
0 create container shop-web-1.web-spec (forced)
1 stop container shop-web-1 (replaced) needs 0
2 start container shop-web-1.web-spec (forced) needs 0 1
3 await container shop-web-1.web-spec (before the old one goes) needs 2
4 remove container shop-web-1 (replaced) needs 1 3
5 rename container shop-web-1.web-spec (takes the old one's place) needs 4
`},
		"replaces what is needed when told so, and not what is named": {
			want: shop(service("db"), service("other"), service("web", needs("db:service_started"))),
			have: observed(ran("db"), ran("web"), ran("other")),
			opts: DiffOptions{Services: []string{"web"}, RecreateDeps: true},
			plan: `
0 create container shop-db-1.db-spec (forced)
1 stop container shop-db-1 (replaced) needs 0
2 start container shop-db-1.db-spec (forced) needs 0 1
3 await container shop-db-1.db-spec (before the old one goes) needs 2
4 remove container shop-db-1 (replaced) needs 1 3
5 rename container shop-db-1.db-spec (takes the old one's place) needs 4
`},
		"replaces nothing that is needed where all are named": {
			want: shop(service("db"), service("web", needs("db:service_started"))),
			have: observed(ran("db"), ran("web")),
			opts: DiffOptions{RecreateDeps: true},
		},
		"keeps what is not as wanted when told so": {
			want: shop(service("web")),
			have: observed(ran("web", outdatedSpec)),
			opts: DiffOptions{NoRecreate: true},
		},
		"takes no one-off for a replica or an orphan": {
			want: shop(service("web")),
			have: observed(ran("gone", func(c *Container) { c.OneOff = true }), ran("web", named("run-id", "shop-web-run-1"), outdatedSpec, func(c *Container) { c.OneOff = true })),
			opts: DiffOptions{RemoveOrphans: true},
			plan: `
0 create container shop-web-1 (missing)
1 start container shop-web-1 (missing) needs 0
`},
		"replaces a one-shot that completed when its definition changes": {
			want: shop(service("job"), service("web", needs("job:service_completed_successfully"))),
			have: observed(ran("job", exited(0), outdatedSpec), ran("web")),
			plan: `
0 create container shop-job-1.job-spec (environment.LEVEL changed)
1 start container shop-job-1.job-spec (environment.LEVEL changed) needs 0
2 await container shop-job-1.job-spec (before the old one goes) needs 1
3 remove container shop-job-1 (replaced) needs 2
4 rename container shop-job-1.job-spec (takes the old one's place) needs 3
`},
		"replaces what others created, and what is dead": {
			want: shop(service("a"), service("b")),
			have: observed(ran("a", exited(0), func(c *Container) { c.Hash = "" }), ran("b", func(c *Container) { c.Phase = container.StateDead })),
			plan: `
0 create container shop-a-1.a-spec (not created by galley)
1 start container shop-a-1.a-spec (not created by galley) needs 0
2 await container shop-a-1.a-spec (before the old one goes) needs 1
3 remove container shop-a-1 (replaced) needs 2
4 rename container shop-a-1.a-spec (takes the old one's place) needs 3
5 create container shop-b-1.b-spec (dead)
6 start container shop-b-1.b-spec (dead) needs 5
7 await container shop-b-1.b-spec (before the old one goes) needs 6
8 remove container shop-b-1 (replaced) needs 7
9 rename container shop-b-1.b-spec (takes the old one's place) needs 8
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
	})
}
