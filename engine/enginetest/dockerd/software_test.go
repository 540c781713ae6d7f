package dockerd

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
)

// Each image's own client must get an answer from its server.
func TestSoftwareServes(t *testing.T) {
	tests := []struct {
		software Software
		env      []string
		probe    []string
	}{
		{Nginx(), nil, []string{"wget", "-qO-", "http://127.0.0.1/index.html"}},
		{Redis(), nil, []string{"sh", "-c", "redis-cli set a b && redis-cli save"}},
		{Postgres(), []string{"POSTGRES_PASSWORD=secret", "POSTGRES_USER=shop", "POSTGRES_DB=orders"},
			[]string{"sh", "-c", "PGPASSWORD=secret psql -h 127.0.0.1 -U shop -c 'select now()' orders"}},
	}
	for _, test := range tests {
		t.Run(test.software.Name, func(t *testing.T) {
			d := ForTest(t)
			if err := LoadSoftware(t.Context(), d.Client(), test.software, t.Output()); err != nil {
				t.Fatal(err)
			}
			config := container.Config{
				Image:       test.software.Name,
				Env:         test.env,
				Healthcheck: &container.HealthConfig{Test: append([]string{"CMD"}, test.probe...), Interval: 200 * time.Millisecond, Retries: 100},
			}
			id := start(t, d, config, container.HostConfig{})
			t.Cleanup(func() {
				if t.Failed() {
					t.Log(logs(t, d, id))
				}
			})
			awaitHealthy(t, d, id)
			within := 5
			if err := d.Client().ContainerStop(t.Context(), id, container.StopOptions{Timeout: &within}); err != nil {
				t.Fatal(err)
			}
			info, err := d.Client().ContainerInspect(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if info.State.ExitCode != 0 {
				t.Errorf("after a stop, its exit code is %d", info.State.ExitCode)
			}
		})
	}
}
