package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// lowerCases reads all archives; each calls visit with its cases and may be written anew.
func lowerCases(t testing.TB, visit func(archive *txtar.Archive, path string)) {
	t.Helper()
	paths, err := filepath.Glob("../testdata/lowering/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		visit(archive, path)
	}
}

// recipeOf completes a case: the body of a service becomes a recipe.
func recipeOf(text string) string {
	if strings.Contains(text, "services:") {
		return text
	}
	body := strings.TrimPrefix(strings.TrimSpace(text), "{}")
	return "services:\n  web:\n    image: app:1\n    " + strings.ReplaceAll(body, "\n", "\n    ") + "\n"
}

func loadText(t testing.TB, text string) (*Project, []Diagnostic) {
	t.Helper()
	dir, err := filepath.Abs("../testdata/lowering/files")
	if err != nil {
		t.Fatal(err)
	}
	project, found, err := Load(context.Background(), Source{
		Files: []string{"-"}, Stdin: strings.NewReader(text), Dir: dir, Name: "shop", Environ: []string{"IN_ENVIRONMENT=from the environment"},
	})
	if invalid := new(InvalidError); err != nil && !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	return project, found
}

// TestLower holds what is made of each case against its NAME.want.
func TestLower(t *testing.T) {
	lowerCases(t, func(archive *txtar.Archive, path string) {
		wants := map[string]string{}
		for _, f := range archive.Files {
			wants[f.Name] = string(f.Data)
		}
		var files []txtar.File
		for _, f := range archive.Files {
			name, ok := strings.CutSuffix(f.Name, ".yml")
			if !ok {
				continue
			}
			family := strings.TrimSuffix(filepath.Base(path), ".txtar")
			t.Run(family+"/"+name, func(t *testing.T) {
				project, found := loadText(t, recipeOf(string(f.Data)))
				got := describe(t, project, found)
				files = append(files, f, txtar.File{Name: name + ".want", Data: []byte(got)})
				if want := wants[name+".want"]; !*update && got != want {
					t.Errorf("recipe:\n%s\ngot:\n%s\nwant:\n%s", f.Data, got, want)
				}
			})
		}
		if *update {
			archive.Files = files
			if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// describe writes what was found, and the project less what is in every one.
func describe(t testing.TB, project *Project, found []Diagnostic) string {
	t.Helper()
	dir, _ := filepath.Abs("../testdata/lowering/files")
	var b strings.Builder
	for _, d := range found {
		fmt.Fprintf(&b, "%s: %s: %s [%s]\n", d.Path, d.Severity, d.Message, d.Code)
		if d.Hint != "" {
			fmt.Fprintf(&b, "  hint: %s\n", d.Hint)
		}
	}
	if project != nil {
		m := plain(t, project).(map[string]any)
		services, _ := m["Services"].([]any)
		for _, s := range services {
			b.WriteString(describeService(s.(map[string]any), len(services) > 1))
		}
		for _, kind := range []string{"Networks", "Volumes", "Inactive"} {
			list, _ := m[kind].([]any)
			for _, entry := range list {
				if n, ok := entry.(map[string]any); !ok || n["Key"] != "default" {
					fmt.Fprintf(&b, "%s %s\n", strings.ToLower(strings.TrimSuffix(kind, "s")), compact(entry))
				}
			}
		}
	}
	return strings.ReplaceAll(b.String(), dir, "DIR")
}

// describeService writes a service's payload, a field a line.
func describeService(s map[string]any, several bool) string {
	dropUsual(s)
	prefix := ""
	if several {
		prefix = s["Name"].(string) + ": "
	}
	var lines []string
	for key, value := range s {
		inner, ok := value.(map[string]any)
		switch {
		case key == "Name":
		case ok && (key == "Config" || key == "Host"):
			for field, value := range inner {
				lines = append(lines, fmt.Sprintf("%s%s.%s %s\n", prefix, key, field, compact(value)))
			}
		default:
			lines = append(lines, fmt.Sprintf("%s%s %s\n", prefix, key, compact(value)))
		}
	}
	if len(lines) == 0 {
		return prefix + "nothing\n"
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func compact(v any) string {
	text, _ := json.Marshal(v) // it came out of JSON
	return string(text)
}

// dropUsual takes out what a service has unless its recipe says otherwise.
func dropUsual(s map[string]any) {
	usual := map[string]any{
		"Replicas": 1.0, "Pull": map[string]any{"Policy": "missing"},
		"Endpoints": []any{map[string]any{"Network": "default", "Name": "shop_default", "Settings": map[string]any{"Aliases": []any{s["Name"]}}}},
	}
	if s["Replicas"] == nil {
		s["Replicas"] = 0.0
	}
	for key, value := range usual {
		if reflect.DeepEqual(s[key], value) {
			delete(s, key)
		}
	}
	config, _ := s["Config"].(map[string]any)
	maps.DeleteFunc(config, func(key string, value any) bool {
		return key == "AttachStdout" || key == "AttachStderr" || key == "Image" && value == "app:1"
	})
	delete(s, "Hash")
	delete(s, "Fields")
}

// plain turns a value into maps and lists without what is zero, but for empty lists: those the Engine tells from none.
func plain(t testing.TB, value any) any {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return trimmed(v)
}

func trimmed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			value = trimmed(value)
			empty, isMap := value.(map[string]any)
			if value == nil || value == "" && !strings.HasPrefix(key, "/") || (value == 0.0 || value == false) && !contains("Init EnableIPv4 EnableIPv6 StopTimeout PidsLimit", key) || isMap && len(empty) == 0 && !strings.HasPrefix(key, "/") && !isPort(key) {
				delete(v, key)
			} else {
				v[key] = value
			}
		}
	case []any:
		for i := range v {
			v[i] = trimmed(v[i])
		}
		if reflect.DeepEqual(v, []any{0.0, 0.0}) { // HostConfig.ConsoleSize
			return nil
		}
	}
	return v
}

func isPort(key string) bool {
	return strings.HasSuffix(key, "/tcp") || strings.HasSuffix(key, "/udp") || strings.HasSuffix(key, "/sctp")
}

// placeless puts DIR in the place of the checkout's folder, which a hash covers where a service mounts from it.
func placeless(s *Service) *Service {
	dir, _ := filepath.Abs("../testdata/lowering/files")
	for i := range s.Host.Binds {
		s.Host.Binds[i] = strings.ReplaceAll(s.Host.Binds[i], dir, "DIR")
	}
	for i := range s.Host.Mounts {
		s.Host.Mounts[i].Source = strings.ReplaceAll(s.Host.Mounts[i].Source, dir, "DIR")
	}
	return s
}

// TestHashes fails when what is deployed everywhere would be replaced by an upgrade: of a library, of Go, or of this
// package. Write the file anew only if that is meant, and then raise hashVersion.
func TestHashes(t *testing.T) {
	var b strings.Builder
	lowerCases(t, func(archive *txtar.Archive, path string) {
		for _, f := range archive.Files {
			name, ok := strings.CutSuffix(f.Name, ".yml")
			if !ok {
				continue
			}
			project, _ := loadText(t, recipeOf(string(f.Data)))
			if project == nil {
				continue
			}
			fmt.Fprintf(&b, "%s/%s\n", strings.TrimSuffix(filepath.Base(path), ".txtar"), name)
			for _, s := range project.Services {
				names, hash := digestService(placeless(s))
				fmt.Fprintf(&b, "  service %s %s %s\n", s.Name, hash, strings.Join(sortedKeys(names), " "))
			}
			for _, n := range project.Networks {
				if n.Key != "default" && !n.External {
					fmt.Fprintf(&b, "  network %s %s\n", n.Key, n.Hash)
				}
			}
			for _, v := range project.Volumes {
				if v.External {
					continue
				}
				fmt.Fprintf(&b, "  volume %s %s\n", v.Key, v.Hash)
			}
		}
	})
	golden(t, "../testdata/lowering/hashes.txt", b.String())
}

// TestLowerIsDeterministic lowers one recipe many times: maps must not show.
func TestLowerIsDeterministic(t *testing.T) {
	lowerCases(t, func(archive *txtar.Archive, _ string) {
		i := slices.IndexFunc(archive.Files, func(f txtar.File) bool {
			return slices.Contains([]string{"networks.yml", "volumes.yml", "ulimits.yml", "ports.yml", "environment-map.yml", "needs.yml"}, f.Name)
		})
		if i < 0 {
			return
		}
		first := ""
		for range 20 {
			project, found := loadText(t, recipeOf(string(archive.Files[i].Data)))
			text, err := json.Marshal([]any{project, found})
			if err != nil {
				t.Fatal(err)
			}
			if first == "" {
				first = string(text)
			}
			if string(text) != first {
				t.Fatalf("%s: lowered differently\n%s\n%s", archive.Files[i].Name, first, text)
			}
		}
	})
}
