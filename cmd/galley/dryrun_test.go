package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"galley/engine/enginetest"
)

// reading are the commands that change nothing, with or without --dry-run.
const reading = `
bosh env, bosh post-start, bosh smoke-tests, check, completion bash, completion fish, completion powershell, completion zsh,
events, help, images, logs, ls, plan, port, ps, stats, status, top, version, volumes, wait`

// refusing are those that change something, have no plan of it, and take no --dry-run.
const refusing = `
attach, bosh docker, bosh drain, bosh post-stop, bosh pre-start, bosh run-task, bosh supervise, bosh supervisor, cp`

// planning are all others, with arguments for which there is something to do on what prepareDryRuns makes; DIR is its directory.
func planning() map[string][]string {
	return map[string][]string{
		"bosh image-release": {"bosh", "image-release", "-o", "release"},
		"config":             {"config", "-o", "canonical.yml"},
		"create":             {"create", "--pull", "never", "web"},
		"daemon-config":      {"daemon-config", "--spec", "spec.json", "--daemon-json", "etc/daemon.json", "--certs-dir", "etc/certs.d"},
		"down":               {"down", "-v", "--rmi", "all"},
		"exec":               {"exec", "web", "touch", "/never"},
		"export":             {"export", "-o", "DIR/there/exported"},
		"import":             {"import", "DIR/images/*.tar*"},
		"kill":               {"kill"},
		"lock":               {"lock", "other"},
		"login":              {"login", "-u", "robot", "--password-stdin", "reg.example:5000"},
		"logout":             {"logout", "reg.example:5000"},
		"pause":              {"pause"},
		"prune":              {"prune"},
		"pull":               {"pull", "other"},
		"restart":            {"restart"},
		"rm":                 {"rm", "--stop", "--force"},
		"rollback":           {"rollback"},
		"run":                {"run", "--rm", "web", "true"},
		"scale":              {"scale", "web=3"},
		"start":              {"start"},
		"stop":               {"stop"},
		"unpause":            {"unpause"},
		"up":                 {"up", "-d", "--pull", "never", "web"},
	}
}

// TestEveryCommandThatChangesSomethingHasADryRun goes over the table of commands: each is known to read, to refuse, or to
// show its plan, and nothing is changed by it then, on the Engine or on the disk.
func TestEveryCommandThatChangesSomethingHasADryRun(t *testing.T) {
	t.Parallel()
	p := prepareDryRuns(t)
	for path, cmd := range runnable(newCLI().root(func() {}), "") {
		t.Run(path, func(t *testing.T) {
			args := planning()[path]
			switch {
			case isIn(reading, path):
			case isIn(refusing, path):
				p.refuses(t, strings.Fields(path), cmd)
			case args != nil:
				p.shows(t, args)
			default:
				t.Error("nobody knows what it does with --dry-run: it is in none of the lists here")
			}
		})
	}
}

func isIn(list, path string) bool {
	return slices.Contains(strings.Split(strings.ReplaceAll(strings.TrimSpace(list), "\n", " "), ", "), path)
}

// runnable are the commands below one that do something, by the words that call them; topics of the help are not.
func runnable(cmd *cobra.Command, path string) map[string]*cobra.Command {
	all := map[string]*cobra.Command{}
	for _, sub := range cmd.Commands() {
		name := strings.TrimSpace(path + " " + sub.Name())
		if sub.Runnable() {
			all[name] = sub
		}
		for below, c := range runnable(sub, name) {
			all[below] = c
		}
	}
	return all
}

// dryRuns is a project that was up, has changed, and has something of everything.
type dryRuns struct {
	engine, empty *enginetest.Engine
	dir           string
}

func prepareDryRuns(t *testing.T) *dryRuns {
	p := &dryRuns{engine: newEngine(t), empty: enginetest.New(t), dir: t.TempDir()}
	p.engine.AddRemote(enginetest.Image{Ref: "reg.example:5000/other:1"}, nil)
	const recipe = `
name: dry
services:
  web: {image: busybox, command: sleep infinity, init: true, environment: {LEVEL: "L"}, volumes: ["data:/data"]}
  asleep: {image: busybox, command: sleep infinity, init: true}
  ended: {image: busybox, command: "true"}
  other: {image: "reg.example:5000/other:1", profiles: [other]}
volumes: {data: {}}
`
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	do := func(args ...string) {
		if out, got := p.run(t, p.engine, append([]string{"--progress", "quiet"}, args...)...); got != 0 {
			t.Fatalf("%q: exit code %d:\n%s", args, got, out)
		}
	}
	for _, level := range []string{"1", "2"} {
		write("compose.yml", strings.ReplaceAll(recipe, "L", level))
		do("up", "-d", "-t", "0")
	}
	do("pause", "asleep")
	do("export", "-o", filepath.Join(p.dir, "images"))
	write("compose.yml", strings.ReplaceAll(recipe, "L", "3"))
	write("spec.json", `{"daemon": {"log-level": "warn"}}`)
	p.engine.AddImage(enginetest.Image{Ref: "busybox:unused"})
	return p
}

func (p *dryRuns) refuses(t *testing.T, path []string, cmd *cobra.Command) {
	args := append([]string{"--dry-run"}, path...)
	switch {
	case cmd.ValidArgs != nil:
		args = append(args, cmd.ValidArgs[0])
	case cmd.Args != nil && cmd.Args(cmd, nil) != nil:
		args = append(args, "web:something")
		if cmd.Args(cmd, args[:1]) != nil {
			args = append(args, "elsewhere")
		}
	}
	out, got := p.run(t, p.empty, args...)
	if got != exitUsage || !strings.Contains(out, "takes no --dry-run\nhint: ") {
		t.Errorf("exit code %d, want %d and a reason with a hint:\n%s", got, exitUsage, out)
	}
}

func (p *dryRuns) shows(t *testing.T, args []string) {
	e := p.engine
	if args[0] == "import" {
		e = p.empty // it lacks them all
	}
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "DIR", p.dir)
	}
	e.ResetCalls()
	before := tree(t, p.dir)
	out, got := p.run(t, e, append([]string{"--dry-run"}, args...)...)
	if got != 0 || strings.TrimSpace(out) == "" {
		t.Errorf("exit code %d, want 0 and a plan:\n%s", got, out)
	}
	for _, c := range e.Calls() {
		if changing := c.Method != "GET" && c.Method != "HEAD"; changing && !strings.HasSuffix(c.Path, "/auth") {
			t.Errorf("the engine was asked for %s %s", c.Method, c.Path)
		}
	}
	if diff := cmp.Diff(before, tree(t, p.dir)); diff != "" {
		t.Errorf("files changed (-before +after):\n%s", diff)
	}
}

// run runs a command line beside an Engine and returns all that it printed, and its exit code.
func (p *dryRuns) run(t *testing.T, e *enginetest.Engine, args ...string) (string, int) {
	var out bytes.Buffer
	c := newCLI()
	c.stdin, c.out, c.err, c.dir = strings.NewReader("s3cr3t\n"), &out, &out, p.dir
	c.environ = []string{"PATH=" + os.Getenv("PATH"), "PWD=" + p.dir, "HOME=" + p.dir, "DOCKER_CONFIG=" + filepath.Join(p.dir, "docker"),
		"GALLEY_RUN_DIR=" + filepath.Join(p.dir, "run"), "GALLEY_STATE_DIR=" + filepath.Join(p.dir, "state")}
	c.ui = newUI(c.out, c.err, "auto", "auto", c.getenv)
	got := c.execute(t.Context(), append([]string{"-H", e.Host()}, args...))
	return out.String(), got
}

// tree are the files below a directory, with their texts, but for the cache of what was read of tarballs.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "tarballs" {
			return err
		}
		text, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
