package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/system"

	"galley/compose"
)

// findAbilities fills in what a recipe asks of an Engine that not every one can do, where it asks for any:
// [State.OnePlatform], [State.Boundless] and [State.Guards].
func (e *Engine) findAbilities(ctx context.Context, want *compose.Project, have *State, opts DiffOptions) error {
	d := newDiffer(want, have, opts)
	asks := func(s *compose.Service) bool { return bounded(s) || guarded(s) }
	if have.Guards != nil || len(d.shared()) == 0 && !slices.ContainsFunc(d.using(d.chosen()), asks) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	info, err := e.api.Info(ctx)
	if err != nil {
		return e.reading(ctx, "engine", err)
	}
	have.Boundless = byContainerd(info)
	have.OnePlatform = !have.Boundless
	have.Guards = guards(info)
	return nil
}

// guards are the names among an Engine's security options: "name=seccomp,profile=default".
func guards(info system.Info) []string {
	names := []string{}
	for _, option := range info.SecurityOptions {
		name, _, _ := strings.Cut(strings.TrimPrefix(option, "name="), ",")
		names = append(names, name)
	}
	return names
}

func bounded(s *compose.Service) bool { return len(s.Host.StorageOpt) > 0 }

func guarded(s *compose.Service) bool {
	return slices.ContainsFunc(s.Host.SecurityOpt, func(option string) bool { return guardOf(option) != "" })
}

// guardOf is the security module that a security_opt sets up, "" if it sets up none.
func guardOf(option string) string {
	key, value, _ := strings.Cut(strings.Replace(option, ":", "=", 1), "=")
	switch {
	case key == "apparmor" && value != "unconfined":
		return "apparmor"
	case key == "label" && value != "disable":
		return "selinux"
	}
	return ""
}

// warnUnheeded tells of what the Engine takes and doesn't heed, where that makes a container.
func (d *differ) warnUnheeded(using []*compose.Service) {
	for _, s := range using {
		if p := d.services[s.Name]; p != nil && !p.creates() {
			continue
		}
		if d.have.Boundless && bounded(s) {
			d.warn("service %q: storage_opt has no effect: this engine keeps images in containerd's store, which limits no container", s.Name)
		}
		for _, option := range s.Host.SecurityOpt {
			if guard := guardOf(option); guard != "" && d.have.Guards != nil && !slices.Contains(d.have.Guards, guard) {
				d.warn("service %q: security_opt %s has no effect: this engine does without %s", s.Name, option, guardNames()[guard])
			}
		}
	}
}

func guardNames() map[string]string {
	return map[string]string{"apparmor": "AppArmor, which the machine's kernel lacks", "selinux": "SELinux (in daemon.json, selinux-enabled)"}
}
