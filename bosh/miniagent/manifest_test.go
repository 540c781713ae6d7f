package miniagent

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// releaseDir is the BOSH release.
func releaseDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../release")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// instance is a job of a manifest, as it is to be rendered.
type instance struct {
	group, job, release string
	properties          map[string]any
}

// readManifest reads a manifest, applies operations files, and fills variables in.
func readManifest(t testing.TB, path string, operations []string, variables map[string]string) map[string]any {
	t.Helper()
	manifest, _ := readYAML(t, path).(map[string]any)
	var tree any = manifest
	for _, file := range operations {
		list, _ := readYAML(t, file).([]any)
		if len(list) == 0 {
			t.Fatalf("%s: no operations", file)
		}
		for _, entry := range list {
			operation := entry.(map[string]any)
			var err error
			path := strings.Split(strings.Trim(operation["path"].(string), "/"), "/")
			if tree, err = replace(tree, path, operation["value"], false); err != nil {
				t.Fatalf("%s: %s: %v", file, operation["path"], err)
			}
		}
	}
	return interpolate(tree, variables).(map[string]any)
}

func readYAML(t testing.TB, path string) any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return tree
}

// replace is the operation of that name in an operations file: NAME, NAME? (made if missing, with all that follows), KEY=VALUE, and - for a new
// item.
func replace(tree any, path []string, value any, missing bool) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	token := path[0]
	if token == "-" {
		list, _ := tree.([]any)
		return append(list, value), nil
	}
	if key, want, ok := strings.Cut(token, "="); ok {
		list, _ := tree.([]any)
		for i, item := range list {
			if fields, ok := item.(map[string]any); ok && fields[key] == want {
				changed, err := replace(item, path[1:], value, missing)
				list[i] = changed
				return list, err
			}
		}
		return nil, fmt.Errorf("no item has %s", token)
	}
	name, optional := strings.CutSuffix(token, "?")
	missing = missing || optional
	fields, ok := tree.(map[string]any)
	if tree == nil && missing {
		fields, ok = map[string]any{}, true
	}
	if !ok {
		return nil, fmt.Errorf("%q is in no mapping", name)
	}
	if _, there := fields[name]; !there && !missing && len(path) > 1 {
		return nil, fmt.Errorf("%q is not there", name)
	}
	changed, err := replace(fields[name], path[1:], value, missing)
	fields[name] = changed
	return fields, err
}

// interpolate fills ((name)) and ((name.part)) in. A value that is nothing else is replaced as a whole.
func interpolate(tree any, variables map[string]string) any {
	switch v := tree.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = interpolate(value, variables)
		}
	case []any:
		for i, value := range v {
			v[i] = interpolate(value, variables)
		}
	case string:
		if whole := regexp.MustCompile(`^\(\(([a-z_]+)\)\)$`).FindStringSubmatch(v); whole != nil {
			if _, ok := variables[whole[1]+".certificate"]; ok { // a certificate has parts
				return map[string]any{
					"ca": variables[whole[1]+".ca"], "certificate": variables[whole[1]+".certificate"], "private_key": variables[whole[1]+".private_key"],
				}
			}
		}
		return regexp.MustCompile(`\(\(([a-z_.]+)\)\)`).ReplaceAllStringFunc(v, func(variable string) string {
			if value, ok := variables[strings.Trim(variable, "()")]; ok {
				return value
			}
			return variable
		})
	}
	return tree
}

// jobsOf lists the jobs of a manifest.
func jobsOf(t testing.TB, manifest map[string]any) []instance {
	t.Helper()
	var all []instance
	groups, _ := manifest["instance_groups"].([]any)
	for _, g := range groups {
		group := g.(map[string]any)
		jobs, _ := group["jobs"].([]any)
		for _, j := range jobs {
			job := j.(map[string]any)
			properties, _ := job["properties"].(map[string]any)
			all = append(all, instance{group["name"].(string), job["name"].(string), job["release"].(string), properties})
		}
	}
	if len(all) == 0 {
		t.Fatal("the manifest has no jobs")
	}
	return all
}
