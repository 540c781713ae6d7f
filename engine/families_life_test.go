package engine_test

import (
	"strings"
	"testing"
	"time"

	"galley/engine"
)

// lifeFamilies are about how containers come, tell that they are ready, and go.
func lifeFamilies() map[string]family {
	return map[string]family{
		"life": {
			recipe: lifeRecipe,
			inside: map[string]map[string]string{
				"db-1":  {"test -e /tmp/ready && echo ready": "ready"},
				"web-1": {"ls /data": "migrated"},
			},
			outside: func(t *testing.T, s *suite) {
				equal(t, "the one-shot's code", s.inspect(t, "migrate-1").State.ExitCode, 0)
				db := s.inspect(t, "db-1")
				equal(t, "the database", db.State.Health.Status, "healthy")
				equal(t, "the interval", db.Config.Healthcheck.Interval, 200*time.Millisecond)
				equal(t, "the database's restarts", string(db.HostConfig.RestartPolicy.Name), "unless-stopped")
				equal(t, "the web's restarts", s.hostConfig(t, "web-1").RestartPolicy.MaximumRetryCount, 4)
				equal(t, "the disabled healthcheck", s.config(t, "web-1").Healthcheck.Test[0], "NONE")
				s.mustUp(t, s.load(t, strings.Replace(lifeRecipe, "on-failure:4", "on-failure:4\n    scale: 0", 1)), engine.DiffOptions{})
				equal(t, "what pre_stop left", s.exec(t, "db-1", "ls", "/data/stopped"), "/data/stopped")
			},
		},
		"hooks before the start": {
			alone: "it doesn't know pre_start",
			recipe: `
services:
  web:
    image: busybox
    command: sleep infinity
    init: true
    network_mode: none
    volumes: ["data:/data"]
    pre_start: [{image: busybox, command: [sh, -c, "echo prepared >/data/prepared"], user: root}]
volumes: {data: {}}
`,
			inside: map[string]map[string]string{"web-1": {"cat /data/prepared": "prepared"}},
		},
		"the interval while starting": {
			api: "1.44",
			recipe: `
services:
  web:
    image: busybox
    command: sleep infinity
    init: true
    network_mode: none
    healthcheck: {test: "true", interval: 1h, start_period: 1m, start_interval: 1s}
    x-galley: {early_probes: false}
  after: {image: busybox, command: sleep infinity, init: true, network_mode: none, depends_on: {web: {condition: service_healthy}}}
`,
			outside: func(t *testing.T, s *suite) {
				equal(t, "the interval", s.config(t, "web-1").Healthcheck.StartInterval, time.Second)
				// After the interval of an hour alone, it would not be.
				equal(t, "the health", s.inspect(t, "web-1").State.Health.Status, "healthy")
			},
		},
	}
}

// lifeRecipe is a chain of services that wait for each other, with hooks.
const lifeRecipe = `
x-base: &base {image: busybox, command: sleep infinity, init: true, network_mode: none}
services:
  db:
    <<: *base
    restart: unless-stopped
    healthcheck: {test: ["CMD", "test", "-e", "/tmp/ready"], interval: 200ms, timeout: 3s, retries: 50, start_period: 1s}
    volumes: ["data:/data"]
    post_start: [{command: [touch, /tmp/ready], user: root, working_dir: /, environment: {A: b}}]
  migrate: {<<: *base, command: touch /data/migrated, depends_on: {db: {condition: service_healthy}}, volumes: ["data:/data"]}
  web:
    <<: *base
    restart: on-failure:4
    healthcheck: {disable: true}
    depends_on: {migrate: {condition: service_completed_successfully}}
    volumes: ["data:/data"]
    pre_stop: [{command: [touch, /data/stopped]}]
volumes: {data: {}}
`
