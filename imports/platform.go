package imports

import (
	"runtime"
	"slices"
	"strings"
)

// Platform is what an image runs on, in Go's words. Source: OCI image-spec, image index, "platform".
type Platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
}

// String returns "os/architecture" or "os/architecture/variant".
func (p Platform) String() string {
	parts := []string{p.OS, either(p.Architecture, "unknown")}
	if p.Variant != "" {
		parts = append(parts, p.Variant)
	}
	return strings.Join(parts, "/")
}

// ThisMachine is the platform of images for the machine that this process runs on: containers are Linux's.
func ThisMachine() Platform {
	return Platform{OS: "linux", Architecture: runtime.GOARCH}.normal()
}

// normal spells a platform as Go does, and leaves out the variant that every machine of the architecture has.
// Source: containerd/platforms, normalizeArch.
func (p Platform) normal() Platform {
	p.OS = either(strings.ToLower(p.OS), "linux")
	p.Architecture, p.Variant = strings.ToLower(p.Architecture), strings.ToLower(p.Variant)
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "i386":
		p.Architecture = "386"
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	switch {
	case p.Architecture == "amd64" && p.Variant == "v1", p.Architecture == "arm64" && (p.Variant == "v8" || p.Variant == "8"):
		p.Variant = ""
	case p.Architecture == "arm":
		p.Variant = "v" + strings.TrimPrefix(either(p.Variant, "v7"), "v")
	}
	return p
}

// fit ranks an image's platform on a machine: 0 is its own, higher is worse, -1 does not run. What a machine runs beside
// its own is what the Engine accepts. Source: containerd/platforms, platformVector.
func (p Platform) fit(machine Platform) int {
	p, machine = p.normal(), machine.normal()
	if p.OS != machine.OS {
		return -1
	}
	if p.Architecture == "" {
		return 100 // an image that does not say, from hand-made tarballs; the Engine takes it
	}
	own := machine.Architecture
	if machine.Variant != "" {
		own += "/" + machine.Variant
	}
	runs := []string{own}
	switch own {
	case "amd64":
		// A variant's needs can't be known offline; the Engine takes those that the processor has.
		runs = append(runs, "amd64/v2", "amd64/v3", "386")
	case "arm64":
		runs = append(runs, "arm/v8", "arm/v7", "arm/v6", "arm/v5")
	case "arm/v7":
		runs = append(runs, "arm/v6", "arm/v5")
	case "arm/v6":
		runs = append(runs, "arm/v5")
	}
	have := p.Architecture
	if p.Variant != "" {
		have += "/" + p.Variant
	}
	return slices.Index(runs, have)
}

// either is a, or b where a is empty.
func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
