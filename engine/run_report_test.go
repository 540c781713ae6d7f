package engine

import (
	"testing"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
)

// TestAServiceThatIsReplacedIsNotCompleted sums up services of one replica by their containers.
func TestAServiceThatIsReplacedIsNotCompleted(t *testing.T) {
	replica := func(id string, phase container.ContainerState, code int) *Container {
		return &Container{ID: id, Service: "web", Phase: phase, ExitCode: code, Hash: "h"}
	}
	for name, c := range map[string]struct {
		have  []*Container
		lying map[string]string
		want  Phase
	}{
		"it runs":                            {have: []*Container{replica("new", container.StateRunning, 0)}, want: PhaseUp},
		"the one before is not removed yet":  {have: []*Container{replica("old", container.StateExited, 143), replica("new", container.StateRunning, 0)}, want: PhaseStarting},
		"it ended, and that was all":         {have: []*Container{replica("new", container.StateExited, 0)}, lying: map[string]string{"new": "done"}, want: PhaseCompleted},
		"it ended badly, and is left so":     {have: []*Container{replica("new", container.StateExited, 3)}, lying: map[string]string{"new": "given up"}, want: PhaseFailed},
		"it ended, and is to be started yet": {have: []*Container{replica("new", container.StateExited, 3)}, want: PhaseStarting},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSupervisor(RunOptions{})
			s.want = &compose.Project{Name: "p", Services: []*compose.Service{{Name: "web", Replicas: 1, Hash: "h"}}}
			s.have = &State{Containers: c.have}
			s.verdict.lying = c.lying
			if got := s.reportService(s.want.Services[0]); got.Phase != c.want {
				t.Errorf("it is %s (%s), want %s", got.Phase, got.Why, c.want)
			}
		})
	}
}
