package miniagent

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// jobSpec is the spec of a job.
type jobSpec struct {
	Name, Description string
	Templates         map[string]string
	Packages          []string
	Properties        map[string]struct {
		Description      string
		Default, Example any
	}
}

// TestRelease holds jobs, templates, packages and blobs to each other.
func TestRelease(t *testing.T) {
	programs(t, "ruby", "shellcheck")
	release := releaseDir(t)
	lintRelease(t, release)
	tools, err := filepath.Glob(filepath.Join(release, "tools/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range tools {
		shellcheck(t, tool)
	}
	var blobs map[string]any
	readYAMLFile(t, filepath.Join(release, "config/blobs.yml"), &blobs)
	for blob := range blobs {
		if ok, _ := filepath.Match("docker/docker-*.tgz", blob); !ok { // the pattern is a good one
			t.Errorf("no package wants the blob %s", blob)
		}
	}
}

// lintRelease holds jobs, templates, properties and packages of any release to each other.
func lintRelease(t *testing.T, release string) {
	t.Helper()
	jobs, err := filepath.Glob(filepath.Join(release, "jobs/*"))
	if err != nil || len(jobs) == 0 {
		t.Fatalf("there are no jobs: %v", err)
	}
	used := map[string]bool{}
	for _, job := range jobs {
		spec := readJobSpec(t, job)
		lintTemplates(t, job, spec)
		lintProperties(t, job, spec)
		for _, pkg := range spec.Packages {
			used[pkg] = true
			if _, err := os.Stat(filepath.Join(release, "packages", pkg, "spec")); err != nil {
				t.Errorf("job %s: package %s: %v", spec.Name, pkg, err)
			}
		}
	}
	packages, err := filepath.Glob(filepath.Join(release, "packages/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range packages {
		if !used[filepath.Base(pkg)] {
			t.Errorf("no job uses the package %s", filepath.Base(pkg))
		}
		shellcheck(t, filepath.Join(pkg, "packaging"))
	}
}

func readYAMLFile(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func readJobSpec(t *testing.T, dir string) jobSpec {
	t.Helper()
	var spec jobSpec
	readYAMLFile(t, filepath.Join(dir, "spec"), &spec)
	if spec.Name != filepath.Base(dir) || spec.Description == "" {
		t.Errorf("%s: the spec has the name %q and the description %q", dir, spec.Name, spec.Description)
	}
	return spec
}

// lintTemplates compares the spec's templates with those that are there, and checks the syntax of each.
func lintTemplates(t *testing.T, job string, spec jobSpec) {
	t.Helper()
	listed := map[string]bool{"monit": true}
	for source := range spec.Templates {
		listed["templates/"+source] = true
	}
	err := filepath.WalkDir(job, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(job, path)
		if err != nil || name == "spec" {
			return err
		}
		if !listed[name] {
			t.Errorf("job %s: the spec does not list %s", spec.Name, name)
		}
		delete(listed, name)
		return checkERB(path)
	})
	if err != nil {
		t.Error(err)
	}
	for name := range listed {
		t.Errorf("job %s: there is no %s", spec.Name, name)
	}
	monit, err := os.ReadFile(filepath.Join(job, "monit"))
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range regexp.MustCompile(`program "/var/vcap/jobs/[a-z-]+/(\S+)`).FindAllStringSubmatch(string(monit), -1) {
		if !slices.Contains(targets(spec), program[1]) {
			t.Errorf("job %s: monit calls %s, which no template makes", spec.Name, program[1])
		}
	}
}

func targets(spec jobSpec) []string {
	var all []string
	for _, target := range spec.Templates {
		all = append(all, target)
	}
	return all
}

// checkERB compiles a template to Ruby and has Ruby check that.
func checkERB(path string) error {
	const compile = `require "erb"; print ERB.new(File.read(ARGV[0]), trim_mode: "-").src`
	source, err := exec.Command("ruby", "-e", compile, path).Output()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	check := exec.Command("ruby", "-c")
	check.Stdin = strings.NewReader(string(source))
	if said, err := check.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", path, err, said)
	}
	return nil
}

// lintProperties compares the declared properties with those that templates ask for.
func lintProperties(t *testing.T, job string, spec jobSpec) {
	t.Helper()
	var text strings.Builder
	sources := []string{"monit"}
	for source := range spec.Templates {
		sources = append(sources, "templates/"+source)
	}
	for _, source := range sources {
		template, err := os.ReadFile(filepath.Join(job, source))
		if err != nil {
			t.Fatal(err)
		}
		text.Write(template)
	}
	asked := map[string]bool{}
	for _, call := range regexp.MustCompile(`\b(?:p|if_p|\w+\.call)\(['"]([^'"]+)['"]`).FindAllStringSubmatch(text.String(), -1) {
		asked[call[1]] = true
	}
	// One template asks for these by a name that it puts together.
	for _, made := range []string{"#{it}.listen", "#{it}.enabled"} {
		if asked[made] {
			for _, section := range []string{"metrics", "status_page"} {
				asked[strings.ReplaceAll(made, "#{it}", section)] = true
			}
			delete(asked, made)
		}
	}
	delete(asked, "tls.cert.#{part}")
	for name := range asked {
		parent, _, _ := strings.Cut(name, ".certificate")
		parent = strings.TrimSuffix(strings.TrimSuffix(parent, ".ca"), ".private_key")
		if _, declared := spec.Properties[name]; !declared {
			if _, declared = spec.Properties[parent]; !declared {
				t.Errorf("job %s: templates ask for the property %s, which the spec does not declare", spec.Name, name)
			}
		}
		asked[parent] = true
	}
	for name, property := range spec.Properties {
		if !asked[name] {
			t.Errorf("job %s: no template asks for the property %s", spec.Name, name)
		}
		if property.Description == "" || property.Example == nil {
			t.Errorf("job %s: the property %s lacks a description or an example", spec.Name, name)
		}
		for other := range spec.Properties {
			if strings.HasPrefix(other, name+".") {
				t.Errorf("job %s: %s is nested below %s: the director fails where that has a plain value", spec.Name, other, name)
			}
		}
	}
}

func shellcheck(t *testing.T, path string) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("%s: %v: it must be executable", path, err)
	}
	if said, err := exec.Command("shellcheck", path).CombinedOutput(); err != nil {
		t.Errorf("%s:\n%s", path, said)
	}
}
