package bosh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sweep kills what an Engine that is gone left alive, containers included, and unmounts what it left mounted. The disk can
// be moved then.
func (v VM) sweep(ctx context.Context) error {
	table, err := readProcesses()
	if err != nil {
		return err
	}
	var failed []error
	for _, pid := range v.engineTree(table) {
		failed = append(failed, killPID(ctx, pid))
	}
	return errors.Join(append(failed, v.unmount())...)
}

func killPID(ctx context.Context, pid int) error {
	p, err := openProcess(pid)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(p.Kill(ctx), p.Close())
}

// process is what /proc tells of one.
type process struct {
	pid, parent int
	program     string
	arguments   []string
}

// readProcesses lists the processes of the machine, but for zombies.
func readProcesses() ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var all []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		p := process{pid: pid, parent: parentOf(pid), program: programOf(pid)}
		if p.program == "" { // a thread of the kernel, a zombie, or gone by now
			continue
		}
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // empty for one that is gone by now
		p.arguments = strings.Split(string(command), "\x00")
		all = append(all, p)
	}
	return all, nil
}

// parentOf reads the fourth field of /proc/PID/stat, behind the program's name in brackets (proc(5)).
func parentOf(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	rest := string(text[strings.LastIndexByte(string(text), ')')+1:])
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1]) // 0, nobody's child, if the kernel changes its format
	return parent
}

// engineTree finds the Engine's own processes, known from the directory that their arguments name, and all that they
// started: the containers. What starts others stands before what it started.
func (v VM) engineTree(table []process) []int {
	var tree []int
	for _, p := range table {
		switch p.program {
		case "dockerd", "containerd", "containerd-shim", "containerd-shim-runc-v1", "containerd-shim-runc-v2", "runc":
			if slices.ContainsFunc(p.arguments, v.isEngines) {
				tree = append(tree, p.pid)
			}
		}
	}
	for i := 0; i < len(tree); i++ {
		for _, p := range table {
			if p.parent == tree[i] && !slices.Contains(tree, p.pid) {
				tree = append(tree, p.pid)
			}
		}
	}
	return tree
}

// isEngines tells whether a program's argument, perhaps --flag=value, names something of this Engine's.
func (v VM) isEngines(argument string) bool {
	if _, value, ok := strings.Cut(argument, "="); ok {
		argument = value
	}
	return within(argument, v.ExecRoot()) || argument == v.DaemonJSON()
}

// within tells whether path is dir or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// unmount takes away what is mounted below the Engine's directories, the newest first.
func (v VM) unmount() error {
	mounts, err := readMounts("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("listing mounts: %w", err)
	}
	var failed []error
	for _, point := range slices.Backward(v.engineMounts(mounts)) {
		if err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			failed = append(failed, fmt.Errorf("unmounting %q: %w", point, err))
		}
	}
	return errors.Join(failed...)
}

// readMounts lists the mount points of a namespace, oldest first: the fifth field of mountinfo, where octal numbers stand
// for white space (proc(5)).
func readMounts(mountinfo string) ([]string, error) {
	text, err := os.ReadFile(mountinfo)
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			points = append(points, strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4]))
		}
	}
	return points, nil
}

// engineMounts are the mounts below, not at, the Engine's directories.
func (v VM) engineMounts(points []string) []string {
	return slices.DeleteFunc(points, func(point string) bool {
		return point == v.DataRoot() || point == v.ExecRoot() || !within(point, v.DataRoot()) && !within(point, v.ExecRoot())
	})
}

// Leftovers names all that keeps the persistent disk from being unmounted: the Engine's processes and mounts, in whatever
// mount namespace, and processes that have something of the data root open. Empty means that the disk can go.
func (v VM) Leftovers() ([]string, error) {
	table, err := readProcesses()
	if err != nil {
		return nil, err
	}
	var left []string
	engines := v.engineTree(table)
	seen := map[string]bool{}
	for _, p := range table {
		name := fmt.Sprintf("process %d (%s)", p.pid, p.program)
		if slices.Contains(engines, p.pid) {
			left = append(left, name+" of the engine is alive")
		} else if used := v.usedBy(p.pid); used != "" {
			left = append(left, fmt.Sprintf("%s uses %q", name, used))
		}
		space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", p.pid))
		if err != nil || seen[space] {
			continue
		}
		seen[space] = true
		mounts, err := readMounts(fmt.Sprintf("/proc/%d/mountinfo", p.pid))
		if err != nil {
			continue // it ended meanwhile
		}
		for _, point := range v.engineMounts(mounts) {
			left = append(left, fmt.Sprintf("%q is mounted, as %s sees it", point, name))
		}
	}
	return left, nil
}

// usedBy is the first thing below the data root that a process has open, works in or runs.
func (v VM) usedBy(pid int) string {
	proc := fmt.Sprintf("/proc/%d", pid)
	links := []string{proc + "/cwd", proc + "/root", proc + "/exe"}
	open, _ := filepath.Glob(proc + "/fd/*") // none, for a process that ended meanwhile
	for _, link := range append(links, open...) {
		if target, err := os.Readlink(link); err == nil && within(target, v.DataRoot()) {
			return target
		}
	}
	return ""
}
