package main

import (
	"fmt"
	"time"

	"galley/bosh"
	"galley/engine"
)

// awaitSteady takes back that services are up whose containers run for less than a while: one that dies again and again does
// run now and then. A container that is healthy has shown more than that. It returns how long it takes until all would be
// steady; 0 if nothing was taken back.
func awaitSteady(s *bosh.Status, steady time.Duration, now time.Time) (left time.Duration) {
	for i := range s.Services {
		service := &s.Services[i]
		for _, c := range service.Containers {
			if service.State != string(engine.PhaseUp) || c.Health != "" || c.Started == nil {
				continue
			}
			if missing := steady - now.Sub(*c.Started); missing > 0 {
				s.Up = false
				service.State, service.Why = string(engine.PhaseStarting), fmt.Sprintf("it has not run for %s yet", steady)
				left = max(left, missing)
			}
		}
	}
	return left
}
