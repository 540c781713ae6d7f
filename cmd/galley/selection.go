package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"galley/compose"
	"galley/engine"
)

// selection are the flags that say what a plan is to bring about; plan and up share them.
type selection struct {
	removeOrphans, ignoreOrphans                                           bool
	forceRecreate, recreateDeps, noRecreate, noDeps, noStart, renewVolumes bool
	scale                                                                  scale
	pull                                                                   string
	timeout                                                                int
	recreateVolumes                                                        []string
}

func (s *selection) addTo(f *pflag.FlagSet, c *cli) {
	f.BoolVar(&s.removeOrphans, "remove-orphans", envBool(c.getenv("COMPOSE_REMOVE_ORPHANS")), "remove containers and networks of the project that the recipe does not define (COMPOSE_REMOVE_ORPHANS)")
	f.BoolVar(&s.ignoreOrphans, "ignore-orphans", envBool(c.getenv("COMPOSE_IGNORE_ORPHANS")), "say nothing of containers that the recipe does not define (COMPOSE_IGNORE_ORPHANS)")
	f.BoolVar(&s.forceRecreate, "force-recreate", false, "replace containers that are as wanted, of the services named")
	f.BoolVar(&s.recreateDeps, "always-recreate-deps", false, "replace the containers of what the services named need, too")
	f.BoolVar(&s.noRecreate, "no-recreate", false, "keep containers that are not as wanted")
	f.BoolVar(&s.noDeps, "no-deps", false, "leave out what the services need")
	f.BoolVar(&s.noStart, "no-start", false, "create without starting")
	f.Var(&s.scale, "scale", "run `SERVICE=NUMBER` replicas; repeatable")
	f.Var(newChoice(&s.pull, "policy", "policy", "always", "missing", "never"), "pull", "when to pull images: policy (as the recipe says), always, missing, never")
	f.StringArrayVar(&s.recreateVolumes, "recreate-volumes", nil, "make the volume of that `NAME` anew if its definition changed: all data in it is lost; repeatable")
	f.BoolVarP(&s.renewVolumes, "renew-anon-volumes", "V", false, "give replaced containers new anonymous volumes: all data in those that they had is lost")
	f.IntVarP(&s.timeout, "timeout", "t", 0, "`SECONDS` that containers get to stop (default: as each says)")
}

// options are the flags as the engine takes them, for the services named.
func (s *selection) options(cmd *cobra.Command, services []string) (engine.DiffOptions, error) {
	opts := engine.DiffOptions{
		Services:      services,
		NoDeps:        s.noDeps,
		RemoveOrphans: s.removeOrphans,
		IgnoreOrphans: s.ignoreOrphans,
		ForceRecreate: s.forceRecreate,
		RecreateDeps:  s.recreateDeps,
		NoRecreate:    s.noRecreate,
		NoStart:       s.noStart,
		StopTimeout:   timeoutFlag(cmd, s.timeout),
		Scale:         s.scale.replicas,

		RecreateVolumes: s.recreateVolumes,
		RenewAnonymous:  s.renewVolumes,
	}
	if s.pull != "policy" {
		opts.Pull = compose.PullPolicy(s.pull)
	}
	if s.removeOrphans && s.ignoreOrphans {
		return opts, contradiction("--remove-orphans", "--ignore-orphans")
	}
	if s.forceRecreate && s.noRecreate {
		return opts, contradiction("--force-recreate", "--no-recreate")
	}
	if s.recreateDeps && s.noRecreate {
		return opts, contradiction("--always-recreate-deps", "--no-recreate")
	}
	return opts, nil
}

// contradiction is the mistake of giving two flags that exclude each other.
func contradiction(a, b string) error {
	return &usageError{err: fmt.Errorf("%s and %s exclude each other", a, b)}
}

// timeoutFlag is the value of --timeout, or nil if it wasn't given: 0 seconds is a wish too.
func timeoutFlag(cmd *cobra.Command, seconds int) *int {
	if !cmd.Flags().Changed("timeout") {
		return nil
	}
	return &seconds
}

// scale is the value of --scale.
type scale struct {
	replicas map[string]int
}

func (s *scale) Type() string { return "SERVICE=NUMBER" }

func (s *scale) String() string { return "" }

func (s *scale) Set(text string) error {
	service, number, found := strings.Cut(text, "=")
	n, err := strconv.Atoi(number)
	if !found || service == "" || err != nil || n < 0 {
		return errors.New("must be SERVICE=NUMBER")
	}
	if s.replicas == nil {
		s.replicas = map[string]int{}
	}
	s.replicas[service] = n
	return nil
}

// check refuses services that the recipe does not have, before anything is planned.
func (s *selection) check(p *compose.Project, services []string) error {
	for _, name := range services {
		if err := knownService(p, name); err != nil {
			return err
		}
	}
	for name := range s.scale.replicas {
		if err := knownService(p, name); err != nil {
			return fmt.Errorf("--scale: %w", err)
		}
	}
	return nil
}

func knownService(p *compose.Project, name string) error {
	switch {
	case p.Service(name) != nil:
		return nil
	case p.Knows(name):
		return &usageError{
			err:  fmt.Errorf("service %q is switched off: none of its profiles is active", name),
			hint: "--profile switches a profile on",
		}
	case strings.Contains(name, "/"), slices.Contains([]string{".lst", ".tar", ".tgz"}, filepath.Ext(name)):
		// --import alone stands for the tarballs of BOSH jobs.
		return &usageError{err: fmt.Errorf("no such service: %q", name), hint: fmt.Sprintf("tarballs are given with %q: --import=%s", "=", name)}
	}
	return noSuchService(name)
}

// noSuchService is the mistake of naming a service that isn't there.
func noSuchService(name string) error {
	return &usageError{err: fmt.Errorf("no such service: %q", name)}
}
