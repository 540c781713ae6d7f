package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secretive is a service with a secret that must not show.
func secretive() *Service {
	return &Service{Name: "web", Files: []File{{Kind: KindSecret, Name: "s", Content: Content("hunter2")}}}
}

func TestAContentIsNotPrinted(t *testing.T) {
	s := secretive()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "content", s.Files[0].Content, "file", s.Files[0])
	printed := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		printed += fmt.Sprintf(verb, s.Files[0].Content) + fmt.Sprintf(verb, s.Files[0]) + fmt.Sprintf(verb, s.Files) + fmt.Sprintf(verb, *s)
	}
	hidden := []string{"hunter2", "68756e74", "68756E74", "104 117 110"}
	for _, text := range hidden {
		if strings.Contains(printed, text) {
			t.Errorf("%q is printed: %s", text, printed)
		}
	}
}

func TestAContentOutlivesJSON(t *testing.T) {
	text, err := json.Marshal(secretive())
	if err != nil {
		t.Fatal(err)
	}
	var read Service
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if string(read.Files[0].Content) != "hunter2" {
		t.Errorf("read %q from %s", []byte(read.Files[0].Content), text)
	}
}

// TestADigestNeedsTheKey: the label that it lands in can be read by everybody who may inspect a container.
func TestADigestNeedsTheKey(t *testing.T) {
	hashes := map[string]bool{}
	for _, key := range []string{"one", "two"} {
		src := Source{Dir: t.TempDir(), Files: []string{"-"}, Name: "shop", Environ: []string{"WORD=hunter2"},
			Stdin: strings.NewReader("services: {web: {image: 'app:1', secrets: [s]}}\nsecrets: {s: {environment: WORD}}\n"),
			Key:   func() ([]byte, error) { return []byte(key), nil }}
		p, _, err := Load(context.Background(), src)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(p.Services[0].Files[0].Content); got != "hunter2" {
			t.Errorf("the secret is %q", got)
		}
		hashes[p.Services[0].Fields["secret s content"]] = true
	}
	if len(hashes) != 2 {
		t.Errorf("got digests %v, want one for each key", hashes)
	}
}

// TestAFileIsReadOnce: what is checked is what is written, whatever becomes of the file meanwhile.
func TestAFileIsReadOnce(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "s.txt")
	if err := os.WriteFile(file, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	src := Source{Dir: dir, Files: []string{"-"}, Name: "shop",
		Stdin: strings.NewReader("services: {a: {image: 'app:1', secrets: [s]}, b: {image: 'app:1', secrets: [s]}}\nsecrets: {s: {file: s.txt}}\n"),
		Key: func() ([]byte, error) {
			return nil, os.WriteFile(file, []byte("second"), 0o600)
		}}
	p, _, err := Load(context.Background(), src)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Services {
		if got := string(s.Files[0].Content); got != "first" {
			t.Errorf("service %s has %q", s.Name, got)
		}
	}
}

func TestAKeyThatCantBeHadIsTold(t *testing.T) {
	src := Source{Dir: t.TempDir(), Files: []string{"-"}, Name: "shop", Environ: []string{"WORD=hunter2"},
		Stdin: strings.NewReader("services: {web: {image: 'app:1', secrets: [s]}}\nsecrets: {s: {environment: WORD}}\n"),
		Key:   func() ([]byte, error) { return nil, errors.New("no space left on device") }}
	_, _, err := Load(context.Background(), src)
	want := "-:2:11: error: the key to digest it with can't be had: no space left on device [no-key]"
	if err == nil || err.Error() != want {
		t.Errorf("error\n got %v\nwant %s", err, want)
	}
}
