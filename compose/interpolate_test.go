package compose

import (
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
