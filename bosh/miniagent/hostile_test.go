package miniagent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recipe is the least there is.
func recipe() map[string]any {
	return map[string]any{"services": map[string]any{"web": map[string]any{"image": "nginx"}}}
}

// TestHostileValuesAreRefusedByName holds the templates to refuse what can't be meant, before any VM is touched.
func TestHostileValuesAreRefusedByName(t *testing.T) {
	programs(t, "ruby")
	for property, values := range map[string][]any{
		"files": {
			map[string]any{"/etc/passwd": "x"}, map[string]any{"../x": "x"}, map[string]any{"a/../../x": "x"}, map[string]any{"": "x"},
			map[string]any{"a/": "x"}, "html", []any{"x"}, []any{map[string]any{"a": "1"}, map[string]any{"a": "2"}},
		},
		"file_modes":         {map[string]any{"missing": "0644"}, "0644"},
		"on_duplicate_files": {"$(id)"},
		"stop_mode":          {"$(id)"},
		"daemon_scope":       {"maybe"},
		"bind":               {"2375; id", "tcp://0.0.0.0:1", 0, 70000},
		"daemon_options":     {map[string]any{"live-restore": true}, map[string]any{"data-root": "/"}, "debug"},
		"wait.timeout":       {"soon", 0},
		"drain.timeout":      {-1},
		"env":                {"A=B"},
		"profiles":           {"one"},
		"recipe":             {[]any{"x"}},
	} {
		for _, value := range values {
			properties := map[string]any{"recipe": recipe()}
			if section, key, nested := strings.Cut(property, "."); nested {
				properties[section] = map[string]any{key: value}
			} else {
				properties[property] = value
			}
			if _, err := render(t, properties); err == nil || !strings.Contains(err.Error(), "'"+property+"'") {
				t.Errorf("%s: %v: got error %v, want one that names the property", property, value, err)
			}
		}
	}
}

// TestHostileValuesAreHarmless holds the templates to carry anything that is only text, byte by byte.
func TestHostileValuesAreHarmless(t *testing.T) {
	programs(t, "ruby", "shellcheck")
	evil := "'\"`id`$(touch /tmp/pwned)\\\n=== /etc/passwd\n<%= raise %>\x01é"
	dir, err := render(t, map[string]any{
		"recipe":              map[string]any{"services": map[string]any{"web": map[string]any{"image": "nginx", "labels": map[string]any{"x": evil}}}},
		"files":               map[string]any{"a'b\"$(id)": evil, "=== /etc/passwd": evil},
		"env":                 map[string]any{"EVIL": evil},
		"insecure-registries": []any{evil},
		"registries":          []any{map[string]any{"address": evil, "password": evil}},
		"docker_group":        evil,
		"prep":                "#!/bin/sh\n: '" + "$(id)" + "'\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	var settings struct{ Env map[string]string }
	var files []struct {
		Name    string
		Content []byte
	}
	var daemon struct {
		Registries []map[string]string
		Insecure   []string       `json:"insecure_registries"`
		Daemon     map[string]any `json:"daemon"`
	}
	readRendered(t, dir, "config/settings.json", &settings)
	readRendered(t, dir, "config/files.json", &files)
	readRendered(t, dir, "config/daemon-spec.json", &daemon)
	for where, got := range map[string]string{
		"env": settings.Env["EVIL"], "files": string(files[0].Content), "insecure-registries": daemon.Insecure[0],
		"registries": daemon.Registries[0]["password"], "docker_group": daemon.Daemon["group"].(string),
	} {
		if got != evil {
			t.Errorf("%s: got %q, want %q", where, got, evil)
		}
	}
	scripts, err := filepath.Glob(filepath.Join(dir, "bin/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "pwned") {
			t.Errorf("%s has a property's value:\n%s", script, text)
		}
	}
}

func TestFilesThatAreNoStringsBecomeYAML(t *testing.T) {
	programs(t, "ruby")
	dir, err := render(t, map[string]any{"files": map[string]any{"conf.yml": map[string]any{"b": []any{1, true}, "a": "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	var files []struct{ Content []byte }
	readRendered(t, dir, "config/files.json", &files)
	if got, want := string(files[0].Content), "---\na: x\nb:\n- 1\n- true\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestALaterFileWinsWhereThatIsAskedFor(t *testing.T) {
	programs(t, "ruby")
	dir, err := render(t, map[string]any{
		"on_duplicate_files": "override", "files": []any{map[string]any{"a": "1", "b": "1"}, map[string]any{"a": "2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var files []struct {
		Name    string
		Content []byte
	}
	readRendered(t, dir, "config/files.json", &files)
	if len(files) != 2 || files[0].Name != "a" || string(files[0].Content) != "2" {
		t.Errorf("got %v", files)
	}
}

func readRendered(t *testing.T, dir, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
}
