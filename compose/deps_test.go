package compose

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImports enforces who may import whom. "check is offline" is a property of the first row: nothing that compose
// reaches, not even through compose-go, can speak HTTP or TLS, or to an Engine.
func TestImports(t *testing.T) {
	const compose, engine, imports, bosh, cmd = "galley/compose", "galley/engine", "galley/imports", "galley/bosh", "galley/cmd"
	tests := []struct {
		pkg string
		// reach are packages that must not be reached at all, direct packages that must not be imported by name.
		reach, direct []string
	}{
		{
			pkg:    compose,
			reach:  []string{"net/http", "crypto/tls", "github.com/docker/docker/client", engine, imports, bosh, cmd},
			direct: []string{"log"},
		},
		{
			pkg:   engine,
			reach: []string{bosh, cmd},
			direct: []string{
				"github.com/compose-spec/compose-go", "log", "log/slog", "github.com/sirupsen/logrus", "github.com/spf13/cobra",
			},
		},
		{pkg: imports, reach: []string{"net/http", "crypto/tls", compose, engine, bosh, cmd}},
		{pkg: bosh, reach: []string{compose, engine, imports, cmd}},
	}
	for _, tt := range tests {
		t.Run(strings.TrimPrefix(tt.pkg, "galley/"), func(t *testing.T) {
			for _, dep := range goList(t, "-deps", tt.pkg) {
				if within(dep, tt.reach) && !within(dep, []string{tt.pkg}) {
					t.Errorf("%s reaches %s", tt.pkg, dep)
				}
			}
			for _, dep := range goList(t, "-f", `{{join .Imports "\n"}}`, tt.pkg) {
				if within(dep, tt.direct) {
					t.Errorf("%s imports %s", tt.pkg, dep)
				}
			}
		})
	}
}

// within tells whether a package is one of some, or below one of them.
func within(pkg string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return pkg == root || strings.HasPrefix(pkg, root+"/") })
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-e"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}
