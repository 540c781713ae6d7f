package engine

import (
	"strings"
	"testing"

	"galley/compose"
)

// TestDiffWarnsOfWhatTheEngineDoesNotHeed: once, when the container is created.
func TestDiffWarnsOfWhatTheEngineDoesNotHeed(t *testing.T) {
	want := shop(service("db"), service("web", func(s *compose.Service) {
		s.Host.StorageOpt = map[string]string{"size": "1G"}
		s.Host.SecurityOpt = []string{"apparmor=mine", "label:type:theirs", "label=disable", "apparmor:unconfined", "no-new-privileges"}
	}))
	for name, test := range map[string]struct {
		have   *State
		guards []string
		want   int
	}{
		"nothing is known": {observed(), nil, 0},
		"it can do all":    {observed(), []string{"apparmor", "selinux"}, 0},
		"it can do none":   {observed(), []string{"seccomp"}, 3},
		"one of them":      {observed(), []string{"apparmor"}, 2},
		"it is there":      {observed(ran("web")), []string{}, 0},
	} {
		test.have.Guards, test.have.Boundless = test.guards, test.want > 0
		plan, err := Diff(want, test.have, DiffOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Warnings) != test.want || strings.Count(strings.Join(plan.Warnings, "\n"), `service "web": `) != test.want {
			t.Errorf("%s: got warnings %q, want %d", name, plan.Warnings, test.want)
		}
	}
}
