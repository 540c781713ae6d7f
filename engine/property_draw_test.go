package engine_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"
	"pgregory.net/rapid"

	"galley/compose"
)

// drawRecipe draws a small recipe out of a few services, networks and volumes, so that two of them overlap and differ.
func drawRecipe(t *rapid.T, s *suite, label string) *compose.Project {
	var services []*compose.Service
	for i, name := range serviceNames() {
		if rapid.IntRange(0, 4).Draw(t, label+name) == 0 {
			continue
		}
		services = append(services, drawService(t, services, label, name, i))
	}
	for _, svc := range services {
		if rapid.IntRange(0, 2).Draw(t, label+svc.Name+"is a one-shot") == 0 {
			makeOneShot(svc, services)
		}
	}
	p := s.recipe(services...)
	for _, svc := range p.Services {
		for i, e := range svc.Endpoints {
			if e.Network == "outside" {
				svc.Endpoints[i].Name = "outside"
			}
		}
	}
	for _, name := range serviceNames() {
		if p.Service(name) == nil && rapid.Bool().Draw(t, label+name+"is switched off") {
			p.Inactive = append(p.Inactive, name)
		}
	}
	for _, n := range p.Networks {
		if n.Key == "outside" {
			n.Name, n.External, n.Hash = "outside", true, ""
			continue
		}
		*n = *s.network(n.Key, rapid.SampledFrom([]string{"", "", "10.77.1.0/24"}).Draw(t, label+n.Key+"subnet"))
		if n.Key == "back" && n.Create.IPAM != nil {
			*n = *s.network(n.Key, "10.77.2.0/24")
		}
	}
	p.Volumes = []*compose.Volume{{Key: "data", Name: s.project + "_data", Hash: "1:data"}}
	p.Volumes = append(p.Volumes, &compose.Volume{Key: "outside", Name: "outside", External: true})
	p.Volumes[0].Create.Labels = map[string]string{compose.LabelProject: s.project, compose.LabelVolume: "data", compose.LabelHash: "1:data"}
	return p
}

// makeOneShot lets a service end by itself, if others wait for it and nobody needs it to run.
func makeOneShot(svc *compose.Service, all []*compose.Service) {
	var needs []*compose.Need
	for _, other := range all {
		if slices.Contains(other.Parents(), svc.Name) {
			return
		}
		for i, need := range other.Needs {
			if need.Service == svc.Name {
				needs = append(needs, &other.Needs[i])
			}
		}
	}
	if len(needs) == 0 || svc.Replicas == 0 {
		return
	}
	for _, need := range needs {
		need.Condition = compose.Completed
	}
	svc.Config.Cmd, svc.Config.Healthcheck, svc.Host.RestartPolicy, svc.PostStart, svc.PreStop = []string{"true"}, nil, container.RestartPolicy{}, nil, nil
}

func serviceNames() []string { return []string{"a", "b", "c", "d"} }

func drawService(t *rapid.T, earlier []*compose.Service, label, name string, i int) *compose.Service {
	chance := func(what string, of int) bool { return rapid.IntRange(1, of).Draw(t, label+name+what) == 1 }
	svc := svc(name, env(fmt.Sprintf("LEVEL=%d", rapid.IntRange(0, 2).Draw(t, label+name+"level"))))
	svc.Replicas = rapid.SampledFrom([]int{0, 1, 1, 1, 2, 3}).Draw(t, label+name+"replicas")
	svc.Update.StartFirst = chance("start-first", 4)
	if chance("checked", 3) {
		checked("true")(svc)
		svc.Config.Healthcheck.Timeout = time.Hour // the Engine's time runs fast here, the machine's may not
	}
	if chance("anonymous", 4) {
		svc.Config.Volumes = map[string]struct{}{"/anonymous": {}}
	}
	if chance("data", 4) {
		svc.Host.Binds = []string{"property_data:/data"}
	}
	if chance("kept", 6) {
		svc.Host.Binds = append(svc.Host.Binds, "outside:/kept")
	}
	if svc.Replicas == 1 && chance("fixed name", 5) {
		svc.ContainerName = "property-" + name + "-fixed"
	}
	if chance("hooks", 5) {
		svc.PreStart = []compose.Init{{Config: container.Config{Image: "busybox:latest", Cmd: []string{"true"}}, PerReplica: chance("per replica", 2)}}
		svc.PostStart, svc.PreStop = []compose.Hook{hook("true")}, []compose.Hook{hook("true")}
	}
	svc.Update.Parallelism = rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, label+name+"parallelism")
	for _, other := range earlier {
		switch rapid.IntRange(0, 9).Draw(t, label+name+other.Name) {
		case 0, 1:
			waits(other.Name, compose.Started)(svc)
		case 2:
			if other.Config.Healthcheck != nil {
				waits(other.Name, compose.Healthy)(svc)
			}
		case 3:
			if other.Replicas > 0 && len(other.Endpoints) > 0 && svc.Host.NetworkMode == "" {
				waits(other.Name, compose.Started)(svc)
				svc.Host.NetworkMode = container.NetworkMode(compose.ServicePrefix + other.Name)
			}
		case 4:
			waits(other.Name, compose.Started)(svc)
			svc.Needs[len(svc.Needs)-1].Restart = true
		case 5:
			if other.Replicas > 0 {
				waits(other.Name, compose.Started)(svc)
				svc.Host.VolumesFrom = append(svc.Host.VolumesFrom, compose.ServicePrefix+other.Name)
			}
		}
	}
	if svc.Host.NetworkMode == "" {
		joins(rapid.SampledFrom([][]string{{"front"}, {"back"}, {"front", "back"}, {"front", "outside"}, {"outside"}}).Draw(t, label+name+"networks")...)(svc)
		for i := range svc.Endpoints {
			svc.Endpoints[i].Settings.Aliases = rapid.SampledFrom([][]string{nil, nil, {"x"}, {"x", "y"}}).Draw(t, label+name+"aliases")
		}
	}
	drawLimits(t, svc, label+name)
	if chance("at times", 10) { // which is no business of a plan's, but that nothing runs now
		svc.Replicas, svc.Schedule = 0, "@daily"
	}
	return svc
}

// drawLimits draws what changes in place, and what can't be taken back in place.
func drawLimits(t *rapid.T, svc *compose.Service, label string) {
	resources := &svc.Host.Resources
	resources.Memory = rapid.SampledFrom([]int64{0, 0, 64 << 20, 128 << 20}).Draw(t, label+"memory")
	if resources.Memory > 0 {
		resources.MemorySwap = rapid.SampledFrom([]int64{0, 0, -1, 256 << 20}).Draw(t, label+"swap")
	}
	if pids := rapid.SampledFrom([]int64{0, 0, 50, 100}).Draw(t, label+"pids"); pids > 0 {
		resources.PidsLimit = &pids
	}
	switch rapid.IntRange(0, 5).Draw(t, label+"cpu") {
	case 0:
		resources.NanoCPUs = 500_000_000
	case 1:
		resources.CPUQuota = 50_000
	case 2:
		resources.CPUShares = 512
	}
	svc.Host.RestartPolicy.Name = rapid.SampledFrom([]container.RestartPolicyMode{"", "", "no", "always"}).Draw(t, label+"restart")
}
