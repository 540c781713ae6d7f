package miniagent

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/client"

	"galley/engine/enginetest/dockerd"
)

//go:embed testdata/vm.sh
var vmScript string

// vm is a make-believe VM: namespaces in which /var/vcap is its own, with the packages of the release, monit and a disk.
type vm struct {
	t       *testing.T
	name    string
	dir     string
	address string
	nat     *network

	holder   *exec.Cmd
	lifeline io.Closer
	pid      string // the first process of its namespaces
	monit    *monit
}

// network is a bridge that VMs are plugged into.
type network struct {
	name string
	next atomic.Int32
}

// vcapGroup is the number of the group vcap on stemcells.
const vcapGroup = 1000

// within is the deadline for whatever a VM does, on a machine that may be very slow.
const within = 4 * time.Minute

// newNetwork makes a bridge. Its name holds the process's number, so that test binaries don't meet.
func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{name: fmt.Sprintf("g%x-%d", os.Getpid(), networks.Add(1))}
	must(t, "ip", "link", "add", n.name, "type", "bridge")
	t.Cleanup(func() { run("ip", "link", "delete", n.name) })
	must(t, "ip", "link", "set", n.name, "up")
	return n
}

var networks atomic.Int32

// newVM makes a VM and boots it.
func newVM(t *testing.T, n *network) *vm {
	t.Helper()
	programs(t, "ruby", "monit", "dockerd", "ip", "nsenter", "unshare")
	if os.Geteuid() != 0 {
		t.Skip("VMs need root")
	}
	dir, err := os.MkdirTemp("", "gvm") // short: sockets lie in it
	if err != nil {
		t.Fatal(err)
	}
	number := n.next.Add(1)
	v := &vm{t: t, name: fmt.Sprintf("%s-%d", n.name, number), dir: dir, address: fmt.Sprintf("203.0.113.%d", number), nat: n}
	t.Cleanup(v.destroy)
	if err := os.MkdirAll("/var/vcap", 0o755); err != nil { // where the VM's own is mounted
		t.Fatal(err)
	}
	v.makeRootDisk()
	disk := filepath.Join(dir, "disk")
	must(t, "truncate", "--size", "1G", disk)
	must(t, "mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-m", "0", disk)
	v.boot()
	return v
}

// makeRootDisk puts there what a new VM has before a job is deployed to it.
func (v *vm) makeRootDisk() {
	v.t.Helper()
	for _, sub := range []string{"vcap/jobs", "vcap/packages", "vcap/monit", "vcap/bosh"} {
		if err := os.MkdirAll(filepath.Join(v.dir, sub), 0o755); err != nil {
			v.t.Fatal(err)
		}
	}
	for name, compiled := range compilePackages(v.t) {
		must(v.t, "cp", "-a", "--reflink=auto", compiled, filepath.Join(v.dir, "vcap/packages", name))
	}
}

// newRootDisk replaces the VM, as a new stemcell does: all is lost but the persistent disk.
func (v *vm) newRootDisk() {
	v.t.Helper()
	v.shutDown()
	for _, lost := range []string{"vcap", "etc"} {
		if err := os.RemoveAll(filepath.Join(v.dir, lost)); err != nil {
			v.t.Fatal(err)
		}
	}
	v.makeRootDisk()
	v.boot()
}

// boot starts the VM's namespaces and its monit, with what was deployed before.
func (v *vm) boot() {
	v.t.Helper()
	v.holder = exec.Command("unshare", "--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--propagation", "slave",
		"sh", "-c", `read -r go && exec sh -c "$0" vm.sh "$@"`, vmScript, v.dir, v.address)
	var complaints bytes.Buffer
	v.holder.Stderr = &complaints
	v.holder.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	stdin, err := v.holder.StdinPipe()
	if err != nil {
		v.t.Fatal(err)
	}
	v.lifeline = stdin
	stdout, err := v.holder.StdoutPipe()
	if err != nil {
		v.t.Fatal(err)
	}
	if err := v.holder.Start(); err != nil {
		v.t.Fatal(err)
	}
	v.plug()
	fmt.Fprintln(stdin, "go")
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		v.t.Fatalf("booting %s: %v: %s", v.name, err, complaints.String())
	}
	v.pid = strings.TrimSpace(line)
	v.monit = startMonit(v)
}

// plug gives the VM its network interface.
func (v *vm) plug() {
	v.t.Helper()
	child := must(v.t, "sh", "-c", fmt.Sprintf(`
		while ! child=$(cat /proc/%[1]d/task/%[1]d/children) || [ -z "$child" ] || [ "$(readlink /proc/${child%% }/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do :; done
		echo "$child"`, v.holder.Process.Pid))
	plug := fmt.Sprintf("v%s", strings.ReplaceAll(v.name, "-", ""))
	run("ip", "link", "delete", plug)
	must(v.t, "ip", "link", "add", plug, "type", "veth", "peer", "name", "eth0", "netns", strings.TrimSpace(child))
	must(v.t, "ip", "link", "set", plug, "master", v.nat.name, "up")
}

// shutDown ends all that runs on the VM, as pulling the plug does.
func (v *vm) shutDown() {
	if v.holder == nil {
		return
	}
	_ = v.lifeline.Close()
	_ = v.holder.Process.Kill() // and with it the first process, and the kernel with that all others
	_ = v.holder.Wait()
	v.holder = nil
	if v.monit != nil {
		<-v.monit.ended
	}
}

// reboot loses memory and run directory, and starts monit again: nothing else.
func (v *vm) reboot() {
	v.t.Helper()
	v.shutDown()
	v.boot()
	v.makeJobDirs()
}

func (v *vm) destroy() {
	if v.t.Failed() {
		v.logs()
	}
	v.shutDown()
	run("sh", "-c", "find /sys/fs/cgroup -depth -type d -path '*/"+v.name+"*' -exec rmdir {} + 2>/dev/null")
	if err := os.RemoveAll(v.dir); err != nil {
		v.t.Errorf("removing the VM: %v", err)
	}
}

// logs shows the ends of the VM's logs.
func (v *vm) logs() {
	files, _ := filepath.Glob(filepath.Join(v.dir, "vcap/sys/log/*/*"))
	for _, file := range append(files, filepath.Join(v.dir, "vcap/monit/log")) {
		if text, err := os.ReadFile(file); err == nil && len(text) > 0 {
			v.t.Logf("%s:\n%s", filepath.Base(file), text[max(0, len(text)-6000):])
		}
	}
}

// inside is a command on the VM, with the environment that monit gives, and a deadline.
func (v *vm) inside(ctx context.Context, command ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--target", v.pid, "--mount", "--net", "--pid", "--ipc", "--"}, command...)...)
	cmd.Env = []string{"PATH=/bin:/usr/bin:/sbin:/usr/sbin"}
	return cmd
}

// try runs a command on the VM.
func (v *vm) try(command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	out, err := v.inside(ctx, command...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("running %s on %s: %w: %s", strings.Join(command, " "), v.name, err, out)
	}
	return string(out), err
}

// do runs a command on the VM that must succeed.
func (v *vm) do(command ...string) string {
	v.t.Helper()
	out, err := v.try(command...)
	if err != nil {
		v.t.Fatal(err)
	}
	return out
}

// galley runs galley as an operator does who has read envrc.
func (v *vm) galley(args ...string) (string, error) {
	return v.try(append([]string{"bash", "-c", `. /var/vcap/jobs/docker/envrc && exec galley "$@"`, "galley"}, args...)...)
}

// docker is a client of the VM's Engine.
func (v *vm) docker() *client.Client {
	v.t.Helper()
	api, err := client.NewClientWithOpts(
		client.WithHost("unix:///proc/"+v.pid+"/root/var/vcap/data/sys/run/docker/docker.sock"), client.WithAPIVersionNegotiation())
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { api.Close() })
	return api
}

// compilePackages runs the packages' own packaging scripts once, without a network.
func compilePackages(t *testing.T) map[string]string {
	t.Helper()
	compiled, err := packagesOnce()
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

var packagesOnce = sync.OnceValues(func() (map[string]string, error) {
	release, err := filepath.Abs("../release")
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "galley-packages")
	if err != nil {
		return nil, err
	}
	removeAtEnd(work)
	source := filepath.Join(work, "src")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(source, "galley/galley"), "galley/cmd/galley")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	for _, cmd := range []*exec.Cmd{build, exec.Command(filepath.Join(release, "tools/docker-from-debian"), source)} {
		if said, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("running %s: %w: %s", cmd, err, said)
		}
	}
	compiled := map[string]string{}
	for _, name := range []string{"docker", "galley"} {
		target := filepath.Join(work, name)
		cmd := exec.Command("unshare", "--net", "bash", filepath.Join(release, "packages", name, "packaging"))
		cmd.Dir = source
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "BOSH_INSTALL_TARGET=" + target}
		if said, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("compiling the package %s: %w: %s", name, err, said)
		}
		compiled[name] = target
	}
	return compiled, nil
})

// removed are the directories that TestMain removes at the end.
var removed struct {
	sync.Mutex
	dirs []string
}

func removeAtEnd(dir string) {
	removed.Lock()
	defer removed.Unlock()
	removed.dirs = append(removed.dirs, dir)
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range removed.dirs {
		_ = os.RemoveAll(dir) // a temporary directory
	}
	os.Exit(code)
}

// run runs a program whose failure does not matter.
func run(program string, args ...string) { _ = exec.Command(program, args...).Run() }

// must runs a program that must succeed.
func must(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("running %s %s: %v: %s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// imageArchive writes the archive of an image of busybox with these names.
func imageArchive(t *testing.T, path string, names ...string) {
	t.Helper()
	image, err := dockerd.Busybox(t.Context(), os.Stderr)
	if reason := (*dockerd.UnavailableError)(nil); errors.As(err, &reason) {
		t.Skip(reason)
	}
	if err != nil {
		t.Fatal(err)
	}
	image.Names = names
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(image.WriteArchive(file), file.Close()); err != nil {
		t.Fatal(err)
	}
}
