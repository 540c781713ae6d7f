package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/go-connections/nat"
	"github.com/mattn/go-shellwords"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"galley/compose"
	"galley/engine"
)

// oneOffFlags are the flags of run with a SERVICE: docker compose's.
type oneOffFlags struct {
	consoleFlags
	detach, remove, noDeps, servicePorts, useAliases, quietPull, waitLock, build, accepted bool
	name, user, workdir, entrypoint, pull                                                  string
	env, envFiles, publish, volumes, labels, capAdd, capDrop                               []string
}

// addTo adds the flags, and returns their names.
func (o *oneOffFlags) addTo(f *pflag.FlagSet) (names []string) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.consoleFlags.addTo(own)
	own.BoolVarP(&o.detach, "detach", "d", false, "SERVICE: start the container, print its name, and return")
	own.BoolVar(&o.remove, "rm", false, "SERVICE: remove the container when it has ended")
	own.StringVar(&o.name, "name", "", "SERVICE: `NAME` of the container")
	own.StringArrayVarP(&o.env, "env", "e", nil, "SERVICE: environment variable `KEY=VALUE`; KEY alone takes the value from here; repeatable")
	own.StringArrayVar(&o.envFiles, "env-from-file", nil, "SERVICE: environment variables from this `FILE`; repeatable")
	own.StringVarP(&o.user, "user", "u", "", "SERVICE: `USER` that runs the command")
	own.StringVarP(&o.workdir, "workdir", "w", "", "SERVICE: `DIR` in the container that the command runs in")
	own.StringVar(&o.entrypoint, "entrypoint", "", "SERVICE: `COMMAND` in place of the entrypoint")
	own.BoolVar(&o.noDeps, "no-deps", false, "SERVICE: leave out the services that it needs")
	own.BoolVarP(&o.servicePorts, "service-ports", "P", false, "SERVICE: publish the service's ports")
	own.StringArrayVarP(&o.publish, "publish", "p", nil, "SERVICE: publish this `PORT`, as [[IP:]HOST:]CONTAINER[/PROTOCOL]; repeatable")
	own.StringArrayVarP(&o.volumes, "volume", "v", nil, "SERVICE: mount this `VOLUME`, as SOURCE:TARGET[:OPTIONS]; repeatable")
	own.BoolVar(&o.useAliases, "use-aliases", false, "SERVICE: answer to the service's names on its networks")
	own.StringArrayVarP(&o.labels, "label", "l", nil, "SERVICE: `LABEL` of the container, as KEY=VALUE; repeatable")
	own.StringArrayVar(&o.capAdd, "cap-add", nil, "SERVICE: `CAPABILITY` to add; repeatable")
	own.StringArrayVar(&o.capDrop, "cap-drop", nil, "SERVICE: `CAPABILITY` to drop; repeatable")
	own.Var(newChoice(&o.pull, "policy", "policy", "always", "missing", "never"), "pull", "SERVICE: when to pull images: policy (as the recipe says), always, missing, never")
	own.BoolVar(&o.quietPull, "quiet-pull", false, "SERVICE: pull without showing progress")
	own.BoolVar(&o.waitLock, "wait-lock", false, "SERVICE: wait while another process changes the project")
	own.BoolVar(&o.build, "build", false, "")
	own.BoolVarP(&o.accepted, "quiet", "q", false, "")
	own.BoolVar(&o.accepted, "quiet-build", false, "")
	for _, name := range []string{"build", "quiet", "quiet-build"} {
		own.Lookup(name).Hidden = true
	}
	own.VisitAll(func(flag *pflag.Flag) {
		f.AddFlag(flag)
		names = append(names, flag.Name)
	})
	return names
}

// checkRunFlags refuses flags of the supervisor with a SERVICE, and those of a one-off without one.
func checkRunFlags(cmd *cobra.Command, oneOff []string, service bool) error {
	var wrong error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		both := f.Name == "remove-orphans" || cmd.Root().Flags().Lookup(f.Name) != nil && !slices.Contains(oneOff, f.Name)
		switch {
		case both:
		case service && !slices.Contains(oneOff, f.Name):
			wrong = &usageError{err: fmt.Errorf("--%s is for the supervisor, and not for one run of a service", f.Name)}
		case !service && f.Name == "publish":
			wrong = &usageError{err: errors.New("-p needs a SERVICE whose port it publishes"), hint: "the project's name stands before the command: galley -p NAME run"}
		case !service && slices.Contains(oneOff, f.Name):
			wrong = &usageError{err: fmt.Errorf("--%s needs a SERVICE to run once", f.Name)}
		}
	})
	return wrong
}

// runOnce runs a command in a container of a service's, made for that.
func (c *cli) runOnce(ctx context.Context, o *oneOffFlags, removeOrphans bool, service string, args []string) error {
	if o.build {
		return &usageError{err: errors.New("--build: galley runs images and never builds them")}
	}
	c.named = []string{service}
	guard, locks := c.guard(ctx, "run "+service, o.waitLock)
	defer locks.release()
	s, err := c.survey(ctx, guard)
	if err != nil {
		return err
	}
	defer s.engine.Close()
	if err := knownService(s.project, service); err != nil {
		return err
	}
	once, err := c.once(o, s.project, service, args)
	if err != nil {
		return err
	}
	opts := c.beside(s.project.Name, engine.DiffOptions{OneOff: once, NoDeps: o.noDeps, RemoveOrphans: removeOrphans})
	if o.pull != "policy" {
		opts.Pull = compose.PullPolicy(o.pull)
	}
	if err := c.createOnce(ctx, o, s, opts); err != nil || c.global.dryRun {
		return err
	}
	locks.release()
	if o.detach {
		if err := s.engine.Start(ctx, once.Name); err != nil {
			return err
		}
		fmt.Fprintln(c.out, once.Name)
		return nil
	}
	return c.converse(ctx, &o.consoleFlags, func(ctx context.Context, console engine.Console) (int, error) {
		return s.engine.StartAttached(ctx, once, console)
	})
}

// createOnce brings up what the container needs, and creates it; with --dry-run it shows what that takes.
func (c *cli) createOnce(ctx context.Context, o *oneOffFlags, s *survey, opts engine.DiffOptions) error {
	fresh, err := s.engine.Refresh(ctx, s.project, s.state, opts)
	if err != nil {
		return err
	}
	if !c.global.dryRun && !fresh.Empty() {
		if err := c.apply(ctx, s.engine, fresh, "pull "+s.project.Name); err != nil {
			return err
		}
		if s.state, err = s.engine.State(ctx, s.project.Name); err != nil {
			return err
		}
	}
	plan, err := engine.Diff(s.project, s.state, opts)
	if err != nil {
		return err
	}
	if c.global.dryRun {
		return c.printPlan(behind(fresh, plan), "text")
	}
	if o.quietPull {
		return c.applyShown(ctx, s.engine, plan, "run "+s.project.Name, withoutProgress)
	}
	return c.apply(ctx, s.engine, plan, "run "+s.project.Name)
}

// once is the service as it runs this once. Its restart policy does not count, nor its fixed name, nor, unless asked for, its
// ports and its names on the networks.
func (c *cli) once(o *oneOffFlags, p *compose.Project, service string, args []string) (*engine.OneOff, error) {
	s := *p.Service(service)
	slug := make([]byte, 6)
	if _, err := rand.Read(slug); err != nil {
		return nil, err
	}
	name := cmp.Or(o.name, strings.Join([]string{p.Name, service, "run", hex.EncodeToString(slug)}, p.Separator))
	s.ContainerName = ""
	s.Host.RestartPolicy = container.RestartPolicy{}
	s.Host.AutoRemove = o.remove
	s.Endpoints = slices.Clone(s.Endpoints)
	for i := range s.Endpoints {
		if !o.useAliases {
			s.Endpoints[i].Settings.Aliases = nil
		}
	}
	s.Config.OpenStdin, s.Config.StdinOnce = o.interactive && !o.detach, o.interactive && !o.detach
	s.Config.AttachStdin, s.Config.AttachStdout, s.Config.AttachStderr = s.Config.OpenStdin, !o.detach, !o.detach
	s.Config.Tty = !o.detach && c.hasTTY(&o.consoleFlags)
	for _, change := range []func() error{
		func() error { return o.changeCommand(&s, args) },
		func() error { return o.changeEnvironment(c, &s) },
		func() error { return o.changePorts(&s) },
		func() error { return o.changeMounts(c, p, &s) },
	} {
		if err := change(); err != nil {
			return nil, &usageError{err: err}
		}
	}
	o.changeCapabilities(&s)
	return &engine.OneOff{Service: &s, Name: name}, nil
}

func (o *oneOffFlags) changeCommand(s *compose.Service, args []string) error {
	if o.entrypoint != "" {
		words, err := shellwords.Parse(o.entrypoint)
		if err != nil {
			return fmt.Errorf("--entrypoint %q: %w", o.entrypoint, err)
		}
		s.Config.Entrypoint, s.Config.Cmd, s.ClearCommand = words, nil, false
	}
	if len(args) > 0 {
		s.Config.Cmd, s.ClearCommand = args, false
	}
	s.Config.User = cmp.Or(o.user, s.Config.User)
	s.Config.WorkingDir = cmp.Or(o.workdir, s.Config.WorkingDir)
	return nil
}

// changeEnvironment adds the variables of the files, and then those of the flags.
func (o *oneOffFlags) changeEnvironment(c *cli, s *compose.Service) error {
	var more []string
	for _, path := range o.envFiles {
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.dir, path)
		}
		vars, err := dotenv.ReadWithLookup(func(key string) (string, bool) { value := c.getenv(key); return value, value != "" }, path)
		if err != nil {
			return fmt.Errorf("--env-from-file: %w", err)
		}
		for key, value := range vars {
			more = append(more, key+"="+value)
		}
	}
	slices.Sort(more)
	env := slices.Clone(s.Config.Env)
	for _, entry := range append(more, c.resolved(o.env)...) {
		key, _, _ := strings.Cut(entry, "=")
		env = slices.DeleteFunc(env, func(have string) bool { return have == key || strings.HasPrefix(have, key+"=") })
		env = append(env, entry)
	}
	s.Config.Env = env
	labels := map[string]string{}
	for key, value := range s.Config.Labels {
		labels[key] = value
	}
	for _, entry := range o.labels {
		key, value, _ := strings.Cut(entry, "=")
		labels[key] = value
	}
	s.Config.Labels = labels
	return nil
}

func (o *oneOffFlags) changePorts(s *compose.Service) error {
	if !o.servicePorts {
		s.Host.PortBindings = nil
	}
	exposed, bindings, err := nat.ParsePortSpecs(o.publish)
	if err != nil {
		return fmt.Errorf("--publish: %w", err)
	}
	ports, bound := nat.PortSet{}, nat.PortMap{}
	for port := range s.Config.ExposedPorts {
		ports[port] = struct{}{}
	}
	for port := range exposed {
		ports[port] = struct{}{}
	}
	for _, some := range []nat.PortMap{s.Host.PortBindings, bindings} {
		for port, binding := range some {
			bound[port] = append(bound[port], binding...)
		}
	}
	s.Config.ExposedPorts, s.Host.PortBindings = ports, bound
	return nil
}

// changeMounts adds the volumes of the flags: a path of this machine, a volume of the recipe or another one, or an anonymous
// one.
func (o *oneOffFlags) changeMounts(c *cli, p *compose.Project, s *compose.Service) error {
	s.Host.Binds = slices.Clone(s.Host.Binds)
	for _, volume := range o.volumes {
		source, rest, named := strings.Cut(volume, ":")
		switch {
		case volume == "" || named && (source == "" || !strings.HasPrefix(rest, "/")):
			return fmt.Errorf("--volume %q: must be SOURCE:TARGET[:OPTIONS], with an absolute TARGET", volume)
		case !named:
			volumes := map[string]struct{}{source: {}}
			for path := range s.Config.Volumes {
				volumes[path] = struct{}{}
			}
			s.Config.Volumes = volumes
			continue
		case strings.HasPrefix(source, "~/"):
			source = filepath.Join(c.getenv("HOME"), source[2:])
		case strings.HasPrefix(source, "."):
			source = filepath.Join(c.dir, source)
		default:
			for _, v := range p.Volumes {
				if v.Key == source {
					source = v.Name
					break
				}
			}
		}
		target, _, _ := strings.Cut(rest, ":")
		clearMount(s, target)
		s.Host.Binds = append(s.Host.Binds, source+":"+rest)
	}
	return nil
}

// clearMount takes away what the service mounts at a path: that of the flag takes its place.
func clearMount(s *compose.Service, target string) {
	s.Host.Mounts = slices.DeleteFunc(slices.Clone(s.Host.Mounts), func(m mount.Mount) bool { return m.Target == target })
	s.Host.Binds = slices.DeleteFunc(s.Host.Binds, func(bind string) bool {
		parts := strings.SplitN(bind, ":", 3)
		return len(parts) > 1 && parts[1] == target
	})
	s.Config.Volumes, s.Host.Tmpfs = maps.Clone(s.Config.Volumes), maps.Clone(s.Host.Tmpfs)
	delete(s.Config.Volumes, target)
	delete(s.Host.Tmpfs, target)
}

// changeCapabilities adds and drops; what is added is no longer dropped, and the other way round.
func (o *oneOffFlags) changeCapabilities(s *compose.Service) {
	without := func(all, some []string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(some, name) })
	}
	s.Host.CapAdd = append(without(s.Host.CapAdd, o.capDrop), o.capAdd...)
	s.Host.CapDrop = append(without(s.Host.CapDrop, o.capAdd), o.capDrop...)
}
