package engine_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"galley/compose"
	"galley/engine"
	"galley/engine/enginetest/dockerd"
)

const withRoom = `
x-base: &base {image: busybox, command: sleep infinity, init: true, network_mode: none}
services:
  small: {<<: *base, storage_opt: {size: 20m}}
  large: {<<: *base}
`

// TestStorageOptOfARealEngine holds that a container has as much room of its own as the recipe says, on an Engine whose data
// root is on a file system that can limit that.
func TestStorageOptOfARealEngine(t *testing.T) {
	shared := dockerd.ForTest(t) // skips where it must
	if strings.HasSuffix(os.Getenv("GALLEY_TEST_ENGINE"), "+containerd") {
		s := newSuite(t, shared.Host(), "room", "")
		told := s.warningsOf(t, s.load(t, withRoom))
		equal(t, "what is told", len(told) == 1 && strings.Contains(told[0], `service "small": storage_opt has no effect`), true)
		return
	}
	daemon, err := dockerd.Start(t.Context(), dockerd.Options{
		Version: os.Getenv("GALLEY_TEST_ENGINE"), Log: t.Output(),
		Flags: []string{"--data-root", onBtrfs(t), "--storage-driver", "btrfs"},
	})
	must(t, err)
	t.Cleanup(func() {
		if err := daemon.Stop(); err != nil {
			t.Error(err)
		}
	})
	busybox, err := dockerd.Busybox(t.Context(), t.Output())
	must(t, err)
	must(t, dockerd.LoadImage(t.Context(), daemon.Client(), busybox))
	s := newSuite(t, daemon.Host(), "room", "")
	s.mustUp(t, s.load(t, withRoom), engine.DiffOptions{})
	const fill = "dd if=/dev/urandom of=/filled bs=1M count=40 conv=fsync >/dev/null 2>&1; test $(stat -c %s /filled) -lt 41943040 && echo full; true"
	equal(t, "the small one's room", s.exec(t, "small-1", "sh", "-c", fill), "full")
	equal(t, "the large one's room", s.exec(t, "large-1", "sh", "-c", fill), "")
	equal(t, "the size", s.hostConfig(t, "small-1").StorageOpt["size"], "20m")
}

// TestAProfileThatTheEngineDoesNotHeedIsTold: without their security modules, Engines take the options and drop them.
func TestAProfileThatTheEngineDoesNotHeedIsTold(t *testing.T) {
	s := newSuite(t, dockerd.ForTest(t).Host(), "heeded", "")
	info, err := s.docker.Info(t.Context())
	must(t, err)
	has := strings.Join(info.SecurityOptions, " ")
	told := strings.Join(s.warningsOf(t, s.load(t, `
services:
  web: {image: busybox, network_mode: none, security_opt: [apparmor=mine, "label:type:theirs"]}
  open: {image: busybox, network_mode: none, security_opt: [apparmor=unconfined, label=disable]}
`)), "\n")
	for option, guard := range map[string]string{"apparmor=mine": "apparmor", "label:type:theirs": "selinux"} {
		is := strings.Contains(told, `service "web": security_opt `+option+" has no effect")
		equal(t, "whether it is told of "+option, is, !strings.Contains(has, guard))
	}
	equal(t, "whether it is told of what asks for nothing", strings.Contains(told, "open"), false)
}

// warningsOf are what a plan for the project says.
func (s *suite) warningsOf(t *testing.T, p *compose.Project) []string {
	t.Helper()
	have := s.state(t)
	must(t, s.engine.Complete(t.Context(), p, have, engine.DiffOptions{}))
	plan, err := engine.Diff(p, have, engine.DiffOptions{})
	must(t, err)
	return plan.Warnings
}

// onBtrfs makes a folder that is a file system of that kind, in a file.
func onBtrfs(t *testing.T) string {
	t.Helper()
	root, err := dockerd.Unpack(t.Context(), dockerd.Packages{Suite: "bookworm", Names: []string{"btrfs-progs"}}, t.Output())
	if reason := (*dockerd.UnavailableError)(nil); errors.As(err, &reason) {
		t.Skip(reason)
	}
	must(t, err)
	dir := t.TempDir()
	file, folder := filepath.Join(dir, "disk"), filepath.Join(dir, "data")
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, os.Truncate(file, 512<<20))
	must(t, os.Mkdir(folder, 0o711))
	for _, command := range [][]string{{filepath.Join(root, "sbin/mkfs.btrfs"), "-q", file}, {"mount", "-o", "loop", file, folder}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("this machine can't make a file system of btrfs: %s: %v: %s", command[0], err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", folder).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return folder
}
