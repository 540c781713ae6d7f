package dockerd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// packages maps each program that this package runs to the Debian package that has it.
func packages() map[string]string {
	return map[string]string{
		"dockerd": "docker.io",
		"ip":      "iproute2",
		"nsenter": "util-linux",
		"unshare": "util-linux",

		"chromium":        "chromium",
		"monit":           "monit",
		"ruby":            "ruby",
		"shellcheck":      "shellcheck",
		"docker-registry": "docker-registry",
	}
}

// suites maps the versions that Debian's suites carry to those suites.
func suites() map[string]string {
	return map[string]string{"20.10": "bookworm", "26.1": "trixie", "28.5": "sid"}
}

// containerdStore is what a version ends in whose Engine keeps its images in containerd's store, the default of fresh
// installs from Engine 29 on: there an image's ID is its manifest's digest, not its configuration's.
const containerdStore = "+containerd"

// Versions lists the Engine versions that [Start] can fetch, oldest first, and last the one with containerd's image store.
func Versions() []string {
	return append(slices.Sorted(maps.Keys(suites())), "28.5"+containerdStore)
}

// provide sees to it that the Engine's programs are on this machine, and returns the environment to run them in.
func provide(ctx context.Context, version string, log io.Writer) ([]string, error) {
	version = strings.TrimSuffix(version, containerdStore)
	if version == "" {
		return os.Environ(), install(ctx, log, "dockerd", "ip", "nsenter", "unshare")
	}
	if err := install(ctx, log, "ip", "nsenter", "unshare"); err != nil {
		return nil, err
	}
	if installed(ctx, "dockerd", nil, version) {
		return os.Environ(), nil
	}
	name, ok := suites()[version]
	if !ok {
		return nil, fmt.Errorf("finding Engine %q: known are %s", version, strings.Join(Versions(), ", "))
	}
	root, err := unpackEngine(ctx, name, log)
	if err != nil {
		return nil, err
	}
	env := engineEnv(root)
	if !installed(ctx, filepath.Join(root, "usr/sbin/dockerd"), env, version) {
		return nil, &UnavailableError{fmt.Sprintf("Debian's %s has no Engine %s any more", name, version)}
	}
	return env, nil
}

// unpackEngine unpacks a suite's Engine into the cache. The newer suites' dockerd and containerd run on Debian 12's
// libraries, but their runc and tini don't: these come from Debian 12.
func unpackEngine(ctx context.Context, name string, log io.Writer) (string, error) {
	return cached("engine-"+name, func(root string) error {
		engine, err := openSuite(ctx, name, log)
		if err != nil {
			return err
		}
		if err := engine.unpack(ctx, root, "docker.io", "containerd"); err != nil {
			return err
		}
		base, err := openSuite(ctx, "bookworm", log)
		if err != nil {
			return err
		}
		return base.unpack(ctx, root, "runc", "tini", "libseccomp2", "libdevmapper1.02.1", "libudev1")
	})
}

// engineEnv puts the programs and libraries under root before the machine's.
func engineEnv(root string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PATH=") || strings.HasPrefix(v, "LD_LIBRARY_PATH=")
	})
	var libraries []string
	for _, pattern := range []string{"lib/*-linux-gnu*", "usr/lib/*-linux-gnu*"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern)) // fails for a bad pattern only
		libraries = append(libraries, found...)
	}
	return append(env,
		"PATH="+filepath.Join(root, "usr/sbin")+":"+filepath.Join(root, "usr/bin")+":"+os.Getenv("PATH"),
		"LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
}

// installed says whether the program is there and is of the version.
func installed(ctx context.Context, program string, env []string, version string) bool {
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.Env = env
	out, err := cmd.Output()
	return err == nil && bytes.Contains(out, []byte("version "+version+"."))
}

// Install sees to it that programs are on this machine, those of Debian packages that [packages] knows. Where that can't be,
// the error is an [*UnavailableError].
func Install(ctx context.Context, log io.Writer, programs ...string) error {
	if os.Geteuid() != 0 && len(absent(programs)) > 0 {
		return &UnavailableError{"installing packages needs root: missing programs: " + strings.Join(absent(programs), ", ")}
	}
	return install(ctx, log, programs...)
}

// install installs the packages of those programs that are missing.
func install(ctx context.Context, log io.Writer, programs ...string) error {
	missing := absent(programs)
	if len(missing) == 0 {
		return nil
	}
	unlock, err := lockCache()
	if err != nil {
		return err
	}
	defer unlock()
	if missing = absent(programs); len(missing) == 0 { // another process was faster
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return &UnavailableError{fmt.Sprintf("missing programs: %s, and there is no apt-get to install them", strings.Join(missing, ", "))}
	}
	var wanted []string
	for _, program := range missing {
		wanted = append(wanted, packages()[program])
	}
	fmt.Fprintf(log, "installing %s\n", strings.Join(wanted, " "))
	env := append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if err := run(ctx, env, "apt-get", "-qq", "update"); err != nil {
		return &UnavailableError{err.Error()}
	}
	args := append([]string{"-qq", "-y", "-o", "DPkg::Lock::Timeout=300", "install", "--no-install-recommends"}, wanted...)
	if err := run(ctx, env, "apt-get", args...); err != nil {
		return &UnavailableError{err.Error()}
	}
	return nil
}

func absent(programs []string) []string {
	return slices.DeleteFunc(slices.Clone(programs), func(program string) bool {
		_, err := exec.LookPath(program)
		return err == nil
	})
}

// run runs a program; its error carries what the program said.
func run(ctx context.Context, env []string, program string, args ...string) error {
	_, err := output(ctx, env, program, args...)
	return err
}

func output(ctx context.Context, env []string, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = env
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(complaints.String())
		if said == "" {
			said = strings.TrimSpace(out.String())
		}
		return "", fmt.Errorf("running %s: %w: %s", strings.Join(append([]string{program}, args...), " "), err, said)
	}
	return out.String(), nil
}

// CacheDir is where packages and images are kept between runs: galley-test in the user's cache folder.
func CacheDir() string {
	base, err := os.UserCacheDir()
	if err != nil { // no HOME
		base = os.TempDir()
	}
	return filepath.Join(base, "galley-test")
}

// cached returns the path NAME in the cache, which make creates when it isn't there: all of it, or nothing. The cache is
// locked meanwhile, so make can't call cached.
func cached(name string, make func(path string) error) (string, error) {
	path := filepath.Join(CacheDir(), name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	unlock, err := lockCache()
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil { // another process was faster
		return path, nil
	}
	draft := path + ".draft"
	if err := os.RemoveAll(draft); err != nil {
		return "", fmt.Errorf("clearing the cache: %w", err)
	}
	if err := make(draft); err != nil {
		return "", err
	}
	if err := os.Rename(draft, path); err != nil {
		return "", fmt.Errorf("keeping %q in the cache: %w", name, err)
	}
	return path, nil
}

// lockCache keeps other processes off the cache and off apt, which takes no lock of its own for package lists, until
// the returned function is called.
func lockCache() (unlock func(), err error) {
	if err := os.MkdirAll(CacheDir(), 0o755); err != nil {
		return nil, fmt.Errorf("making the cache: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(CacheDir(), "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	return func() { _ = lock.Close() }, nil
}
