package bosh

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mountCgroups mounts the controllers of control groups v1 where there is nothing, as in a container that plays a VM. What
// the stemcell mounted, of either version, is never touched.
func (v VM) mountCgroups() error {
	dir := v.path("/sys/fs/cgroup")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking for control groups: %w", err)
	}
	if len(entries) > 0 {
		return nil
	}
	table, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		return fmt.Errorf("looking for control groups: %w", err)
	}
	if err := unix.Mount("cgroup_root", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755"); err != nil {
		return fmt.Errorf("mounting a place for control groups at %q: %w", dir, err)
	}
	mounted, failed := 0, []error{}
	for _, controller := range enabledControllers(string(table)) {
		point := filepath.Join(dir, controller)
		err := os.Mkdir(point, 0o755)
		if err == nil {
			err = unix.Mount("cgroup", point, "cgroup", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, controller)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("mounting the controller %q: %w", controller, err), os.Remove(point))
			continue
		}
		mounted++
	}
	if mounted == 0 {
		return fmt.Errorf("mounting control groups: %w", errors.Join(failed...))
	}
	return nil // those that another hierarchy has taken can't be had, and the Engine does without
}

// enabledControllers reads the names from /proc/cgroups: name, hierarchy, groups, enabled.
func enabledControllers(table string) []string {
	var names []string
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) == 4 && fields[0][0] != '#' && fields[3] == "1" {
			names = append(names, fields[0])
		}
	}
	return names
}
