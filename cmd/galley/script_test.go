package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/rogpeppe/go-internal/testscript"

	"galley/compose"
	"galley/engine/enginetest"
	"galley/engine/enginetest/dockerd"
)

// noPause keeps the race detector from its pause of a second at each program's end, which is for reports by threads that
// are in the midst of one. What has raced before ends a program with another exit code all the same.
const noPause = "atexit_sleep_ms=0"

// TestMain lets the scripts run this very program: the test binary under the name galley.
func TestMain(m *testing.M) {
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", noPause) // for the programs that are begun here
	}
	flag.Bool("update", false, "write what is printed into the scripts")
	testscript.Main(m, map[string]func(){"galley": main, "ssh": sshHome})
}

// sshHome stands in for ssh, where a script makes galley reach an Engine by it: the other side is this machine, and what is
// passed on comes from and goes to the socket that THIS_ENGINE names.
func sshHome() {
	fmt.Fprintln(os.Stderr, "ssh", strings.Join(os.Args[1:], " "))
	engine, err := net.Dial("unix", strings.TrimPrefix(os.Getenv("THIS_ENGINE"), "unix://"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "ssh: connect to host:", err)
		os.Exit(255)
	}
	go func() {
		_, _ = io.Copy(engine, os.Stdin)
		_ = engine.(*net.UnixConn).CloseWrite()
	}()
	_, _ = io.Copy(os.Stdout, engine)
}

// TestScripts runs testdata/script. Those that ask for an engine run against the one in memory and against a real one:
//
//	engine                  any Engine; busybox:latest is there
//	engine memory [FAULT]   the one in memory alone: api=1.30 speaks that version, hang never answers, registry has images
//	                        to pull: reg.example:5000/open:1 and other:1, and private:1 for robot with the password s3cr3t
//
// Others need none. A script's project has the script's name, with "-" for "_".
func TestScripts(t *testing.T) {
	all, err := filepath.Glob(filepath.Join("..", "..", "testdata", "script", "*.txt"))
	if err != nil || len(all) == 0 {
		t.Fatalf("no scripts found: %v", err)
	}
	var offline, memory, anywhere []string
	for _, script := range all {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		switch lines := strings.Split(string(text), "\n"); {
		case slices.Contains(lines, "engine"):
			anywhere = append(anywhere, script)
		case slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "engine memory") }):
			memory = append(memory, script)
		default:
			offline = append(offline, script)
		}
	}
	t.Run("offline", func(t *testing.T) { runScripts(t, offline, nil) })
	t.Run("memory", func(t *testing.T) { runScripts(t, append(anywhere, memory...), inMemory) })
	t.Run("dockerd", func(t *testing.T) {
		daemon := dockerd.ForTest(t)
		runScripts(t, anywhere, func(ts *testscript.TestScript, _ []string) string {
			project := projectOf(ts)
			ts.Defer(func() { sweep(t, daemon.Host(), project) })
			return daemon.Host()
		})
	})
}

// provide gives a script an Engine and returns its address.
type provide func(ts *testscript.TestScript, args []string) (host string)

func runScripts(t *testing.T, files []string, engine provide) {
	testscript.Run(t, testscript.Params{
		Files:              files,
		UpdateScripts:      flag.Lookup("update").Value.String() == "true",
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", os.Getenv("GORACE"))
			e.Setenv("GALLEY_RUN_DIR", filepath.Join(e.WorkDir, ".run"))
			e.Setenv("GALLEY_STATE_DIR", filepath.Join(e.WorkDir, ".state"))
			e.Setenv("DOCKER_HOST", "unix:///no/engine/was/asked/for")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"engine": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv("DOCKER_HOST", engine(ts, args))
			},
			"exits": exits,
		},
	})
}

// exits runs a program that must end with the exit code given: exits CODE PROGRAM ARGS...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		got = failed.ExitCode()
	case err != nil:
		ts.Fatalf("running %s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// projectOf is the project's name by a script's file.
func projectOf(ts *testscript.TestScript) string {
	return strings.ReplaceAll(ts.Name(), "_", "-")
}

// inMemory starts an Engine in memory for the script alone.
func inMemory(ts *testscript.TestScript, args []string) string {
	options := []enginetest.Option{enginetest.WithAPI("1.41"), enginetest.WithSpeed(10)}
	hang, registry := false, false
	for _, arg := range args {
		switch version, api := strings.CutPrefix(arg, "api="); {
		case api:
			options = append(options, enginetest.WithAPI(version))
		case arg == "hang":
			hang = true
		case arg == "registry":
			registry = true
		case arg != "memory":
			ts.Fatalf("unknown option of engine: %q", arg)
		}
	}
	e, err := enginetest.Start(options...)
	ts.Check(err)
	ts.Defer(e.Close)
	e.AddImage(enginetest.Image{Ref: "busybox:latest", Cmd: []string{"sh"}})
	if registry {
		e.AddRemote(enginetest.Image{Ref: "reg.example:5000/open:1"}, nil)
		e.AddRemote(enginetest.Image{Ref: "reg.example:5000/private:1"}, nil)
		e.AddRemote(enginetest.Image{Ref: "reg.example:5000/other:1"}, nil)
		e.Protect("reg.example:5000/private:1", "robot:s3cr3t")
	}
	if hang {
		e.Intercept(func(enginetest.Call) *enginetest.Fault { return &enginetest.Fault{Hang: true} })
	}
	return e.Host()
}

// sweep removes what a script left of its project on a real Engine.
func sweep(t *testing.T, host, project string) {
	docker, err := client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer docker.Close()
	ctx := context.WithoutCancel(t.Context()) // a clean-up comes after the test's end
	own := filters.NewArgs(filters.Arg("label", compose.LabelProject+"="+project))
	containers, err := docker.ContainerList(ctx, container.ListOptions{All: true, Filters: own})
	for _, c := range containers {
		err = errors.Join(err, docker.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	}
	networks, listing := docker.NetworkList(ctx, network.ListOptions{Filters: own})
	for _, n := range networks {
		listing = errors.Join(listing, docker.NetworkRemove(ctx, n.ID))
	}
	volumes, reading := docker.VolumeList(ctx, volume.ListOptions{Filters: own})
	for _, v := range volumes.Volumes {
		reading = errors.Join(reading, docker.VolumeRemove(ctx, v.Name, true))
	}
	if err := errors.Join(err, listing, reading); err != nil {
		t.Errorf("cleaning up project %s: %v", project, err)
	}
}
