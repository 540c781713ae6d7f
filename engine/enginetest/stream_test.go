package enginetest_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"galley/engine/enginetest"
)

// split reads a multiplexed stream to its end.
func split(t *testing.T, r io.Reader) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	if _, copied := stdcopy.StdCopy(&out, &err, r); copied != nil {
		t.Fatal(copied)
	}
	return out.String(), err.String()
}

func TestLogsAreFollowedToTheEnd(t *testing.T) {
	_, docker := dial(t)
	ctx := deadline(t)
	run(t, docker, "talks", sh("echo one; echo two >&2; sleep 0.05; echo three; printf four"), container.HostConfig{})
	logs, err := docker.ContainerLogs(ctx, "talks", container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	if out, errs := split(t, logs); out != "one\nthree\nfour\n" || errs != "two\n" {
		t.Errorf("got %q and %q", out, errs)
	}
	logs, err = docker.ContainerLogs(ctx, "talks", container.LogsOptions{ShowStdout: true, Tail: "2", Timestamps: true})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	out, _ := split(t, logs)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], "Z three") || len(lines[0]) != len("2006-01-02T15:04:05.000000000Z three") {
		t.Errorf("got %q, want the last two lines with their times", lines)
	}
}

func TestATerminalsLogIsRaw(t *testing.T) {
	_, docker := dial(t)
	config := sh("echo plain")
	config.Tty = true
	run(t, docker, "tty", config, container.HostConfig{})
	wait(t, docker, "tty")
	logs, err := docker.ContainerLogs(deadline(t), "tty", container.LogsOptions{ShowStdout: true})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	if got, err := io.ReadAll(logs); err != nil || string(got) != "plain\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func exec(t *testing.T, docker *client.Client, name, stdin string, argv ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx := deadline(t)
	made, err := docker.ContainerExecCreate(ctx, name, container.ExecOptions{Cmd: argv, AttachStdin: stdin != "", AttachStdout: true, AttachStderr: true, Env: []string{"EXTRA=1"}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := docker.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if stdin != "" {
		if _, err := io.WriteString(conn.Conn, stdin); err != nil {
			t.Fatal(err)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr = split(t, conn.Reader)
	done, err := docker.ContainerExecInspect(ctx, made.ID)
	if err != nil || done.Running {
		t.Fatalf("got %+v, %v, want it ended", done, err)
	}
	return stdout, stderr, done.ExitCode
}

func TestExecRunsInTheContainer(t *testing.T) {
	_, docker := dial(t)
	run(t, docker, "box", container.Config{Cmd: []string{"sleep", "infinity"}, Env: []string{"COLOR=blue"}}, container.HostConfig{})
	out, errs, code := exec(t, docker, "box", "from outside", "sh", "-c", "echo $COLOR $EXTRA; cat; echo bad >&2; echo kept > /tmp/file; exit 4")
	if out != "blue 1\nfrom outside" || errs != "bad\n" || code != 4 {
		t.Errorf("got %q, %q, %d", out, errs, code)
	}
	if out, _, code := exec(t, docker, "box", "", "cat", "/tmp/file"); out != "kept\n" || code != 0 {
		t.Errorf("got %q, %d, want what was written before", out, code)
	}
	if out, _, code := exec(t, docker, "box", "", "nope"); !strings.Contains(out, `exec: "nope": executable file not found in $PATH`) || code != 127 {
		t.Errorf("got %q, %d", out, code)
	}
}

func TestAttachPassesBothWays(t *testing.T) {
	_, docker := dial(t)
	ctx := deadline(t)
	id := create(t, docker, "talk", container.Config{Cmd: []string{"sh", "-c", "read NAME; echo hello $NAME"}, OpenStdin: true, AttachStdin: true}, container.HostConfig{})
	conn, err := docker.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := docker.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn.Conn, "world\n"); err != nil {
		t.Fatal(err)
	}
	if out, _ := split(t, conn.Reader); out != "hello world\n" {
		t.Errorf("got %q", out)
	}
}

func TestFilesAreCopiedInAndOut(t *testing.T) {
	_, docker := dial(t)
	ctx := deadline(t)
	id := create(t, docker, "box", container.Config{Cmd: []string{"cat", "/etc/app/secret"}}, container.HostConfig{})
	var body bytes.Buffer
	w := tar.NewWriter(&body)
	if err := w.WriteHeader(&tar.Header{Name: "app/secret", Mode: 0o400, Size: 5, Uid: 7}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("shh!\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := docker.CopyToContainer(ctx, id, "/etc", &body, container.CopyToContainerOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := docker.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	if code := wait(t, docker, id); code != 0 {
		t.Errorf("the copied file was not found: exit code %d", code)
	}
	out, stat, err := docker.CopyFromContainer(ctx, id, "/etc/app/secret")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	r := tar.NewReader(out)
	head, err := r.Next()
	if err != nil || head.Name != "secret" || head.Uid != 7 || head.Mode != 0o400 || stat.Size != 5 {
		t.Errorf("got %+v, %+v, %v", head, stat, err)
	}
	if _, _, err := docker.CopyFromContainer(ctx, id, "/nope"); !errdefs.IsNotFound(err) {
		t.Errorf("got %v, want not found", err)
	}
}

// pull reads a pull's stream to its end and returns its last status, or its error.
func pull(ctx context.Context, docker *client.Client, ref string, opts image.PullOptions) (status, problem string) {
	stream, err := docker.ImagePull(ctx, ref, opts)
	if err != nil {
		return "", err.Error()
	}
	defer stream.Close()
	for lines := json.NewDecoder(stream); ; {
		var line struct{ Status, Error string }
		switch err := lines.Decode(&line); {
		case err == io.EOF:
			return status, ""
		case err != nil:
			return status, err.Error()
		case line.Error != "":
			return status, line.Error
		}
		status = line.Status
	}
}

func TestPullsSucceedAndFail(t *testing.T) {
	e, docker := dial(t)
	ctx := deadline(t)
	e.AddRemote(enginetest.Image{Ref: "app:1", Cmd: []string{"true"}}, nil)
	e.AddRemote(enginetest.Image{Ref: "flaky:1"}, &enginetest.PullFault{Times: 1, Status: http.StatusBadGateway, Message: "bad gateway"})
	e.AddRemote(enginetest.Image{Ref: "broken:1"}, &enginetest.PullFault{Break: true})
	e.AddRemote(enginetest.Image{Ref: "late:1"}, &enginetest.PullFault{InStream: true, Message: "toomanyrequests: slow down"})
	e.AddRemote(enginetest.Image{Ref: "private:1", Cmd: []string{"secretive"}}, nil)
	e.Protect("private:1", "me:secret")
	login, err := registry.EncodeAuthConfig(registry.AuthConfig{Username: "me", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ref, auth, status, problem string
	}{
		{"app:1", "", "Status: Downloaded newer image for app:1", ""},
		{"app:1", "", "Status: Image is up to date for app:1", ""},
		{"app:2", "", "", "manifest for app:2 not found: manifest unknown"},
		{"unknown:1", "", "", "pull access denied for unknown"},
		{"localhost:1/unknown:1", "", "", "connection refused"},
		{"flaky:1", "", "", "bad gateway"},
		{"flaky:1", "", "Status: Downloaded newer image for flaky:1", ""},
		{"broken:1", "", "Downloading", "EOF"},
		{"late:1", "", "Downloading", "toomanyrequests: slow down"},
		{"private:1", "", "", "pull access denied for private"},
		{"private:1", login, "Status: Downloaded newer image for private:1", ""},
	} {
		status, problem := pull(ctx, docker, c.ref, image.PullOptions{RegistryAuth: c.auth})
		if status != c.status || !strings.Contains(problem, c.problem) || (problem == "") != (c.problem == "") {
			t.Errorf("%s: got %q, %q, want %q, %q", c.ref, status, problem, c.status, c.problem)
		}
	}
	got, err := docker.ImageInspect(ctx, "app:1")
	if err != nil || len(got.RepoDigests) != 1 {
		t.Fatalf("got %+v, %v, want a digest", got, err)
	}
	if byDigest, err := docker.ImageInspect(ctx, got.RepoDigests[0]); err != nil || byDigest.ID != got.ID {
		t.Errorf("got %s, %v, want it found by its digest", byDigest.ID, err)
	}
}

func TestAnArchiveIsLoaded(t *testing.T) {
	_, docker := dial(t)
	ctx := deadline(t)
	const layer = "content"
	diffID := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(layer)))
	var body bytes.Buffer
	w := tar.NewWriter(&body)
	for name, text := range map[string]string{
		"l/layer.tar":   layer,
		"manifest.json": `[{"Config":"c.json","RepoTags":["loaded:1"],"Layers":["l/layer.tar"]}]`,
		"c.json":        `{"architecture":"amd64","os":"linux","config":{"Cmd":["sleep","infinity"],"Volumes":{"/data":{}}},"rootfs":{"type":"layers","diff_ids":["` + diffID + `"]}}`,
	} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	load := func(r io.Reader) string {
		answer, err := docker.ImageLoad(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := load(&body); !strings.Contains(got, "Loaded image: loaded:1") {
		t.Errorf("got %s", got)
	}
	got, err := docker.ImageInspect(ctx, "loaded:1")
	if err != nil || len(got.RootFS.Layers) != 1 || got.RootFS.Layers[0] != diffID || got.Config.Cmd[0] != "sleep" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := load(strings.NewReader("this is no archive")); !strings.Contains(got, `"error"`) {
		t.Errorf("got %s, want an error in the stream", got)
	}
}
