package bosh

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// certificate makes a self-signed certificate that ends a while after noon, and its key.
func certificate(t *testing.T, ends time.Duration) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "registry.example"},
		NotBefore: noon.Add(-24 * time.Hour), NotAfter: noon.Add(ends),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, bytes []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", raw)
}

func TestReadDaemonSpecNamesThePropertyAndNeverItsValue(t *testing.T) {
	for text, want := range map[string]string{
		`{"registry": []}`:                            "registry: there is no such property",
		`{"registries": [{"adress": "a"}]}`:           "registries[0].adress: there is no such property",
		`{"registries": {"a": 1}}`:                    "registries: must be a list, not a mapping",
		`{"registries": [{}, {"password": 5313373}]}`: "registries[1].password: must be a text, not a number",
		`{"registries": [{"insecure": "yes"}]}`:       "registries[0].insecure: must be true or false, not a text",
		`{"registries": ["reg:5000"]}`:                "registries[0]: must be a mapping, not a text",
		`{"insecure_registries": [5]}`:                "insecure_registries: must be a text, not a number",
		`{"registry_mirrors": "https://mirror"}`:      "registry_mirrors: must be a list, not a text",
		`[]`:                                          "the spec: must be a mapping, not a list",
		`{"registries": [{"password": "5313373" s`:    "reading the spec: no JSON from byte 40 on",
		`{} {}`:            "reading the spec: something follows the object",
		`{"registries": [`: "reading the spec: the JSON ends before its end",
		``:                 "reading the spec: it is empty",
	} {
		_, err := ReadDaemonSpec(strings.NewReader(text))
		if err == nil || err.Error() != want {
			t.Errorf("%s: got error %v, want %s", text, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	cert, key := certificate(t, time.Hour)
	_, otherKey := certificate(t, time.Hour)
	old, oldKey := certificate(t, -time.Hour)
	registry := func(r Registry) DaemonSpec {
		if r.Address == "" {
			r.Address = "reg:5000"
		}
		return DaemonSpec{Registries: []Registry{r}}
	}
	daemon := func(text string) (s DaemonSpec) {
		if err := json.Unmarshal([]byte(text), &s.Daemon); err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, tt := range map[string]struct {
		spec DaemonSpec
		want []string // "warning: " in front of warnings
	}{
		"nothing":             {DaemonSpec{}, nil},
		"all that there is":   {registry(Registry{Username: "u", Password: "p", CACert: cert + cert, ClientCert: cert, ClientKey: key, Insecure: true}), nil},
		"an address too many": {DaemonSpec{Registries: []Registry{{Address: "reg:5000"}, {Address: "REG:5000"}}}, []string{`registries[1].address: "REG:5000" is listed before, as registries[0]`}},
		"Docker Hub": {DaemonSpec{Registries: []Registry{{Address: "docker.io", CACert: cert, Insecure: true}, {Address: "index.docker.io"}}}, []string{
			"warning: registries[0].insecure: dockerd insists on HTTPS for Docker Hub",
			"warning: registries[0].ca_cert: dockerd reads no certificates for Docker Hub, but with the containerd image store",
			`registries[1].address: "index.docker.io" is listed before, as registries[0]`,
		}},
		"no address":               {DaemonSpec{Registries: []Registry{{}}}, []string{"registries[0].address: is missing"}},
		"a password alone":         {registry(Registry{Password: "s3cr3t"}), []string{"registries[0].username: is missing, though there is a password"}},
		"a username alone":         {registry(Registry{Username: "u"}), []string{"registries[0].password: is missing, though there is a username"}},
		"a colon in the username":  {registry(Registry{Username: "u:v", Password: "s3cr3t"}), []string{`registries[0].username: must not hold ":"`}},
		"a line break":             {registry(Registry{Username: "u", Password: "s3cr3t\n"}), []string{"registries[0].password: username and password must not hold line breaks"}},
		"no PEM":                   {registry(Registry{CACert: "s3cr3t"}), []string{"registries[0].ca_cert: there is no certificate in it"}},
		"PEM without line breaks":  {registry(Registry{CACert: strings.ReplaceAll(cert, "\n", " ")}), []string{"registries[0].ca_cert: there is no certificate in it"}},
		"PEM that is cut off":      {registry(Registry{CACert: cert + cert[:100]}), []string{"registries[0].ca_cert: it is broken behind certificate 1"}},
		"a broken certificate":     {registry(Registry{CACert: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}), []string{"registries[0].ca_cert: certificate 1 can't be read: x509: malformed certificate"}},
		"a key among certificates": {registry(Registry{CACert: cert + key}), []string{"registries[0].ca_cert: there is a private key in it"}},
		"an expired CA":            {registry(Registry{CACert: old}), []string{`warning: registries[0].ca_cert: the certificate of "CN=registry.example" expired on 2026-06-01`}},
		"an expired client":        {registry(Registry{ClientCert: old, ClientKey: oldKey}), []string{`warning: registries[0].client_cert: the certificate of "CN=registry.example" expired on 2026-06-01`}},
		"a certificate alone":      {registry(Registry{ClientCert: cert}), []string{"registries[0].client_key: is missing, though there is a client_cert"}},
		"a key alone":              {registry(Registry{ClientKey: key}), []string{"registries[0].client_cert: is missing, though there is a client_key"}},
		"another one's key":        {registry(Registry{ClientCert: cert, ClientKey: otherKey}), []string{"registries[0].client_key: it does not belong to client_cert"}},
		"a certificate as key":     {registry(Registry{ClientCert: cert, ClientKey: cert}), []string{"registries[0].client_key: there is no private key in it"}},
		"an encrypted key": {registry(Registry{ClientCert: cert, ClientKey: strings.ReplaceAll(key, "PRIVATE", "ENCRYPTED PRIVATE")}),
			[]string{"registries[0].client_key: it is encrypted, and dockerd has no passphrase for it"}},
		"mirrors": {DaemonSpec{RegistryMirrors: []string{"https://mirror.example", "http://10.0.0.1:5000/", "mirror", "https://u:s3cr3t@m", "https://m/v2", "ftp://m", "https://a b", "https://$(id)"}}, []string{
			`registry_mirrors[2]: "mirror" is no http or https URL`, "registry_mirrors[3]: must not hold user or password: dockerd does not take them",
			`registry_mirrors[4]: "https://m/v2" has more than a host`, `registry_mirrors[5]: "ftp://m" is no http or https URL`,
			"registry_mirrors[6]: is no URL", `registry_mirrors[7]: "$(id)" is no host`,
		}},
		"insecure registries": {DaemonSpec{InsecureRegistries: []string{"reg:5000", "10.0.0.0/8", "fd00::/8", "0.0.0.0/0", "http://reg", "10.0.0.0/99"}}, []string{
			`warning: insecure_registries[3]: "0.0.0.0/0" switches the checks of certificates off for every registry`,
			`insecure_registries[4]: "http://reg" has a scheme`, `insecure_registries[5]: "10.0.0.0/99" has a path`,
		}},
		"live-restore":        {daemon(`{"live-restore": true}`), []string{"daemon.live-restore: must not be true: containers that outlive dockerd keep the persistent disk busy, which then can't be moved or unmounted"}},
		"no live-restore":     {daemon(`{"live-restore": false, "log-level": "warn"}`), nil},
		"lists that are none": {daemon(`{"registry-mirrors": "m", "insecure-registries": [1]}`), []string{"daemon.registry-mirrors: must be a list of texts", "daemon.insecure-registries: must be a list of texts"}},
		"bridge and bip":      {daemon(`{"bridge": "b0", "bip": "10.0.0.1/24"}`), []string{"daemon.bip: dockerd does not start with both bip and bridge"}},
		"hosts": {daemon(`{"hosts": ["unix:///run/d.sock", "unix:///run/d.sock", "unix://d.sock", "fd://", "tcp://0.0.0.0:2376"]}`), []string{
			`warning: daemon.hosts[4]: "tcp://0.0.0.0:2376" gives root on this machine to everybody who reaches it`,
			`daemon.hosts[1]: "unix:///run/d.sock" is listed twice: dockerd can't listen there twice`,
			`daemon.hosts[2]: "unix://d.sock" is no absolute path`, `daemon.hosts[3]: "fd://" is neither unix:// nor tcp://`,
		}},
		"hosts with TLS": {daemon(`{"hosts": ["tcp://0.0.0.0:2376"], "tlsverify": true}`), nil},
	} {
		t.Run(name, func(t *testing.T) {
			warnings, err := tt.spec.Check(noon)
			var got []string
			for _, w := range warnings {
				got = append(got, "warning: "+w.Error())
			}
			if err != nil {
				got = append(got, strings.Split(err.Error(), "\n")...)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if strings.Contains(strings.Join(got, "\n"), "s3cr3t") {
				t.Error("a secret is told")
			}
		})
	}
}

func TestCheckAddress(t *testing.T) {
	for _, good := range []string{"reg", "reg:5000", "registry.example:443", "10.0.0.1:5000", "[fd00::1]:5000", "[::1]", "a-b.c"} {
		if message, _ := checkAddress(good); message != "" {
			t.Errorf("%q: %s", good, message)
		}
	}
	for _, bad := range []string{
		"", ".", "..", "../etc", "a/../../b", "$(id)", "`id`", "reg\n:5000", "reg:5000\n", "reg ", "https://reg", "reg:", "reg:0", "reg:65536", "reg:05000",
		"reg:+5", ":5000", "-reg", "reg_", "a..b", "[::1", "[10.0.0.1]", "[fe80::1%eth0]", "[::1]x:5", "::1", "reg:5000:5000", "\x00", "a;b", "a|b", "ä", strings.Repeat("a", 254),
	} {
		if message, hint := checkAddress(bad); message == "" || hint == "" {
			t.Errorf("%q was taken", bad)
		}
	}
}

// tree is what lies under a directory: mode and text by path.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		relative, _ := filepath.Rel(dir, path)
		files[relative] = info.Mode().String() + " " + string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	files := DaemonFiles{DaemonJSON: filepath.Join(dir, "daemon.json"), CertsDir: filepath.Join(dir, "certs.d"), AuthFile: filepath.Join(dir, "auth", "config.json")}
	write := func(s DaemonSpec, want ...string) {
		t.Helper()
		changed, err := s.Write(files)
		if err != nil {
			t.Fatal(err)
		}
		for i := range changed {
			changed[i], _ = filepath.Rel(dir, changed[i])
		}
		if diff := cmp.Diff(want, changed); diff != "" {
			t.Errorf("changed (-want +got):\n%s", diff)
		}
	}
	foreign := filepath.Join(dir, "certs.d", "theirs:5000", "ca.crt")
	if err := errors.Join(os.MkdirAll(filepath.Dir(foreign), 0o755), os.WriteFile(foreign, []byte("theirs"), 0o644)); err != nil {
		t.Fatal(err)
	}
	full := DaemonSpec{
		Registries: []Registry{
			{Address: "reg:5000", CACert: "CA", ClientCert: "CERT", ClientKey: "KEY", Username: "u", Password: "p<&"},
			{Address: "docker.io", CACert: "HUB"},
			{Address: "plain:80", Insecure: true},
		},
		RegistryMirrors:    []string{"https://mirror"},
		InsecureRegistries: []string{"10.0.0.0/8", "plain:80"},
		Daemon:             map[string]json.RawMessage{"log-level": []byte(`"warn"`), "insecure-registries": []byte(`["old:1"]`), "bip": []byte("null")},
	}
	write(full, "auth/config.json", "certs.d/docker.io/ca.crt", "certs.d/reg:5000/ca.crt", "certs.d/reg:5000/client.cert", "certs.d/reg:5000/client.key", "daemon.json")
	want := map[string]string{
		"auth/config.json":             "-rw------- {\n\t\"auths\": {\n\t\t\"reg:5000\": {\n\t\t\t\"auth\": \"dTpwPCY=\"\n\t\t}\n\t}\n}\n",
		"certs.d/reg:5000/.galley":     "-rw-r--r-- ca.crt\nclient.cert\nclient.key\n",
		"certs.d/reg:5000/ca.crt":      "-rw-r--r-- CA",
		"certs.d/reg:5000/client.cert": "-rw-r--r-- CERT",
		"certs.d/reg:5000/client.key":  "-rw------- KEY",
		"certs.d/docker.io/.galley":    "-rw-r--r-- ca.crt\n",
		"certs.d/docker.io/ca.crt":     "-rw-r--r-- HUB",
		"certs.d/theirs:5000/ca.crt":   "-rw-r--r-- theirs",
		"daemon.json": `-rw------- {
  "insecure-registries": [
    "old:1",
    "10.0.0.0/8",
    "plain:80"
  ],
  "log-level": "warn",
  "registry-mirrors": [
    "https://mirror"
  ]
}
`,
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("the files (-want +got):\n%s", diff)
	}
	before, _ := os.Stat(files.DaemonJSON)
	write(full) // nothing is touched
	if after, _ := os.Stat(files.DaemonJSON); !os.SameFile(before, after) {
		t.Error("an unchanged file was written again")
	}
	if err := os.Chmod(filepath.Join(dir, "certs.d/reg:5000/client.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	write(full, "certs.d/reg:5000/client.key")

	less := DaemonSpec{Registries: []Registry{{Address: "reg:5000", CACert: "CA"}}}
	write(less, "auth/config.json", "certs.d/docker.io/ca.crt", "certs.d/reg:5000/client.cert", "certs.d/reg:5000/client.key", "daemon.json")
	write(DaemonSpec{}, "certs.d/reg:5000/ca.crt")
	want = map[string]string{"auth/config.json": "-rw------- {\n\t\"auths\": {}\n}\n", "certs.d/theirs:5000/ca.crt": "-rw-r--r-- theirs", "daemon.json": "-rw------- {\n  \"insecure-registries\": [],\n  \"registry-mirrors\": []\n}\n"}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	if entries, _ := os.ReadDir(files.CertsDir); len(entries) != 1 {
		t.Errorf("directories were left: %v", entries)
	}
}

func TestWriteKeepsWhatOthersPutBesideIt(t *testing.T) {
	dir := t.TempDir()
	files := DaemonFiles{CertsDir: dir}
	if _, err := (&DaemonSpec{Registries: []Registry{{Address: "reg", CACert: "CA"}}}).Write(files); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "reg", "extra.crt"), []byte("theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (&DaemonSpec{}).Write(files); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"reg/extra.crt": "-rw-r--r-- theirs"}, tree(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWriteLosesNoCredentials(t *testing.T) {
	if _, err := (&DaemonSpec{Registries: []Registry{{Address: "reg", Username: "u", Password: "p"}}}).Write(DaemonFiles{}); err == nil {
		t.Error("credentials were dropped without a word")
	}
}
