package engine

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// listed is a container as a list shows it.
func listed(phase container.ContainerState, networks ...string) *Container {
	c := &Container{ID: "one", Service: "web", Phase: phase}
	c.Summary.NetworkSettings = &container.NetworkSettingsSummary{Networks: endpoints(networks...)}
	return c
}

func endpoints(networks ...string) map[string]*network.EndpointSettings {
	endpoints := map[string]*network.EndpointSettings{}
	for _, name := range networks {
		endpoints[name] = &network.EndpointSettings{NetworkID: "id of " + name}
	}
	return endpoints
}

func TestAnInspectOutweighsAList(t *testing.T) {
	for name, c := range map[string]struct {
		list  *Container
		facts Facts
		agree bool
	}{
		"the same":    {listed(container.StateRunning, "back"), Facts{Phase: container.StateRunning, networks: endpoints("back")}, true},
		"phase":       {listed(container.StateRunning, "back"), Facts{Phase: container.StatePaused, networks: endpoints("back")}, false},
		"has left":    {listed(container.StateRunning, "back", "front"), Facts{Phase: container.StateRunning, networks: endpoints("back")}, false},
		"has joined":  {listed(container.StateRunning), Facts{Phase: container.StateRunning, networks: endpoints("back")}, false},
		"made anew":   {listed(container.StateRunning, "back"), Facts{Phase: container.StateRunning, networks: map[string]*network.EndpointSettings{"back": {NetworkID: "new"}}}, false},
		"on no other": {listed(container.StateRunning), Facts{Phase: container.StateRunning}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.facts.agree(c.list); got != c.agree {
				t.Errorf("they agree: %t, want %t", got, c.agree)
			}
			c.facts.correct(c.list)
			if c.list.Phase != c.facts.Phase || !c.facts.agreeOnNetworks(c.list) {
				t.Errorf("got %s on %v, want what the inspect says", c.list.Phase, c.list.Summary.NetworkSettings.Networks)
			}
		})
	}
}

// TestARecordIsWrongOnlyWhenItHadTime compares a list with an inspect that says otherwise.
func TestARecordIsWrongOnlyWhenItHadTime(t *testing.T) {
	long, now := time.Now().Add(-time.Hour), time.Now()
	for name, c := range map[string]struct {
		facts Facts
		told  time.Time
		want  bool
	}{
		"long ago":         {Facts{Started: long}, time.Time{}, true},
		"it just started":  {Facts{Started: now}, time.Time{}, false},
		"it just ended":    {Facts{Started: long, Finished: now}, time.Time{}, false},
		"it was told of":   {Facts{Started: long}, now, false},
		"that is long ago": {Facts{Started: long}, long, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSupervisor(RunOptions{})
			s.told["one"] = c.told
			c.facts.Phase = container.StatePaused
			have := &State{Containers: []*Container{listed(container.StateRunning)}}
			s.know(have, map[string]*Facts{"one": &c.facts})
			if got := have.Containers[0].Misrecorded; got != c.want || s.look == c.want {
				t.Errorf("the record is wrong: %t, want %t; it is read again: %t", got, c.want, s.look)
			}
		})
	}
}
