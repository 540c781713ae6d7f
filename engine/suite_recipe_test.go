package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"galley/compose"
)

// svc is a service that sleeps until it is stopped.
func svc(name string, change ...func(*compose.Service)) *compose.Service {
	s := &compose.Service{Name: name, Replicas: 1, Config: container.Config{
		Image:       "busybox:latest",
		Cmd:         []string{"sleep", "infinity"},
		StopTimeout: new(int),
	}}
	*s.Config.StopTimeout = 1
	s.Host.Init = new(bool)
	*s.Host.Init = true // so that sleep heeds SIGTERM
	for _, c := range change {
		c(s)
	}
	return s
}

func runs(command ...string) func(*compose.Service) {
	return func(s *compose.Service) { s.Config.Cmd = command }
}

func sh(script string) func(*compose.Service) { return runs("sh", "-c", script) }

func env(vars ...string) func(*compose.Service) {
	return func(s *compose.Service) { s.Config.Env = vars }
}

func checked(test string) func(*compose.Service) {
	return func(s *compose.Service) {
		s.Config.Healthcheck = &container.HealthConfig{Test: []string{"CMD-SHELL", test}, Interval: 200 * time.Millisecond, Retries: 2, Timeout: 5 * time.Second}
	}
}

func waits(service string, condition compose.Condition) func(*compose.Service) {
	return func(s *compose.Service) {
		s.Needs = append(s.Needs, compose.Need{Service: service, Condition: condition, Required: true})
	}
}

func joins(networks ...string) func(*compose.Service) {
	return func(s *compose.Service) {
		for _, key := range networks {
			s.Endpoints = append(s.Endpoints, compose.Endpoint{Network: key})
		}
	}
}

// recipe completes what the tests write down: names, labels, digests.
func (s *suite) recipe(services ...*compose.Service) *compose.Project {
	slices.SortFunc(services, func(a, b *compose.Service) int { return strings.Compare(a.Name, b.Name) })
	p := &compose.Project{Name: s.project, Separator: "-", Services: services}
	keys := map[string]bool{}
	for _, svc := range services {
		for i := range svc.Endpoints {
			e := &svc.Endpoints[i]
			e.Name = s.project + "_" + e.Network
			e.Settings.Aliases = append([]string{svc.Name}, e.Settings.Aliases...)
			keys[e.Network] = true
		}
		svc.Fields = map[string]string{
			"command":     fmt.Sprintf("%x", svc.Config.Cmd),
			"environment": fmt.Sprintf("%x", svc.Config.Env),
			"healthcheck": fmt.Sprintf("%x", svc.Config.Healthcheck),
			"network":     string(svc.Host.NetworkMode),
			"volumes":     fmt.Sprint(svc.Host.Binds, svc.Config.Volumes, svc.Host.Tmpfs, svc.Host.VolumesFrom),
			"hooks":       fmt.Sprint(svc.PreStart, svc.PostStart, svc.PreStop),
		}
		svc.Hash = fmt.Sprintf("2:%08x", strings.Join(slices.Sorted(maps.Values(svc.Fields)), ","))
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		p.Networks = append(p.Networks, s.network(key, ""))
	}
	return p
}

func (s *suite) network(key, subnet string) *compose.Network {
	n := &compose.Network{Key: key, Name: s.project + "_" + key, Hash: "1:" + subnet}
	n.Create.Driver = "bridge"
	n.Create.Labels = map[string]string{compose.LabelProject: s.project, compose.LabelNetwork: key, compose.LabelHash: n.Hash}
	if subnet != "" {
		n.Create.IPAM = &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet}}}
	}
	return n
}
