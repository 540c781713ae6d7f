package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"galley/compose"
	"galley/engine"
)

// What of the suite changes containers without a stop.

// limited gives a service limits and a restart policy.
func limited(memory, pids int64, cpus float64, restart container.RestartPolicyMode) func(*compose.Service) {
	return func(s *compose.Service) {
		s.Host.Memory, s.Host.NanoCPUs, s.Host.RestartPolicy.Name = memory, int64(cpus*1e9), restart
		if pids > 0 {
			s.Host.PidsLimit = &pids
		}
	}
}

// sameStart holds that a service's first container is the one that ran before, and was never stopped.
func (s *suite) sameStart(t *testing.T, name string, before container.InspectResponse) container.InspectResponse {
	t.Helper()
	after := s.inspect(t, name)
	if after.ID != before.ID || after.State.StartedAt != before.State.StartedAt || after.RestartCount != before.RestartCount {
		t.Errorf("%s was replaced or restarted", name)
	}
	return after
}

func testLimitsInPlace(t *testing.T, s *suite) {
	first := s.recipe(svc("web", limited(64<<20, 50, 0.5, "")))
	second := s.recipe(svc("web", limited(128<<20, 0, 0.25, "unless-stopped"), func(s *compose.Service) { s.Host.CPUShares = 512 }))
	s.mustUp(t, first, engine.DiffOptions{})
	before := s.inspect(t, "web-1")
	plan, err := engine.Diff(second, s.state(t), engine.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := "0 update container " + s.project + "-web-1 (cpu_shares none → 512, cpus 0.5 → 0.25, mem_limit 64m → 128m, " +
		"pids_limit 50 → none, restart none → unless-stopped)\n"
	if plan.String() != want {
		t.Errorf("got plan\n%swant\n%s", plan, want)
	}
	s.mustUp(t, second, engine.DiffOptions{})
	host := s.sameStart(t, "web-1", before).HostConfig
	if host.Memory != 128<<20 || host.MemorySwap != 256<<20 || host.NanoCPUs != 250_000_000 || host.CPUShares != 512 ||
		host.RestartPolicy.Name != "unless-stopped" || host.PidsLimit != nil && *host.PidsLimit > 0 {
		t.Errorf("got %+v and restart policy %q", host.Resources, host.RestartPolicy.Name)
	}
	// Back again: the labels say that nothing differs.
	back := s.recipe(svc("web", limited(64<<20, 50, 0.5, "")))
	s.mustUp(t, back, engine.DiffOptions{})
	if host := s.sameStart(t, "web-1", before).HostConfig; host.Memory != 64<<20 || host.CPUShares == 512 || !host.RestartPolicy.IsNone() {
		t.Errorf("back again: got %+v and restart policy %q", host.Resources, host.RestartPolicy.Name)
	}
}

func testNetworksInPlace(t *testing.T, s *suite) {
	build := func(networks []string, aliases ...string) *compose.Project {
		return s.recipe(svc("web", joins(networks...), func(s *compose.Service) {
			s.Endpoints[0].Settings.Aliases = aliases
		}), svc("other", joins("front", "back")))
	}
	s.mustUp(t, build([]string{"front"}), engine.DiffOptions{})
	before := s.inspect(t, "web-1")
	steps := []struct {
		name     string
		networks []string
		aliases  []string
	}{
		{"one network more", []string{"front", "back"}, nil},
		{"aliases", []string{"front", "back"}, []string{"shop", "store"}},
		{"an alias less", []string{"front", "back"}, []string{"store"}},
		{"another order", []string{"back", "front"}, nil},
		{"one network less", []string{"front"}, []string{"store"}},
		{"as at first", []string{"front"}, nil},
	}
	for _, step := range steps {
		s.mustUp(t, build(step.networks, step.aliases...), engine.DiffOptions{})
		have := s.sameStart(t, "web-1", before).NetworkSettings.Networks
		if len(have) != len(step.networks) {
			t.Errorf("%s: on %d networks, want %v", step.name, len(have), step.networks)
		}
		first := have[s.project+"_"+step.networks[0]]
		for _, alias := range []string{"shop", "store"} {
			if first == nil || slices.Contains(first.Aliases, alias) != slices.Contains(step.aliases, alias) {
				t.Errorf("%s: endpoint %+v, want the aliases %v", step.name, first, step.aliases)
			}
		}
	}
}

func testDriftInPlace(t *testing.T, s *suite) {
	ctx := t.Context()
	p := s.recipe(svc("web", joins("front", "back"), limited(64<<20, 0, 0, "always")))
	s.mustUp(t, p, engine.DiffOptions{})
	before := s.inspect(t, "web-1")
	if _, err := s.docker.ContainerUpdate(ctx, before.ID, container.UpdateConfig{
		Resources: container.Resources{Memory: 96 << 20, MemorySwap: 192 << 20}, RestartPolicy: container.RestartPolicy{Name: "no"},
	}); err != nil {
		t.Fatal(err)
	}
	// Attached by hand, without its aliases; and to a network of somebody else.
	if err := s.docker.NetworkDisconnect(ctx, s.project+"_back", before.ID, true); err != nil {
		t.Fatal(err)
	}
	if err := s.docker.NetworkConnect(ctx, s.project+"_back", before.ID, nil); err != nil {
		t.Fatal(err)
	}
	foreign, err := s.docker.NetworkCreate(ctx, s.project+"-foreign", network.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cleanUp(t); _ = s.docker.NetworkRemove(t.Context(), foreign.ID) })
	if err := s.docker.NetworkConnect(ctx, foreign.ID, before.ID, nil); err != nil {
		t.Fatal(err)
	}
	full, err := s.engine.StateInFull(ctx, s.project)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.engine.Converge(ctx, p, full, engine.DiffOptions{}); err != nil {
		t.Fatal(err)
	}
	after := s.sameStart(t, "web-1", before)
	if after.HostConfig.Memory != 64<<20 || after.HostConfig.RestartPolicy.Name != "always" {
		t.Errorf("got %+v and restart policy %q", after.HostConfig.Resources, after.HostConfig.RestartPolicy.Name)
	}
	if back := after.NetworkSettings.Networks[s.project+"_back"]; back == nil || !slices.Contains(back.Aliases, "web") {
		t.Errorf("endpoint %+v, want the alias web", back)
	}
	if after.NetworkSettings.Networks[s.project+"-foreign"] == nil {
		t.Error("what somebody attached by hand to a network of his own was detached")
	}
	for _, read := range []func() (*engine.State, error){
		func() (*engine.State, error) { return s.engine.State(ctx, s.project) },
		func() (*engine.State, error) { return s.engine.StateInFull(ctx, s.project) },
	} {
		have, err := read()
		if err != nil {
			t.Fatal(err)
		}
		if plan, err := engine.Diff(p, have, engine.DiffOptions{}); err != nil || !plan.Empty() {
			t.Errorf("the second plan is not empty: %v\n%s", err, plan)
		}
	}
}

func testNotInPlace(t *testing.T, s *suite) {
	quota := func(s *compose.Service) { s.Host.CPUQuota = 50_000 }
	steps := []struct {
		name   string
		change []func(*compose.Service)
		why    string
	}{
		{"limits", []func(*compose.Service){limited(64<<20, 0, 0.5, ""), joins("front", "back")}, "missing"},
		{"a limit taken back", []func(*compose.Service){limited(0, 0, 0.5, ""), joins("front", "back")}, "mem_limit 64m → none"},
		{"another way to limit CPU time", []func(*compose.Service){quota, joins("front", "back")}, "cpu_quota none → 50000, cpus 0.5 → none"},
		{"off its first network", []func(*compose.Service){quota, joins("back")}, "no longer on networks.front, which it was created for"},
	}
	for _, step := range steps {
		p := s.recipe(svc("web", step.change...))
		plan, err := engine.Diff(p, s.state(t), engine.DiffOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan.String(), "create container "+s.project+"-web-1") || !strings.Contains(plan.String(), "("+step.why+")") {
			t.Errorf("%s: got plan\n%swant a replacement because of %q", step.name, plan, step.why)
		}
		s.mustUp(t, p, engine.DiffOptions{})
	}
}

func testOwnRestarts(t *testing.T, s *suite) {
	p := s.recipe(svc("web", limited(0, 0, 0, "always")), svc("other"))
	s.mustUp(t, p, engine.DiffOptions{})
	before := s.inspect(t, "web-1")
	s.mustUp(t, p, engine.DiffOptions{OwnRestarts: true})
	if after := s.sameStart(t, "web-1", before); !after.HostConfig.RestartPolicy.IsNone() {
		t.Errorf("the engine's restart policy is %q, want no", after.HostConfig.RestartPolicy.Name)
	}
	s.mustUp(t, p, engine.DiffOptions{})
	if after := s.sameStart(t, "web-1", before); after.HostConfig.RestartPolicy.Name != "always" {
		t.Errorf("the engine's restart policy is %q, want always", after.HostConfig.RestartPolicy.Name)
	}
}
