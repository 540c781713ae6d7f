package compose

import (
	"fmt"
	"strings"
	"testing"
)

func TestBlankNamesTheVariablesWithoutValue(t *testing.T) {
	values := map[string]string{"SET": "x", "EMPTY": ""}
	lookup := func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}
	tests := []struct{ text, want string }{
		{"plain", ""},
		{"$A ${B} $SET ${EMPTY}", "A B"},
		{"$$A $${A}", ""},
		{"${A:-d} ${A-d} ${EMPTY:-$B} ${EMPTY-$B}", "B"},
		{"${SET:-$A} ${SET-$A}", ""},
		{"${SET:+$A} ${EMPTY:+$B} ${EMPTY+$C} ${D+$E}", "A C"},
		{"${A:-${B:-$C}}$D", "C D"},
		{"${A?msg} ${B:?msg}", ""},
		{"${A", "A"},
		{"${A b}", ""},
		{"$ $1 ${} ${-}", ""},
	}
	for _, tt := range tests {
		if got := strings.Join(blank(tt.text, lookup), " "); got != tt.want {
			t.Errorf("blank(%q): %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestDistanceFindsTypos(t *testing.T) {
	names := []string{"image", "ports", "environment", "env_file", "init"}
	tests := []struct{ name, want string }{
		{"imagee", `did you mean "image"?`},
		{"prots", `did you mean "ports"?`},
		{"enviroment", `did you mean "environment"?`},
		{"Image", `did you mean "image"?`},
		{"wibble", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := didYouMean(tt.name, names); got != tt.want {
			t.Errorf("didYouMean(%q): %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestFindingsTellNoSecret: what a variable holds whose name says that it is a secret is in no finding, wherever a recipe puts it.
func TestFindingsTellNoSecret(t *testing.T) {
	for _, attribute := range []string{
		"pull_policy: ${API_TOKEN}", "mem_limit: ${API_TOKEN}", "restart: ${API_TOKEN}", "ports: [\"80:${API_TOKEN}\"]",
		"devices: [\"a:b:c:${API_TOKEN}\"]", "dns: $API_TOKEN", "volumes: [\"./x:${API_TOKEN}\"]", "sysctls: [\"$API_TOKEN=1\"]",
	} {
		_, found, err := Load(t.Context(), Source{
			Files: []string{"-"}, Stdin: strings.NewReader("services: {web: {image: \"app:1\", " + attribute + "}}"), Dir: t.TempDir(),
			Environ: []string{"API_TOKEN=" + secretInEnviron},
		})
		if err == nil || len(found) == 0 {
			t.Errorf("%s: got no error", attribute)
		}
		if text := fmt.Sprint(found, err); strings.Contains(text, secretInEnviron) {
			t.Errorf("%s: the secret is told: %s", attribute, text)
		}
	}
}
