package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"galley/engine/enginetest/dockerd"
)

// tool is one contestant: its command lines, by what they do. A nil one means that the tool has nothing for that.
type tool struct {
	name    string
	program string // the file whose size counts; empty where it is not one file
	env     []string
	modern  bool // knows the Compose specification, so gates and healthchecks in a recipe without a version
	up      func(recipe, project string) []string
	plan    func(recipe, project string) []string
	check   func(recipe string) []string
	down    func(recipe, project string) []string
}

// contestants returns galley, and then those of its peers that can be had.
func contestants(ctx context.Context, galley, self string) ([]tool, error) {
	all := []tool{
		{
			name:    "galley",
			program: galley,
			modern:  true,
			up:      func(r, p string) []string { return []string{galley, "-f", r, "-p", p, "up", "-d"} },
			plan:    func(r, p string) []string { return []string{galley, "-f", r, "-p", p, "plan"} },
			check:   func(r string) []string { return []string{galley, "-f", r, "check", "-q"} },
			down:    func(r, p string) []string { return []string{galley, "-f", r, "-p", p, "down"} },
		},
		{
			name: "bare calls",
			up:   func(r, p string) []string { return []string{self, "bare", r, p} },
		},
	}
	for _, find := range []func(context.Context) (tool, error){composeV2, composeV1} {
		peer, err := find(ctx)
		if reason := (*dockerd.UnavailableError)(nil); errors.As(err, &reason) {
			fmt.Fprintf(os.Stderr, "LEFT OUT: docker-compose: %s\n", reason.Reason)
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, peer)
	}
	return all, nil
}

// composeV2 is the newest docker-compose 2 of Debian: one program.
func composeV2(ctx context.Context) (tool, error) {
	program, version, err := dockerd.DockerCompose(ctx, os.Stderr)
	if err != nil {
		return tool{}, err
	}
	peer := compose(version, os.Environ(), program)
	peer.program, peer.modern = program, true
	peer.plan = func(r, p string) []string { return []string{program, "-f", r, "-p", p, "up", "-d", "--dry-run"} }
	return peer, nil
}

// composeV1 is docker-compose 1.29, in Python, the last of its line. It brings its own Python, because the machine's may
// be too new for it.
func composeV1(ctx context.Context) (tool, error) {
	root, err := dockerd.Unpack(ctx, dockerd.Packages{
		Suite:        "bookworm",
		Names:        []string{"docker-compose"},
		Dependencies: true,
		Without:      []string{"libc6", "perl-base", "dpkg", "debconf", "tar"},
	}, os.Stderr)
	if err != nil {
		return tool{}, err
	}
	libraries, err := filepath.Glob(filepath.Join(root, "*/lib/*-linux-gnu"))
	if err != nil {
		return tool{}, fmt.Errorf("finding Python's libraries: %w", err)
	}
	also, err := filepath.Glob(filepath.Join(root, "lib/*-linux-gnu"))
	if err != nil {
		return tool{}, fmt.Errorf("finding Python's libraries: %w", err)
	}
	env := append(os.Environ(), "PYTHONHOME="+filepath.Join(root, "usr"), "LD_LIBRARY_PATH="+strings.Join(append(libraries, also...), ":"))
	python, script := filepath.Join(root, "usr/bin/python3"), filepath.Join(root, "usr/bin/docker-compose")
	probe := exec.CommandContext(ctx, python, script, "version", "--short")
	probe.Env = env
	version, err := probe.CombinedOutput()
	if err != nil {
		return tool{}, &dockerd.UnavailableError{Reason: fmt.Sprintf("it does not run here: %v: %s", err, version)}
	}
	return compose(strings.TrimSpace(string(version)), env, python, script), nil
}

// compose describes a docker-compose that these words call.
func compose(version string, env []string, words ...string) tool {
	with := func(more ...string) []string { return append(append([]string{}, words...), more...) }
	return tool{
		name:  "docker-compose " + version,
		env:   env,
		up:    func(r, p string) []string { return with("-f", r, "-p", p, "up", "-d") },
		check: func(r string) []string { return with("-f", r, "config", "-q") },
		down:  func(r, p string) []string { return with("-f", r, "-p", p, "down") },
	}
}
