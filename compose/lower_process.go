package compose

import (
	"runtime"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/strslice"
)

// image lowers what is run and from where it comes.
func (s *serviceLowering) image() {
	s.out.Config.Image = s.src.Image
	if _, err := reference.ParseAnyReference(s.src.Image); s.src.Image != "" && err != nil {
		s.refuse("image", codeInvalid, "write NAME, NAME:TAG or NAME@DIGEST; names are in lower case", "%q is no image: %s", s.src.Image, err)
	}
	switch {
	case s.src.Build == nil:
	case s.src.Image != "":
		s.warn("build", codeIgnored, "build and tag the image elsewhere", "build is ignored: galley runs images and never builds")
	default:
		s.refuse("build", codeUnsupported, "build the image elsewhere and name it with image:",
			"service %q has only a build: galley runs images and never builds", s.out.Name)
	}
	s.out.Platform = s.platform()
	s.out.Pull = s.pull()
}

// platform completes a platform as the docker command line does: an architecture means linux, a system this machine's
// architecture, and the aliases of architectures are replaced.
// Source: github.com/containerd/platforms, Parse and Normalize.
func (s *serviceLowering) platform() string {
	if s.src.Platform == "" {
		return ""
	}
	parts := strings.Split(strings.ToLower(s.src.Platform), "/")
	if len(parts) == 1 {
		switch parts[0] {
		case "linux", "windows", "freebsd":
			parts = append(parts, runtime.GOARCH)
		default:
			parts = append([]string{"linux"}, parts...)
		}
	}
	for _, part := range parts {
		if part == "" || len(parts) > 3 {
			s.refuse("platform", codeInvalid, "write it as os/arch or os/arch/variant, as linux/arm64", "%q is no platform", s.src.Platform)
			return ""
		}
	}
	switch parts[1] {
	case "x86_64", "x86-64":
		parts[1] = "amd64"
	case "aarch64":
		parts[1] = "arm64"
	case "i386":
		parts[1] = "386"
	case "armhf":
		parts[1] = "arm"
	case "armel":
		parts = []string{parts[0], "arm", "v6"}
	}
	return strings.Join(parts, "/")
}

// pull lowers pull_policy (compose-spec, services: pull_policy).
func (s *serviceLowering) pull() Pull {
	policy, age, err := s.src.GetPullPolicy()
	switch {
	case err != nil:
		near := nearest(s.src.PullPolicy, "always missing never daily weekly if_not_present refresh",
			"use always, missing, never, daily, weekly or every_ with a time, as every_12h")
		s.refuse("pull_policy", codeInvalid, near, "%q is no pull policy", s.src.PullPolicy)
	case policy == types.PullPolicyBuild:
		s.warn("pull_policy", codeIgnored, "build and tag the image elsewhere, and import it before",
			"pull policy %q needs a build: galley runs images and never builds, so the image must be there", policy)
		return Pull{Policy: PullNever}
	case policy == types.PullPolicyAlways:
		return Pull{Policy: PullAlways}
	case policy == types.PullPolicyNever:
		return Pull{Policy: PullNever}
	case policy == types.PullPolicyRefresh:
		return Pull{Policy: PullRefresh, MaxAge: s.refreshAfter(age)}
	}
	return Pull{Policy: PullMissing, Explicit: s.src.PullPolicy != ""}
}

// refreshAfter is the age of "refresh", which stands in an attribute of its own.
func (s *serviceLowering) refreshAfter(age time.Duration) time.Duration {
	if s.src.PullPolicy != types.PullPolicyRefresh {
		return age
	}
	var after types.Duration
	if s.src.PullRefreshAfter == "" {
		s.refuse("pull_policy", codeInvalid, "add pull_refresh_after with a time, as 24h, or use daily, weekly or every_12h",
			"pull policy %q does not say after how long", s.src.PullPolicy)
	} else if err := after.DecodeMapstructure(s.src.PullRefreshAfter); err != nil || after <= 0 {
		s.refuse("pull_refresh_after", codeInvalid, "use a time, as 24h or 7d", "%q is no time", s.src.PullRefreshAfter)
	}
	return time.Duration(after)
}

// process lowers what the container's process is and sees.
func (s *serviceLowering) process() {
	c, h := &s.out.Config, &s.out.Host
	// docker compose sets them on every container; they matter only to clients that attach by the container's own settings.
	c.AttachStdout, c.AttachStderr = true, true
	s.command()
	c.Env = s.environment("environment", s.src.Environment)
	c.User, c.WorkingDir = s.src.User, s.src.WorkingDir
	s.checkWorkingDir("working_dir", c.WorkingDir)
	c.Tty, c.OpenStdin = s.src.Tty, s.src.StdinOpen
	c.Labels = s.labels()
	if len(s.src.Annotations) > 0 {
		h.Annotations = s.src.Annotations
		s.require("annotations", "1.43")
	}
	h.Init, h.GroupAdd = s.src.Init, s.src.GroupAdd
	s.out.NoAttach = s.src.Attach != nil && !*s.src.Attach
}

// command lowers command and entrypoint. Nil takes the image's, an empty list clears it.
//
// What the Engine makes of it (moby daemon/commit.go, merge): it fills in the image's CMD wherever neither is set, so an
// empty command alone clears nothing; an empty entrypoint clears the image's and keeps its CMD.
func (s *serviceLowering) command() {
	c := &s.out.Config
	if s.src.Entrypoint != nil {
		c.Entrypoint = strslice.StrSlice(s.src.Entrypoint)
	}
	if len(s.src.Command) > 0 {
		c.Cmd = strslice.StrSlice(s.src.Command)
	}
	cleared := s.src.Command != nil && len(s.src.Command) == 0
	switch {
	case cleared && s.src.Entrypoint == nil:
		s.out.ClearCommand = true
	case cleared && len(s.src.Entrypoint) == 0:
		s.warn("command", codeIgnored, "set one of them", "entrypoint and command are both cleared: the image's own command is run")
	}
}

// environment lowers a resolved environment. A variable without a value takes the image's away: the Engine does so for
// an entry without "=" (moby container/env.go, ReplaceOrAppendEnvVars).
func (s *serviceLowering) environment(attribute string, variables types.MappingWithEquals) []string {
	var env []string
	for _, key := range sortedKeys(variables) {
		switch value := variables[key]; {
		case key == "":
			s.refuse(attribute, codeInvalid, "", "a variable has no name")
		case value == nil:
			env = append(env, key)
		default:
			env = append(env, key+"="+*value)
		}
	}
	return env
}

// labels are the recipe's own; those that identify a container are the engine's to add.
func (s *serviceLowering) labels() map[string]string {
	for _, key := range sortedKeys(s.src.Labels) {
		if strings.HasPrefix(key, reservedLabels) {
			s.warn("labels."+key, codeIgnored, "choose another label", "label %q is reserved: what galley sets wins", key)
			s.atKey()
		}
	}
	return s.src.Labels
}

// reservedLabels is the prefix that the compose-spec reserves (services: labels).
const reservedLabels = "com.docker.compose."
