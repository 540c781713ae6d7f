package contexts

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// put writes files below a directory, by their paths.
func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// place is the directory that a context's files are in. Source: docker/cli, context/store.
func place(kind, name string) string {
	return fmt.Sprintf("contexts/%s/%x", kind, sha256.Sum256([]byte(name)))
}

func meta(host string, unverified bool) string {
	return fmt.Sprintf(`{"Name": "lab", "Endpoints": {"docker": {"Host": %q, "SkipTLSVerify": %t}, "other": {"a": 1}}}`, host, unverified)
}

func TestAContextIsFound(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		named string
		want  string
		err   string
	}{
		"nothing was ever chosen":   {},
		"another setting":           {files: map[string]string{"config.json": `{"auths": {}}`}},
		"the default":               {files: map[string]string{"config.json": `{"currentContext": "default"}`}},
		"the one in use":            {files: map[string]string{"config.json": `{"currentContext": "lab"}`, place("meta", "lab") + "/meta.json": meta("ssh://me@lab", false)}, want: "ssh://me@lab"},
		"one that is named":         {files: map[string]string{"config.json": `{"currentContext": "x"}`, place("meta", "lab") + "/meta.json": meta("tcp://lab:2375", false)}, named: "lab", want: "tcp://lab:2375"},
		"the default, named":        {files: map[string]string{"config.json": `{"currentContext": "lab"}`}, named: Default},
		"one that is gone":          {files: map[string]string{"config.json": `{"currentContext": "lab"}`}, err: `context "lab": there is none of that name`},
		"one of another kind":       {files: map[string]string{place("meta", "lab") + "/meta.json": `{"Name": "lab", "Endpoints": {"other": {}}}`}, named: "lab", err: `context "lab": it says nothing of a Docker Engine`},
		"one that can't be read":    {files: map[string]string{place("meta", "lab") + "/meta.json": `{`}, named: "lab", err: `context "lab": `},
		"settings that can't be":    {files: map[string]string{"config.json": `{"currentContext": 1}`}, err: `finding out which context is in use: reading `},
		"a certificate that isn't":  {files: map[string]string{place("meta", "lab") + "/meta.json": meta("tcp://lab:2376", false), place("tls", "lab") + "/docker/ca.pem": "x"}, named: "lab", err: `context "lab": its ca.pem holds no certificate`},
		"a key that isn't":          {files: map[string]string{place("meta", "lab") + "/meta.json": meta("tcp://lab:2376", false), place("tls", "lab") + "/docker/cert.pem": "x", place("tls", "lab") + "/docker/key.pem": "s3cr3t"}, named: "lab", err: `context "lab": reading its cert.pem and key.pem: `},
		"a name that is no context": {named: "../lab", err: `context "../lab": there is none of that name`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, tt.files)
			got, err := Find(dir, tt.named)
			var failed *Error
			switch {
			case tt.err != "" && (!errors.As(err, &failed) || !strings.HasPrefix(err.Error(), tt.err)):
				t.Errorf("error %v, want %s", err, tt.err)
			case tt.err == "" && err != nil:
				t.Error(err)
			case tt.err != "" && strings.Contains(err.Error(), "s3cr3t"):
				t.Errorf("a key is in the error: %v", err)
			case got == nil && tt.want != "", got != nil && got.Host != tt.want:
				t.Errorf("got %v, want %q", got, tt.want)
			case got != nil && got.TLS != nil:
				t.Error("TLS, and no file that says so")
			}
		})
	}
}

func TestAContextsCertificatesAreSpokenWith(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for name, tt := range map[string]struct {
		unverified bool
		files      map[string]string
		ok         bool
	}{
		"with its CA":       {files: map[string]string{place("tls", "lab") + "/docker/ca.pem": ca}, ok: true},
		"whoever it may be": {unverified: true, ok: true},
		"as another":        {files: map[string]string{place("tls", "lab") + "/docker/ca.pem": strangerCA(t)}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, tt.files)
			put(t, dir, map[string]string{place("meta", "lab") + "/meta.json": meta("tcp://lab:2376", tt.unverified)})
			found, err := Find(dir, "lab")
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: found.TLS}}
			answer, err := client.Get(server.URL)
			if err == nil {
				answer.Body.Close()
			}
			if tt.ok != (err == nil) {
				t.Errorf("asking: %v", err)
			}
		})
	}
}

// strangerCA is a certificate that nobody here was signed by.
func strangerCA(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	text, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: text}))
}
