package engine_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/registry"

	"galley/bosh"
	"galley/compose"
	"galley/engine"
	"galley/engine/credentials"
	"galley/engine/enginetest"
	"galley/engine/enginetest/dockerd"
)

// registries are real ones, of one storage, on an address that an Engine does not take for its own machine's; and an Engine
// behind a proxy, configured by a spec as a BOSH job does it.
type registries struct {
	daemon *dockerd.Daemon
	proxy  *enginetest.Proxy
	// plain speaks HTTP, tls a certificate of ca; users wants the user robot with the password s3cr3t too, and mutual a
	// certificate of the client.
	plain, tls, users, mutual string
	ca                        *authority
	files                     bosh.DaemonFiles
}

// robotAndSecret is a line of an htpasswd file: s3cr3t, hashed with bcrypt.
const robotAndSecret = "robot:$2b$05$abcdefghijklmnopqrstuu9Avu/WgbsK7g7xfCY1X3pdjsTgxqQLS\n"

func startRegistries(t *testing.T) *registries {
	dockerd.ForTest(t) // skips where it must
	r := &registries{proxy: enginetest.NewProxy(t)}
	var err error
	r.daemon, err = dockerd.Start(t.Context(), dockerd.Options{
		Version: os.Getenv("GALLEY_TEST_ENGINE"),
		Env:     []string{"HTTP_PROXY=" + r.proxy.URL(), "HTTPS_PROXY=" + r.proxy.URL()},
		Log:     t.Output(),
	})
	must(t, err)
	t.Cleanup(func() { must(t, r.daemon.Stop()) })
	bridge, err := r.daemon.Client().NetworkInspect(t.Context(), "bridge", network.InspectOptions{})
	must(t, err)
	address := bridge.IPAM.Config[0].Gateway
	r.ca = newAuthority(t, address)

	storage := t.TempDir()
	users := filepath.Join(storage, "users")
	must(t, os.WriteFile(users, []byte(robotAndSecret), 0o600))
	start := func(o dockerd.RegistryOptions) string {
		o.Storage, o.Log = storage, t.Output()
		running, err := dockerd.StartRegistry(t.Context(), o)
		must(t, err)
		t.Cleanup(func() { must(t, running.Stop()) })
		return running.Address
	}
	local := start(dockerd.RegistryOptions{Address: "127.0.0.1"})
	r.plain = start(dockerd.RegistryOptions{Address: address})
	r.tls = start(dockerd.RegistryOptions{Address: address, Certificate: r.ca.cert, Key: r.ca.key})
	r.users = start(dockerd.RegistryOptions{Address: address, Certificate: r.ca.cert, Key: r.ca.key, Htpasswd: users})
	r.mutual = start(dockerd.RegistryOptions{Address: address, Certificate: r.ca.cert, Key: r.ca.key, ClientCA: r.ca.cert})

	r.files = bosh.DaemonFiles{DaemonJSON: r.daemon.ConfigFile(), CertsDir: r.daemon.CertsDir(), AuthFile: filepath.Join(storage, "auth.json")}
	busybox, err := dockerd.Busybox(t.Context(), t.Output())
	must(t, err)
	busybox.Names = []string{local + "/app:1"}
	must(t, dockerd.LoadImage(t.Context(), r.daemon.Client(), busybox))
	pushed, err := r.daemon.Client().ImagePush(t.Context(), local+"/app:1", image.PushOptions{RegistryAuth: "e30="})
	must(t, err)
	text, err := io.ReadAll(pushed)
	if err != nil || strings.Contains(string(text), "errorDetail") {
		t.Fatalf("pushing: %v: %s", err, text)
	}
	r.forget(t, local+"/app:1")
	return r
}

// configure writes a spec to where the Engine and its user read it; daemon.json counts after a restart alone.
func (r *registries) configure(t *testing.T, spec bosh.DaemonSpec, restart bool) {
	t.Helper()
	spec.Daemon = map[string]json.RawMessage{"max-download-attempts": json.RawMessage("1")}
	_, err := spec.Check(time.Now())
	must(t, err)
	_, err = spec.Write(r.files)
	must(t, err)
	if restart {
		must(t, r.daemon.Restart(t.Context()))
	}
}

func (r *registries) forget(t *testing.T, ref string) {
	t.Helper()
	_, err := r.daemon.Client().ImageRemove(context.WithoutCancel(t.Context()), ref, image.RemoveOptions{Force: true})
	must(t, err)
}

// pull pulls one image with the credentials of a file, and forgets it again.
func (r *registries) pull(t *testing.T, ref string) error {
	t.Helper()
	e, err := engine.Connect(t.Context(), engine.Options{
		Host: r.daemon.Host(), Credentials: credentials.File{Path: r.files.AuthFile}.Get, PullPause: time.Millisecond, StallAfter: 3 * time.Second,
	})
	must(t, err)
	defer e.Close()
	e.Notify = func(event engine.Event) {
		if strings.Contains(event.Detail, "s3cr3t") || event.Err != nil && strings.Contains(event.Err.Error(), "s3cr3t") {
			t.Errorf("a secret is told: %+v", event)
		}
	}
	err = e.Apply(t.Context(), pullOf(ref))
	if err == nil {
		r.forget(t, ref)
	}
	return err
}

// pullOf is the plan that pulls one image.
func pullOf(ref string) *engine.Plan {
	s := &compose.Service{Name: "app"}
	s.Config.Image = ref
	return engine.Pulls(&compose.Project{Name: "p", Services: []*compose.Service{s}}, &engine.State{}, engine.PullOptions{})
}

// expect pulls app:1 from a registry and holds why that fails; "" is that it doesn't.
func (r *registries) expect(t *testing.T, address string, want engine.PullReason, hint string) {
	t.Helper()
	err := r.pull(t, address+"/app:1")
	var failed *engine.ImageError
	switch errors.As(err, &failed); {
	case err == nil && want == "":
	case failed == nil || failed.Reason != want || !strings.Contains(failed.Hint, hint):
		t.Errorf("from %s: got error %v (%+v), want reason %q and hint %q", address, err, failed, want, hint)
	}
}

func TestRealRegistries(t *testing.T) {
	t.Parallel()
	r := startRegistries(t)
	trusted := func(address string) bosh.Registry { return bosh.Registry{Address: address, CACert: r.ca.certText} }
	with := func(address, user, password string) bosh.Registry {
		known := trusted(address)
		known.Username, known.Password = user, password
		return known
	}
	t.Run("nothing is configured", func(t *testing.T) {
		r.configure(t, bosh.DaemonSpec{}, true)
		r.expect(t, r.plain, engine.PullPlainHTTP, "insecure-registries")
		r.expect(t, r.tls, engine.PullUntrusted, "/etc/docker/certs.d/"+r.tls+"/ca.crt")
	})
	t.Run("plain HTTP is allowed", func(t *testing.T) {
		r.configure(t, bosh.DaemonSpec{Registries: []bosh.Registry{{Address: r.plain, Insecure: true}}}, true)
		r.expect(t, r.plain, "", "")
		if err := r.pull(t, r.plain+"/app:nosuch"); !is(err, engine.PullUnknown) {
			t.Errorf("got error %v, want that it is unknown", err)
		}
	})
	t.Run("plain HTTP is no longer allowed, and dockerd runs on", func(t *testing.T) {
		r.configure(t, bosh.DaemonSpec{}, false)
		must(t, r.daemon.Reload(t.Context()))
		r.expect(t, r.plain, engine.PullPlainHTTP, "insecure-registries")
	})
	t.Run("the CA is known", func(t *testing.T) {
		r.configure(t, bosh.DaemonSpec{Registries: []bosh.Registry{trusted(r.tls), trusted(r.users), trusted(r.mutual)}}, false)
		r.expect(t, r.tls, "", "")
		r.expect(t, r.users, engine.PullDenied, "galley login "+r.users)
		r.expect(t, r.mutual, engine.PullUntrusted, "client.cert")
	})
	t.Run("credentials", func(t *testing.T) {
		r.configure(t, bosh.DaemonSpec{Registries: []bosh.Registry{with(r.users, "robot", "wrong"), trusted(r.tls)}}, false)
		r.expect(t, r.users, engine.PullDenied, "check them")
		r.configure(t, bosh.DaemonSpec{Registries: []bosh.Registry{with(r.users, "robot", "s3cr3t"), trusted(r.tls)}}, false)
		r.expect(t, r.users, "", "")
		r.expect(t, r.tls, "", "")
	})
	t.Run("digests", func(t *testing.T) { r.testDigests(t, r.users+"/app:1") })
	t.Run("a client's certificate", func(t *testing.T) {
		known := trusted(r.mutual)
		known.ClientCert, known.ClientKey = r.ca.certText, r.ca.keyText
		r.configure(t, bosh.DaemonSpec{Registries: []bosh.Registry{known}}, false)
		r.expect(t, r.mutual, "", "")
	})
	t.Run("login", func(t *testing.T) { r.testLogin(t, trusted(r.users)) })
	t.Run("a proxy that fails", func(t *testing.T) {
		r.configure(t, bosh.DaemonSpec{Registries: []bosh.Registry{trusted(r.tls)}}, false)
		for name, tt := range map[string]struct {
			fault enginetest.ProxyFault
			want  engine.PullReason
		}{
			"drops in the middle":       {enginetest.ProxyFault{Times: 2, CutAfter: 300_000}, ""},
			"drops at the beginning":    {enginetest.ProxyFault{Times: 2, CutAfter: 100}, ""},
			"rests in the middle":       {enginetest.ProxyFault{Times: 1, CutAfter: 300_000, Stall: true}, ""},
			"is unavailable for a time": {enginetest.ProxyFault{Times: 2, Status: 503}, ""},
			"is unavailable":            {enginetest.ProxyFault{Status: 503}, engine.PullNetwork},
			"limits the rate":           {enginetest.ProxyFault{Status: 429}, engine.PullLimited},
			"finds nothing":             {enginetest.ProxyFault{Status: 404}, engine.PullUnknown},
			"wants a user":              {enginetest.ProxyFault{Status: 401}, engine.PullDenied},
			"forbids it":                {enginetest.ProxyFault{Status: 403}, engine.PullProxy},
			"wants a user of its own":   {enginetest.ProxyFault{Status: 407}, engine.PullProxy},
		} {
			t.Run(name, func(t *testing.T) {
				r.proxy.Break(r.tls, &tt.fault)
				defer r.proxy.Break(r.tls, nil)
				r.expect(t, r.tls, tt.want, "")
			})
		}
	})
}

func is(err error, reason engine.PullReason) bool {
	var failed *engine.ImageError
	return errors.As(err, &failed) && failed.Reason == reason
}

// testDigests holds that the digest is the same from the registry and, once pulled, from the Engine, and that it names the
// image.
func (r *registries) testDigests(t *testing.T, ref string) {
	e, err := engine.Connect(t.Context(), engine.Options{Host: r.daemon.Host(), Credentials: credentials.File{Path: r.files.AuthFile}.Get})
	must(t, err)
	defer e.Close()
	remote, err := e.Digests(t.Context(), nil, []string{ref})
	must(t, err)
	must(t, e.Apply(t.Context(), pullOf(ref)))
	have, err := e.State(t.Context(), "p")
	must(t, err)
	local, err := e.Digests(t.Context(), have, []string{ref})
	must(t, err)
	if local[ref] == "" || local[ref] != remote[ref] {
		t.Errorf("the registry says %q, the engine %q", remote[ref], local[ref])
	}
	r.forget(t, ref)
	must(t, e.Apply(t.Context(), pullOf(ref+"@"+local[ref])))
	r.forget(t, ref+"@"+local[ref])
	_, err = e.Digests(t.Context(), nil, []string{ref + "nosuch"})
	var failed *engine.RegistryError
	if !errors.As(err, &failed) || failed.Reason != engine.PullUnknown {
		t.Errorf("got error %v, want that it is unknown", err)
	}
}

func (r *registries) testLogin(t *testing.T, known bosh.Registry) {
	r.configure(t, bosh.DaemonSpec{Registries: []bosh.Registry{known}}, false)
	e, err := engine.Connect(t.Context(), engine.Options{Host: r.daemon.Host()})
	must(t, err)
	defer e.Close()
	_, err = e.Login(t.Context(), r.users, registry.AuthConfig{Username: "robot", Password: "wr0ng"})
	var refused *engine.RegistryError
	if !errors.As(err, &refused) || refused.Reason != engine.PullDenied || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("got error %v, want that it is denied, without the password", err)
	}
	auth, err := e.Login(t.Context(), r.users, registry.AuthConfig{Username: "robot", Password: "s3cr3t"})
	must(t, err)
	file := credentials.File{Path: r.files.AuthFile}
	_, err = file.Put(t.Context(), r.users, auth)
	must(t, err)
	r.expect(t, r.users, "", "")
	_, err = file.Remove(t.Context(), r.users)
	must(t, err)
	r.expect(t, r.users, engine.PullDenied, "galley login")
}

// authority is a self-signed certificate, good for a server at an address and for its clients, as files and texts.
type authority struct {
	cert, key, certText, keyText string
}

func newAuthority(t *testing.T, address string) *authority {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "registry"}, IPAddresses: []net.IP{net.ParseIP(address)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	must(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	dir := t.TempDir()
	a := &authority{
		cert: filepath.Join(dir, "cert.pem"), certText: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		key: filepath.Join(dir, "key.pem"), keyText: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})),
	}
	must(t, errors.Join(os.WriteFile(a.cert, []byte(a.certText), 0o600), os.WriteFile(a.key, []byte(a.keyText), 0o600)))
	return a
}
