package engine_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"galley/compose"
	"galley/engine"
	"galley/engine/enginetest"
)

// freshAndMissing wants an image that is there anew, and one that is not there.
func freshAndMissing() *compose.Project {
	fresh, missing := svc("fresh"), svc("missing")
	fresh.Config.Image, fresh.Hash, fresh.Pull.Policy = remote, "1:fresh", compose.PullAlways
	missing.Config.Image, missing.Hash = "reg.example:5000/other:1", "1:missing"
	return &compose.Project{Name: "pulls", Separator: "-", Services: []*compose.Service{fresh, missing}}
}

func (p *puller) converge(t *testing.T, want *compose.Project) error {
	t.Helper()
	have, err := p.engine.State(t.Context(), want.Name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.engine.Converge(t.Context(), want, have, engine.DiffOptions{})
	return err
}

// TestWhatIsFreshAndWhatIsMissingIsPulledAtOnce lets no pull end before both have begun.
func TestWhatIsFreshAndWhatIsMissingIsPulledAtOnce(t *testing.T) {
	p := newPuller(t, nil)
	p.memory.AddImage(enginetest.Image{Ref: remote})
	p.memory.AddRemote(enginetest.Image{Ref: "reg.example:5000/other:1"}, nil)
	var begun sync.WaitGroup
	begun.Add(2)
	both := make(chan struct{})
	go func() { begun.Wait(); close(both) }()
	p.memory.Intercept(func(c enginetest.Call) *enginetest.Fault {
		if c.Op == "POST /images/create" {
			begun.Done()
			select {
			case <-both:
			case <-time.After(time.Minute):
				t.Error("the other pull did not begin")
			}
		}
		return nil
	})
	if err := p.converge(t, freshAndMissing()); err != nil || p.pulls() != 2 {
		t.Errorf("%d pulls, error %v", p.pulls(), err)
	}
}

// TestAMissingImageFailsItsServiceAlone: though it was pulled together with another one, and it is pulled and told once.
func TestAMissingImageFailsItsServiceAlone(t *testing.T) {
	p := newPuller(t, nil)
	p.memory.AddImage(enginetest.Image{Ref: remote})
	p.memory.AddRemote(enginetest.Image{Ref: "reg.example:5000/other:1"}, &enginetest.PullFault{Status: 404, Message: "manifest unknown"})
	err := p.converge(t, freshAndMissing())
	var failed *engine.ImageError
	if !errors.As(err, &failed) || failed.Ref != "reg.example:5000/other:1" || p.pulls() != 2 {
		t.Errorf("%d pulls, error %v", p.pulls(), err)
	}
	told := 0
	for _, e := range p.events {
		if e.Kind == engine.Failed {
			told++
		}
	}
	if told != 1 {
		t.Errorf("the failure is told %d times", told)
	}
	have, err := p.engine.State(t.Context(), "pulls")
	if err != nil || len(have.Containers) != 1 || have.Containers[0].Service != "fresh" {
		t.Errorf("got %+v, error %v", have, err)
	}
}

func TestAnImageIsFreshOnceItWasPulled(t *testing.T) {
	p := newPuller(t, nil)
	want := freshAndMissing()
	want.Services = want.Services[:1]
	want.Services[0].Pull = compose.Pull{Policy: compose.PullRefresh, MaxAge: time.Hour}
	p.memory.AddImage(enginetest.Image{Ref: remote})
	for range 3 {
		if err := p.converge(t, want); err != nil || p.pulls() != 1 {
			t.Fatalf("%d pulls, want 1, error %v", p.pulls(), err)
		}
	}
}
