// Command withdocker runs a command with DOCKER_HOST set to a private Docker Engine, which ends with it:
//
//	go run ./cmd/withdocker [-version 28.5] [-images busybox,postgres] COMMAND [ARG…]
//
// Without a command it prints the address and keeps the Engine until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"galley/engine/enginetest/dockerd"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

type settings struct {
	dir     string
	version string
	reuse   bool
	images  []string
	command []string
}

func main() {
	var s settings
	var images string
	flag.StringVar(&s.dir, "dir", "", "`folder` in which the Engine keeps its own folder (default: the temporary one)")
	flag.StringVar(&s.version, "version", "", "Engine `version`: "+strings.Join(dockerd.Versions(), ", ")+" (default: the one that is installed)")
	flag.BoolVar(&s.reuse, "reuse", false, "use the Engine that answers at DOCKER_HOST or at the default socket, if one does")
	flag.StringVar(&images, "images", "busybox", "comma-separated `names` of the images to load: busybox, nginx, postgres, redis")
	flag.Parse()
	s.images = strings.FieldsFunc(images, func(r rune) bool { return r == ',' })
	s.command = flag.Args()

	// An interrupt from the keyboard goes to the command too: it ends first, then the Engine.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := s.run(ctx)
	stop()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func (s settings) run(ctx context.Context) (err error) {
	e, err := s.engine(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.done()) }()
	api := e.api
	loaded, err := s.load(ctx, api)
	if e.reused {
		defer func() { err = errors.Join(err, remove(context.WithoutCancel(ctx), api, loaded)) }()
	}
	if err != nil {
		return err
	}
	if len(s.command) == 0 {
		fmt.Printf("export DOCKER_HOST=%s\n", api.DaemonHost())
		<-ctx.Done()
		return nil
	}
	command := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 30 * time.Second
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), "DOCKER_HOST="+api.DaemonHost())
	return command.Run()
}

// engine is the Engine that the command gets.
type engine struct {
	api    *client.Client
	reused bool         // somebody else's: nothing may be left on it
	done   func() error // what ends it
}

// engine finds or starts an Engine.
func (s settings) engine(ctx context.Context) (engine, error) {
	if s.reuse {
		api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
		if err != nil {
			return engine{}, fmt.Errorf("reading DOCKER_HOST: %w", err)
		}
		if _, err := api.Ping(ctx); err == nil {
			fmt.Fprintf(os.Stderr, "using the Engine at %s\n", api.DaemonHost())
			return engine{api: api, reused: true, done: api.Close}, nil
		}
		if os.Getenv("DOCKER_HOST") != "" {
			return engine{}, fmt.Errorf("no Engine answers at DOCKER_HOST, %s", api.DaemonHost())
		}
	}
	if s.dir != "" {
		if err := os.MkdirAll(s.dir, 0o755); err != nil {
			return engine{}, fmt.Errorf("making the Engine's folder: %w", err)
		}
	}
	daemon, err := dockerd.Start(ctx, dockerd.Options{Dir: s.dir, Version: s.version, Log: os.Stderr})
	if err != nil {
		return engine{}, err
	}
	version, err := daemon.Client().ServerVersion(ctx)
	if err != nil {
		return engine{}, errors.Join(err, daemon.Stop())
	}
	fmt.Fprintf(os.Stderr, "started a private Docker Engine %s at %s\n", version.Version, daemon.Host())
	return engine{api: daemon.Client(), done: daemon.Stop}, nil
}

// load loads the images, and returns the names of those that the Engine did not have.
func (s settings) load(ctx context.Context, api *client.Client) (loaded []string, err error) {
	for _, name := range s.images {
		var names []string
		if name == "busybox" {
			names, err = loadBusybox(ctx, api)
		} else {
			names, err = loadSoftware(ctx, api, name)
		}
		if err != nil {
			return loaded, err
		}
		loaded = append(loaded, names...)
	}
	return loaded, nil
}

func loadBusybox(ctx context.Context, api *client.Client) ([]string, error) {
	busybox, err := dockerd.Busybox(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	busybox.Names = absent(ctx, api, busybox.Names)
	if len(busybox.Names) == 0 {
		return nil, nil
	}
	return busybox.Names, dockerd.LoadImage(ctx, api, busybox)
}

func loadSoftware(ctx context.Context, api *client.Client, name string) ([]string, error) {
	known := map[string]func() dockerd.Software{"nginx": dockerd.Nginx, "postgres": dockerd.Postgres, "redis": dockerd.Redis}
	software, ok := known[name]
	if !ok {
		return nil, fmt.Errorf("unknown image %q: known are busybox, nginx, postgres, redis", name)
	}
	missing := absent(ctx, api, []string{software().Name})
	if len(missing) == 0 {
		return nil, nil
	}
	return missing, dockerd.LoadSoftware(ctx, api, software(), os.Stderr)
}

// absent returns those images that the Engine does not have: someone's own are not replaced.
func absent(ctx context.Context, api *client.Client, names []string) (missing []string) {
	for _, name := range names {
		if _, err := api.ImageInspect(ctx, name); err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// remove removes the images that were loaded.
func remove(ctx context.Context, api *client.Client, names []string) error {
	var all []error
	for _, name := range names {
		if _, err := api.ImageRemove(ctx, name, image.RemoveOptions{}); err != nil {
			all = append(all, fmt.Errorf("removing the image %s: %w", name, err))
		}
	}
	return errors.Join(all...)
}
