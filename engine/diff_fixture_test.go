package engine

import (
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
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

// putBack are the options with which an update that failed is put back.
func putBack(old map[string]map[string]bool, before ...*Container) DiffOptions {
	return DiffOptions{restore: &restoration{old: old, before: observed(before...)}}
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
	return network.Summary{Name: "shop_" + key, ID: key + "-id", Driver: "bridge", Labels: map[string]string{
		compose.LabelProject: "shop", compose.LabelNetwork: key, compose.LabelHash: hash,
	}}
}

// diffTest is a plan by its text.
type diffTest struct {
	want *compose.Project
	have *State
	opts DiffOptions
	plan string
}

func testDiff(t *testing.T, tests map[string]diffTest) {
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
