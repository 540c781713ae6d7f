package credentials

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/registry"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// secret is what no error may hold.
const secret = "s3cr3t"

func file(t *testing.T, text string) File {
	t.Helper()
	f := File{Path: filepath.Join(t.TempDir(), "config.json")}
	if err := os.WriteFile(f.Path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return f
}

// install puts a credential helper on the PATH: a shell script that keeps secrets in its own folder.
func install(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\ncd "+dir+"\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

const keeper = `read -r line
case $1 in
get)
	case $line in
	quay.io|https://index.docker.io/v1/) [ -f erased ] || { echo '{"Username": "robot", "Secret": "s3cr3t"}'; exit; } ;;
	token.example) echo '{"Username": "<token>", "Secret": "s3cr3t"}'; exit ;;
	blank.example) echo '{"Username": "", "Secret": ""}'; exit ;;
	broken.example) echo 's3cr3t leaks'; exit 1 ;;
	esac
	echo 'credentials not found in native keychain'; exit 1 ;;
store) echo "$line" >stored ;;
erase) echo "$line" >>erased ;;
esac
`

// "user:s3cr3t" and "hub:s3cr3t" in base64.
const userAuth, hubAuth = "dXNlcjpzM2NyM3Q=", "aHViOnMzY3IzdA=="

func TestGet(t *testing.T) {
	install(t, "keeper", keeper)
	for name, tt := range map[string]struct {
		file, host string
		want       registry.AuthConfig
	}{
		"an entry":                          {`{"auths": {"reg:5000": {"auth": "` + userAuth + `"}}}`, "reg:5000", registry.AuthConfig{Username: "user", Password: secret}},
		"another port is another registry":  {`{"auths": {"reg:5000": {"auth": "` + userAuth + `"}}}`, "reg:5001", registry.AuthConfig{}},
		"an address with a scheme":          {`{"auths": {"https://reg:5000/v1/": {"auth": "` + userAuth + `"}}}`, "reg:5000", registry.AuthConfig{Username: "user", Password: secret}},
		"user and password in plain":        {`{"auths": {"reg": {"username": "user", "password": "s3cr3t"}}}`, "reg", registry.AuthConfig{Username: "user", Password: secret}},
		"an identity token":                 {`{"auths": {"reg": {"identitytoken": "s3cr3t"}}}`, "reg", registry.AuthConfig{IdentityToken: secret}},
		"Docker Hub as docker login has it": {`{"auths": {"https://index.docker.io/v1/": {"auth": "` + hubAuth + `"}}}`, "docker.io", registry.AuthConfig{Username: "hub", Password: secret}},
		"Docker Hub as podman has it":       {`{"auths": {"docker.io": {"auth": "` + hubAuth + `"}}}`, "docker.io", registry.AuthConfig{Username: "hub", Password: secret}},
		"Docker Hub by its second address":  {`{"auths": {"https://registry-1.docker.io/v2/": {"auth": "` + hubAuth + `"}}}`, "docker.io", registry.AuthConfig{Username: "hub", Password: secret}},
		"a helper for all":                  {`{"credsStore": "keeper"}`, "quay.io", registry.AuthConfig{Username: "robot", Password: secret}},
		"a helper's token":                  {`{"credsStore": "keeper"}`, "token.example", registry.AuthConfig{IdentityToken: secret}},
		"a helper for all knows Docker Hub": {`{"credsStore": "keeper", "auths": {"https://index.docker.io/v1/": {}}}`, "docker.io", registry.AuthConfig{Username: "robot", Password: secret}},
		"a helper that has nothing":         {`{"credsStore": "keeper"}`, "other.example", registry.AuthConfig{}},
		"a helper for one":                  {`{"credHelpers": {"quay.io": "keeper"}, "auths": {"reg": {"auth": "` + userAuth + `"}}}`, "quay.io", registry.AuthConfig{Username: "robot", Password: secret}},
		"another one beside it":             {`{"credHelpers": {"quay.io": "keeper"}, "auths": {"reg": {"auth": "` + userAuth + `"}}}`, "reg", registry.AuthConfig{Username: "user", Password: secret}},
		"a helper that has only blanks":     {`{"credsStore": "keeper", "auths": {"blank.example": {"auth": "` + userAuth + `"}}}`, "blank.example", registry.AuthConfig{Username: "user", Password: secret}},
		"a byte order mark":                 {"\ufeff" + `{"auths": {"reg": {"auth": "` + userAuth + `"}}}`, "reg", registry.AuthConfig{Username: "user", Password: secret}},
		"an entry that the helper lacks":    {`{"credsStore": "keeper", "auths": {"reg": {"auth": "` + userAuth + `"}}}`, "reg", registry.AuthConfig{Username: "user", Password: secret}},
		"an empty file":                     {"", "reg", registry.AuthConfig{}},
		"keys of other programs":            {`{"auths": null, "currentContext": "default", "somethingNew": {"a": 1}}`, "reg", registry.AuthConfig{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := file(t, tt.file).Get(t.Context(), tt.host)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(registry.AuthConfig{}, "ServerAddress")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if got, err := (File{filepath.Join(t.TempDir(), "none")}).Get(t.Context(), "reg"); err != nil || got != (registry.AuthConfig{}) {
		t.Errorf("of a missing file, got %v, %v", got, err)
	}
}

func TestErrorsNameTheFileAndHoldNoSecret(t *testing.T) {
	install(t, "keeper", keeper)
	install(t, "talks", "echo 's3cr3t {'")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-noprogram"), []byte("s3cr3t"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for name, tt := range map[string]struct{ file, want string }{
		"a password that is a number": {`{"auths": {"broken.example": {"password": 5313373}}}`, `"auths.password" must be of another type`},
		"cut off":                     {`{"auths": {"broken.example": {"auth": "s3cr3t`, "the JSON ends before its end"},
		"a list":                      {`["s3cr3t"]`, "it is no JSON object"},
		"no JSON":                     {`s3cr3t`, "no JSON from byte 1 on"},
		"no base64":                   {`{"auths": {"broken.example": {"auth": "s3cr3t!"}, "another": {"auth": "` + userAuth + `"}}}`, `the entry of "broken.example" in auths can't be understood`},
		"a helper that fails":         {`{"credsStore": "keeper"}`, `"docker-credential-keeper" failed: exit status 1`},
		"a helper that talks":         {`{"credHelpers": {"broken.example": "talks"}}`, `"docker-credential-talks" did not answer with credentials`},
		"a helper that is no program": {`{"credsStore": "noprogram"}`, `"docker-credential-noprogram" can't be run: exec format error`},
		"a helper that is missing":    {`{"credsStore": "nowhere"}`, `"docker-credential-nowhere" is not installed`},
	} {
		t.Run(name, func(t *testing.T) {
			f := file(t, tt.file)
			_, err := f.Get(t.Context(), "broken.example")
			var failed *Error
			if !errors.As(err, &failed) || failed.Path != f.Path || failed.Hint == "" {
				t.Fatalf("got error %v, want an Error with the path and a hint", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want %q in it", err, tt.want)
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "5313373") {
				t.Errorf("the error holds a secret: %q", err)
			}
		})
	}
}

func TestAFileThatCanNotBeReadIsToldAsSuch(t *testing.T) {
	_, err := File{t.TempDir()}.Get(t.Context(), "reg")
	var failed *Error
	if !errors.As(err, &failed) || failed.Err.Error() != "is a directory" || !strings.Contains(failed.Hint, "this user may read") {
		t.Errorf("got error %v, want that it is a directory", err)
	}
}

func TestAHelperThatHangsEndsWithItsContext(t *testing.T) {
	install(t, "hangs", "exec sleep 600")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := file(t, `{"credsStore": "hangs"}`).Get(ctx, "reg")
	if err == nil || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("got error %v, want that it did not answer", err)
	}
}

func TestPutAndRemove(t *testing.T) {
	f := file(t, `{"auths": {"other": {"auth": "`+userAuth+`"}}, "psFormat": "{{.ID}}"}`)
	if _, err := f.Put(t.Context(), DockerHub, registry.AuthConfig{Username: "hub", Password: secret}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Put(t.Context(), "token.example", registry.AuthConfig{Username: "u", Password: "p", IdentityToken: "t"}); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(f.Path)
	for _, want := range []string{`"https://index.docker.io/v1/"`, hubAuth, userAuth, `"psFormat": "{{.ID}}"`, `"identitytoken": "t"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the file lacks %s:\n%s", want, text)
		}
	}
	if info, err := os.Stat(f.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v (%v), want 0600", info.Mode(), err)
	}
	if got, err := f.Get(t.Context(), DockerHub); err != nil || got.Password != secret {
		t.Errorf("got %v, %v, want what was put", got.Username, err)
	}
	for _, had := range []bool{true, false} {
		if ok, err := f.Remove(t.Context(), DockerHub); ok != had || err != nil {
			t.Errorf("removing: got %v, %v, want %v", ok, err, had)
		}
	}
	if got, _ := f.Get(t.Context(), "other"); got.Username != "user" {
		t.Error("another registry's credentials went too")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(f.Path), ".config*")); len(left) > 0 {
		t.Errorf("drafts were left: %q", left)
	}
}

func TestPutAndRemoveWithAHelper(t *testing.T) {
	install(t, "keeper", keeper)
	dir, _, _ := strings.Cut(os.Getenv("PATH"), ":")
	f := file(t, `{"credHelpers": {"quay.io": "keeper"}}`)
	helper, err := f.Put(t.Context(), "quay.io", registry.AuthConfig{Username: "u", Password: secret})
	if err != nil || helper != "keeper" {
		t.Fatalf("got %q, %v, want the helper", helper, err)
	}
	if stored, _ := os.ReadFile(filepath.Join(dir, "stored")); !strings.Contains(string(stored), secret) {
		t.Errorf("the helper got %q", stored)
	}
	if text, _ := os.ReadFile(f.Path); strings.Contains(string(text), "auth\"") || !strings.Contains(string(text), `"quay.io": {}`) {
		t.Errorf("the file holds more than a note:\n%s", text)
	}
	if ok, err := f.Remove(t.Context(), "quay.io"); !ok || err != nil {
		t.Errorf("removing: got %v, %v", ok, err)
	}
	if erased, _ := os.ReadFile(filepath.Join(dir, "erased")); string(erased) != "quay.io\n" {
		t.Errorf("the helper was told to erase %q", erased)
	}
}

func TestAHelperThatFailsToKeepOrForgetHasAWayOut(t *testing.T) {
	f := file(t, `{"credsStore": "nowhere"}`)
	_, keeping := f.Put(t.Context(), "reg", registry.AuthConfig{Username: "u", Password: secret})
	_, forgetting := f.Remove(t.Context(), DockerHub)
	for want, err := range map[string]error{"keeping credentials by way of ": keeping, "forgetting credentials by way of ": forgetting} {
		var failed *Error
		if !errors.As(err, &failed) || failed.Hint == "" || !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("got error %v, want one that begins with %q and has a hint", err, want)
		}
	}
}

func TestASymbolicLinkIsKept(t *testing.T) {
	target := file(t, `{}`)
	link := File{filepath.Join(t.TempDir(), "config.json")}
	if err := os.Symlink(target.Path, link.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := link.Put(t.Context(), "reg", registry.AuthConfig{Username: "u", Password: secret}); err != nil {
		t.Fatal(err)
	}
	if got, _ := target.Get(t.Context(), "reg"); got.Username != "u" {
		t.Error("the link's target did not get the credentials")
	}
}

func TestHost(t *testing.T) {
	for address, want := range map[string]string{
		"": DockerHub, "docker.io": DockerHub, "index.docker.io": DockerHub, "https://index.docker.io/v1/": DockerHub,
		"registry-1.docker.io": DockerHub, "quay.io": "quay.io", "https://quay.io/v2/": "quay.io", "reg:5000": "reg:5000",
		"http://10.0.0.1:5000": "10.0.0.1:5000", "ghcr.io/owner": "ghcr.io",
	} {
		if got := Host(address); got != want {
			t.Errorf("Host(%q) = %q, want %q", address, got, want)
		}
	}
}
