package dockerd

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// suite is one of Debian's releases, used through an apt configuration of its own: what the machine has installed, and
// where it installs from, stay as they are.
type suite struct {
	dir string
	env []string
	log io.Writer
}

// keyring is of the package debian-archive-keyring, which apt on Debian depends on.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// openSuite prepares a suite's package lists in the cache. The caller holds the cache's lock.
func openSuite(ctx context.Context, name string, log io.Writer) (*suite, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, &UnavailableError{"fetching Debian packages needs apt-get"}
	}
	if _, err := os.Stat(keyring); err != nil {
		return nil, &UnavailableError{"fetching Debian packages needs the keyring " + keyring}
	}
	dir := filepath.Join(CacheDir(), "apt-"+name)
	s := &suite{dir: dir, env: append(os.Environ(), "APT_CONFIG="+filepath.Join(dir, "apt.conf")), log: log}
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("preparing apt: %w", err)
		}
	}
	settings := fmt.Sprintf(`Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::Lists "%[1]s/lists";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
`, dir)
	source := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror(ctx), name)
	for file, text := range map[string]string{"apt.conf": settings, "sources.list": source, "status": ""} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("preparing apt: %w", err)
		}
	}
	if lists, err := filepath.Glob(filepath.Join(dir, "lists/*Packages*")); err == nil && len(lists) > 0 {
		return s, nil
	}
	return s, s.update(ctx)
}

// mirror is the address of Debian's archive that the machine itself uses, which may be the only one that it reaches.
func mirror(ctx context.Context) string {
	const fallback = "http://deb.debian.org/debian"
	found, err := output(ctx, nil, "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
	if err != nil {
		return fallback
	}
	for address := range strings.Lines(found) {
		if address = strings.TrimRight(address, "/\n"); strings.HasSuffix(address, "/debian") {
			return address
		}
	}
	return fallback
}

func (s *suite) update(ctx context.Context) error {
	fmt.Fprintf(s.log, "reading the package lists of Debian's %s\n", strings.TrimPrefix(filepath.Base(s.dir), "apt-"))
	if err := run(ctx, s.env, "apt-get", "-qq", "update"); err != nil {
		return &UnavailableError{err.Error()}
	}
	return nil
}

// closure names the packages and all that they depend on, but for those that without names.
func (s *suite) closure(ctx context.Context, without []string, packages ...string) ([]string, error) {
	args := append([]string{"-qq", "--simulate", "--no-install-recommends", "install"}, packages...)
	plan, err := output(ctx, s.env, "apt-get", args...)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(plan) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "Inst" && !slices.Contains(without, words[1]) {
			names = append(names, words[1])
		}
	}
	slices.Sort(names)
	return names, nil
}

// unpack fetches packages and unpacks their files under root.
func (s *suite) unpack(ctx context.Context, root string, packages ...string) error {
	fmt.Fprintf(s.log, "fetching %s\n", strings.Join(packages, " "))
	debs, err := os.MkdirTemp(s.dir, "debs")
	if err != nil {
		return fmt.Errorf("fetching packages: %w", err)
	}
	defer os.RemoveAll(debs)
	err = s.download(ctx, debs, packages)
	if err != nil { // the lists may be older than the mirror, which keeps no superseded packages
		if err = s.update(ctx); err == nil {
			err = s.download(ctx, debs, packages)
		}
	}
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return fmt.Errorf("listing what was fetched: %w", err)
	}
	for _, file := range files {
		if err := run(ctx, nil, "dpkg-deb", "--extract", file, root); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) download(ctx context.Context, dir string, packages []string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-qq", "download"}, packages...)...)
	cmd.Env, cmd.Dir = s.env, dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return &UnavailableError{fmt.Sprintf("fetching %s: %v: %s", strings.Join(packages, " "), err, strings.TrimSpace(string(out)))}
	}
	return nil
}

// Packages says what [Unpack] unpacks.
type Packages struct {
	// Suite is the release of Debian, such as "sid".
	Suite string
	Names []string
	// Dependencies says whether to unpack what they depend on, too, but for those named in Without.
	Dependencies bool
	Without      []string
}

// Unpack unpacks packages into a folder of the cache, unless they are there already, and returns that folder. The machine's
// own packages stay as they are. Where Debian's archive can't be had, the error is an [*UnavailableError].
func Unpack(ctx context.Context, p Packages, log io.Writer) (root string, err error) {
	return cached(strings.Join(append([]string{p.Suite}, p.Names...), "-"), func(draft string) error {
		debian, err := openSuite(ctx, p.Suite, log)
		if err != nil {
			return err
		}
		names := p.Names
		if p.Dependencies {
			if names, err = debian.closure(ctx, p.Without, p.Names...); err != nil {
				return err
			}
		}
		return debian.unpack(ctx, draft, names...)
	})
}
