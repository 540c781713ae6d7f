package engine_test

import (
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"galley/compose"
	"galley/engine"
)

// replicaOf is an observed container "p-SERVICE-1" with the dependencies given.
func replicaOf(service string, phase container.ContainerState, needs ...compose.Need) *engine.Container {
	return &engine.Container{ID: service, Name: "p-" + service + "-1", Service: service, Number: 1, Phase: phase, Needs: needs}
}

func need(service string, condition compose.Condition, restart bool) compose.Need {
	return compose.Need{Service: service, Condition: condition, Restart: restart, Required: true}
}

func TestOperate(t *testing.T) {
	chain := func(phase container.ContainerState) []*engine.Container {
		return []*engine.Container{
			replicaOf("web", phase, need("db", compose.Healthy, true), need("init", compose.Completed, false)),
			replicaOf("db", phase),
			replicaOf("init", container.StateExited),
			replicaOf("other", phase),
			{ID: "once", Name: "p-web-run-1", Service: "web", OneOff: true, Phase: phase},
		}
	}
	household := func(host container.ContainerState) []*engine.Container {
		guest := replicaOf("side", container.StateRunning, need("app", compose.Started, false))
		guest.Summary.HostConfig.NetworkMode = "container:app"
		return []*engine.Container{replicaOf("app", host), guest}
	}
	for _, test := range []struct {
		name string
		have []*engine.Container
		op   engine.Operation
		want string
	}{
		{"start goes by dependencies and leaves what is completed", chain(container.StateExited), engine.Operation{Verb: engine.VerbStart}, `
0 start container p-other-1 (exited with code 0)
1 start container p-db-1 (exited with code 0)
2 await container p-db-1 (service web waits for it) needs 1
3 start container p-web-1 (exited with code 0) needs 2
`},
		{"start of one starts what it needs", chain(container.StateExited), engine.Operation{Verb: engine.VerbStart, Services: []string{"web"}}, `
0 start container p-db-1 (exited with code 0)
1 await container p-db-1 (service web waits for it) needs 0
2 start container p-web-1 (exited with code 0) needs 1
`},
		{"a completed one-shot that is named is started", chain(container.StateRunning), engine.Operation{Verb: engine.VerbStart, Services: []string{"init"}}, `
0 start container p-init-1 (exited with code 0)
`},
		{"start --wait waits for what it starts", chain(container.StateExited), engine.Operation{Verb: engine.VerbStart, Services: []string{"other"}, Wait: true}, `
0 start container p-other-1 (exited with code 0)
1 await container p-other-1 (--wait) needs 0
`},
		{"what runs is not started", chain(container.StateRunning), engine.Operation{Verb: engine.VerbStart}, ""},
		{"restart takes those along that ask for it", chain(container.StateRunning), engine.Operation{Verb: engine.VerbRestart, Services: []string{"db"}}, `
0 restart container p-db-1 (asked for)
1 await container p-db-1 (service web waits for it) needs 0
2 restart container p-web-1 (a service that it depends on is restarted) needs 1
`},
		{"restart without dependents", chain(container.StateRunning), engine.Operation{Verb: engine.VerbRestart, Services: []string{"db"}, NoDeps: true}, `
0 restart container p-db-1 (asked for)
`},
		{"restart takes those along that live in the namespace", household(container.StateRunning), engine.Operation{Verb: engine.VerbRestart, Services: []string{"app"}}, `
0 restart container p-app-1 (asked for)
1 restart container p-side-1 (service app, whose namespace it shares, began anew) needs 0
`},
		{"start restarts those whose namespace has gone", household(container.StateExited), engine.Operation{Verb: engine.VerbStart, Services: []string{"app"}}, `
0 start container p-app-1 (exited with code 0)
1 restart container p-side-1 (service app, whose namespace it shares, began anew) needs 0
`},
		{"start leaves those alone whose namespace is there", household(container.StateRunning), engine.Operation{Verb: engine.VerbStart, Services: []string{"app"}}, ""},
		{"kill sends the signal to what runs", chain(container.StateRunning), engine.Operation{Verb: engine.VerbKill, NoDeps: true, Signal: "HUP", Services: []string{"db", "init"}}, `
0 kill container p-db-1 (signal HUP)
`},
		{"pause freezes what runs", chain(container.StateRunning), engine.Operation{Verb: engine.VerbPause, NoDeps: true, Services: []string{"db"}}, `
0 pause container p-db-1 (asked for)
`},
		{"unpause leaves what is not frozen", chain(container.StateRunning), engine.Operation{Verb: engine.VerbUnpause, NoDeps: true}, ""},
		{"rm removes what has ended", chain(container.StateRunning), engine.Operation{Verb: engine.VerbRemove, NoDeps: true}, `
0 remove container p-init-1 (asked for)
`},
		{"rm --stop stops dependents first", chain(container.StateRunning), engine.Operation{Verb: engine.VerbRemove, NoDeps: true, Stop: true, Services: []string{"db", "web"}}, `
0 stop container p-web-1 (asked for)
1 remove container p-web-1 (asked for) needs 0
2 stop container p-db-1 (asked for) needs 0
3 remove container p-db-1 (asked for) needs 2
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan, err := engine.Operate(&engine.State{Project: "p", Containers: test.have}, test.op)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), plan.String()); diff != "" {
				t.Errorf("plan differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStartNeedsAContainer(t *testing.T) {
	_, err := engine.Operate(&engine.State{Project: "p"}, engine.Operation{Verb: engine.VerbStart, Services: []string{"web"}})
	if err == nil || err.Error() != `service "web" has no container to start: up creates one` {
		t.Errorf("got error %v", err)
	}
}
