package dockerd

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
)

// DockerCompose fetches the newest docker-compose 2 of Debian into the cache, one program that needs nothing else, and returns
// its path and its version, such as "2.40.3". Where it can't be had, or doesn't run here, the error is an [*UnavailableError].
func DockerCompose(ctx context.Context, log io.Writer) (program, version string, err error) {
	root, err := Unpack(ctx, Packages{Suite: "sid", Names: []string{"docker-compose"}}, log)
	if err != nil {
		return "", "", err
	}
	program = filepath.Join(root, "usr/libexec/docker/cli-plugins/docker-compose")
	said, err := exec.CommandContext(ctx, program, "version", "--short").CombinedOutput()
	if err != nil {
		return "", "", &UnavailableError{fmt.Sprintf("docker-compose does not run here: %v: %s", err, said)}
	}
	version, _, _ = strings.Cut(strings.TrimSpace(string(said)), "-") // the packaging's own number
	return program, version, nil
}
