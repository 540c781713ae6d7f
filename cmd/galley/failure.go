package main

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"galley/bosh"
	"galley/compose"
	"galley/engine"
	"galley/engine/contexts"
	"galley/engine/credentials"
	"galley/imports"
)

// report prints why a command failed: every failure once, root causes only, each with its way out.
func (c *cli) report(err error) {
	seen := map[string]bool{}
	for _, f := range failures(err) {
		if seen[f.text] {
			continue // one Engine that went away fails many steps
		}
		seen[f.text] = true
		f.print(c.ui)
	}
}

// failure is one thing that went wrong, ready to be printed.
type failure struct {
	text, hint string
	// logs are the last lines of the container that failed.
	logs []string
	// finding marks what check would say of the recipe; note is no failure but belongs to the report.
	finding *compose.Diagnostic
	note    bool
}

func (f failure) print(u *ui) {
	switch {
	case f.note:
		u.note(f.text)
		return
	case f.finding != nil && f.finding.Severity == compose.Warning:
		u.warn(f.text)
	case len(f.logs) > 0:
		u.fail(f.text + "\nits last lines:\n| " + strings.Join(f.logs, "\n| "))
	default:
		u.fail(f.text)
	}
	u.hint(f.hint)
}

// failures takes an error apart into what is worth a line of its own.
func failures(err error) []failure {
	switch e := err.(type) {
	case *compose.InvalidError:
		return findings(e.Diagnostics)
	case *recipeError:
		return failures(e.err)
	case *engine.RolledBackError:
		return rolledBack(e)
	case *engine.StepError:
		return []failure{stepFailure(e)}
	case *notUpError:
		return e.failures
	case statusError, interruption:
		return nil // the exit code says it all
	case *skippedError:
		return append(failures(e.err), failure{text: "skipped because of it: " + skippedWords(e.skipped), note: true})
	case interface{ Unwrap() []error }:
		var all []failure
		for _, one := range e.Unwrap() {
			all = append(all, failures(one)...)
		}
		return all
	}
	return []failure{{text: words(err), hint: hintFor(err)}}
}

// findings are the errors and warnings of an invalid recipe.
func findings(diagnostics []compose.Diagnostic) []failure {
	var all []failure
	for _, d := range diagnostics {
		if d.Severity != compose.Note {
			all = append(all, failure{text: located(d), hint: d.Hint, finding: &d})
		}
	}
	return all
}

// located is a finding without its severity, which the caller prints in front: "file:line:col: message [code]".
func located(d compose.Diagnostic) string {
	text := fmt.Sprintf("%s [%s]", d.Message, d.Code)
	if p := d.Position(); p != "" {
		return p + ": " + text
	}
	return text
}

func rolledBack(e *engine.RolledBackError) []failure {
	all := failures(e.Err)
	names := strings.Join(e.Services, ", ")
	if e.Restore == nil {
		return append(all, failure{text: "put back to what ran before: " + names, note: true})
	}
	all = append(all, failure{
		text: "putting back what ran before failed too: " + names,
		hint: "the next `galley up` goes on from here; `galley rollback` goes back to the last good state",
	})
	return append(all, failures(e.Restore)...)
}

// stepFailure puts a failed step into words: the service, what was being done, and the Engine's own words.
func stepFailure(e *engine.StepError) failure {
	f := failure{hint: hintFor(e.Err), logs: e.Logs}
	var unhealthy *engine.UnhealthyError
	target := e.Step.Action.Target()
	switch {
	case is[*engine.UnreachableError](e.Err):
		f.text, f.logs = words(e.Err), nil
	case errors.As(e.Err, &unhealthy):
		f.text = fmt.Sprintf("%s (container %s)", unhealthy, unhealthy.Container)
	case is[*engine.ImageError](e.Err), is[*imports.Error](e.Err):
		f.text = words(e.Err)
	default:
		f.text = fmt.Sprintf("%s %s: %s", wordsOf(e.Step.Action.Verb()).doing, target, words(e.Err))
	}
	if target.Service != "" && unhealthy == nil && !is[*engine.UnreachableError](e.Err) {
		f.text = fmt.Sprintf("service %q: %s", target.Service, f.text)
	}
	return f
}

// skippedWords names what was skipped, by resource: with a container's creation, its start is skipped too.
func skippedWords(steps []*engine.Step) string {
	var names []string
	for _, s := range steps {
		if name := s.Action.Target().String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	const most = 10
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	return strings.Join(names, ", ")
}

// words is an error's text without what the docker client puts around the Engine's own words.
func words(err error) string {
	text := err.Error()
	if is[*engine.UnreachableError](err) {
		before, silence, _ := strings.Cut(text, "Cannot connect to the Docker daemon at ")
		if _, after, ok := strings.Cut(silence, ". Is the docker daemon running?"); ok {
			text = before + "nothing answers there" + after
		}
		text = throughSSH().ReplaceAllString(text, "")
	}
	return withoutLayers(strings.ReplaceAll(text, "Error response from daemon: ", ""))
}

// withoutLayers leaves out that the programs which a start goes through below the Engine failed too: only the last says why.
func withoutLayers(text string) string {
	plain := strings.NewReplacer("failed to create task for container: ", "", "failed to create shim task: ", "", "OCI runtime create failed: ", "",
		"runc create failed: ", "", "unable to start container process: ", "").Replace(text)
	if plain != text {
		plain = strings.TrimSuffix(plain, ": unknown")
	}
	return plain
}

// throughSSH is what the client says of the address that stands for an Engine behind ssh.
func throughSSH() *regexp.Regexp {
	return regexp.MustCompile(`error during connect: \w+ "http://docker\.example\.com[^"]*": `)
}

// tryByHand is the command that reaches an Engine behind ssh as galley does.
func tryByHand(at *url.URL) string {
	command, docker := "ssh", "docker"
	if at.Port() != "" {
		command += " -p " + at.Port()
	}
	if at.User != nil {
		command += " -l " + at.User.Username()
	}
	if socket := strings.TrimSuffix(at.Path, "/"); socket != "" {
		docker += " -H unix://" + socket
	}
	return fmt.Sprintf("%s %s %s version", command, at.Hostname(), docker)
}

// hintFor is the way out of a failure, where one is known.
func hintFor(err error) string {
	var image *engine.ImageError
	var unreachable *engine.UnreachableError
	var registry *engine.RegistryError
	var file *credentials.Error
	var property *bosh.PropertyError
	var old *engine.TooOldError
	var young *engine.TooNewError
	var usage *usageError
	var tarball *imports.Error
	switch {
	case errors.As(err, &usage):
		return usage.hint
	case errors.As(err, &unreachable):
		return unreachableHint(unreachable)
	case errors.As(err, &image):
		return image.Hint
	case errors.As(err, &registry):
		return registry.Hint
	case errors.As(err, &tarball):
		return tarballHint(tarball.Fault)
	case is[*contexts.Error](err):
		return "`docker context ls` lists them; --context or DOCKER_CONTEXT chooses one, and --host needs none"
	case errors.As(err, &file):
		return file.Hint
	case errors.As(err, &property):
		return property.Hint
	case errors.As(err, &old) && old.Attribute == "galley":
		return "galley drives Docker Engine 20.10 and newer"
	case errors.As(err, &old):
		return "take the attribute out of the recipe, or bring the engine up to date"
	case errors.As(err, &young):
		return young.Hint
	case is[*engine.SpaceError](err):
		return "free some space there (`galley prune` removes images that nobody wants), or move the engine's data root to a larger disk"
	case is[*bosh.CorruptError](err):
		return "move the file away: `galley up` begins a new one"
	case is[*nothingGoodError](err):
		return "`galley up` keeps a state when all of the project has come up; `galley rollback --list` shows them"
	case is[*bosh.HeldError](err):
		return "--wait-lock waits until it is given back"
	case engine.TellsFullDisk(err.Error()):
		return fullDiskHint
	}
	return refusalHint(err.Error())
}

const fullDiskHint = "`df -h` and `df -i` show which; `galley prune` removes images that nobody wants"

// tarballHint is what to do about a tarball; what is missing or can't be read has said all.
func tarballHint(fault imports.Fault) string {
	switch fault {
	case imports.Truncated, imports.Corrupt, imports.Empty:
		return "copy or export it again"
	case imports.NotImage:
		return "`docker save` and `galley export` write tarballs that can be imported"
	case imports.Excessive:
		return "unpack it and pack it again, with gzip, xz -6 or zstd -19"
	case imports.WrongPlatform:
		return "export it on a machine like this one, or after `docker pull --platform`"
	case imports.WrongChecksum:
		return "bring the file that the list means, or correct the list"
	}
	return ""
}

func unreachableHint(e *engine.UnreachableError) string {
	switch text := e.Err.Error(); {
	case strings.Contains(text, "permission denied"):
		return "this user may not talk to the engine: use root, or a member of the socket's group"
	case strings.Contains(text, "no answer within"), strings.Contains(text, "in time"):
		return "the engine hangs or is overloaded: see dockerd's log"
	}
	if at, err := url.Parse(e.Host); err == nil && at.Scheme == "ssh" {
		return fmt.Sprintf("`%s` must get in without a question, and find docker and its engine there", tryByHand(at))
	}
	return "is dockerd running? --host or DOCKER_HOST says where"
}
