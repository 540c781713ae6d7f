package imports

import (
	"strings"
	"testing"
)

// platformOf reads "os/architecture/variant".
func platformOf(text string) Platform {
	parts := append(strings.Split(text, "/"), "", "")
	return Platform{parts[0], parts[1], parts[2]}
}

// TestFit ranks images for a machine, the best first. Source: containerd/platforms, platformVector.
func TestFit(t *testing.T) {
	tests := []struct {
		machine string
		// runs are in the order of preference, equals separated by "=".
		runs, never []string
	}{
		{"linux/amd64", []string{"linux/amd64=linux/x86_64=linux/amd64/v1=/amd64", "linux/386=linux/i386"}, []string{"linux/arm64", "windows/amd64", "darwin/amd64"}},
		{"linux/arm64", []string{"linux/arm64=linux/aarch64=linux/arm64/v8", "linux/arm/v7=linux/arm=linux/armhf", "linux/arm/v6=linux/armel", "linux/arm/v5"}, []string{"linux/amd64"}},
		{"linux/arm", []string{"linux/arm/v7", "linux/arm/v6", "linux/arm/v5"}, []string{"linux/arm64"}},
		{"linux/arm/v6", []string{"linux/arm/v6", "linux/arm/v5"}, []string{"linux/arm/v7"}},
		{"linux/386", []string{"linux/386"}, []string{"linux/amd64"}},
		{"linux/s390x", []string{"linux/s390x", "linux/"}, []string{"linux/ppc64le"}},
	}
	for _, tt := range tests {
		machine, last := platformOf(tt.machine), -1
		for _, equals := range tt.runs {
			rank := platformOf(strings.Split(equals, "=")[0]).fit(machine)
			if rank <= last {
				t.Errorf("%s ranks %s as %d, after %d", tt.machine, equals, rank, last)
			}
			last = rank
			for _, same := range strings.Split(equals, "=") {
				if got := platformOf(same).fit(machine); got != rank {
					t.Errorf("%s ranks %s as %d, want %d", tt.machine, same, got, rank)
				}
			}
		}
		for _, p := range tt.never {
			if got := platformOf(p).fit(machine); got >= 0 {
				t.Errorf("%s runs %s (%d)", tt.machine, p, got)
			}
		}
	}
}
