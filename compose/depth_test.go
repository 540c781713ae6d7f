package compose

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestARecipeTooDeepIsRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	var text strings.Builder
	text.WriteString("services:\n  web:\n    image: nginx:1\n    x-deep:\n")
	for i := range 2000 {
		fmt.Fprintln(&text, strings.Repeat(" ", 6+i)+"k:")
	}
	if err := os.WriteFile(filepath.Join(dir, "compose.yml"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	_, found, err := Load(t.Context(), Source{Dir: dir})
	var invalid *InvalidError
	if !errors.As(err, &invalid) || len(found) != 1 || found[0].Code != "too-large" || found[0].Line != 202 {
		t.Errorf("got %v and error %v, want the first line that is too deep", found, err)
	}
}

func TestTwoWideRangesOfPortsAreToldOfBriefly(t *testing.T) {
	dir := t.TempDir()
	text := "services:\n"
	for _, name := range []string{"a", "b"} {
		text += fmt.Sprintf("  %s:\n    image: nginx:1\n    ports: [\"20000-22000:20000-22000\"]\n", name)
	}
	if err := os.WriteFile(filepath.Join(dir, "compose.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, found, err := Load(t.Context(), Source{Dir: dir})
	if err == nil || len(found) == 0 || len(found) > maxConflicts {
		t.Errorf("got %d findings and error %v", len(found), err)
	}
}
