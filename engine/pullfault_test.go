package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/registry"
)

// The words are those that Engines 20.10 to 29 were seen to answer with, under both image stores.
func TestPullReasons(t *testing.T) {
	for text, want := range map[string]PullReason{
		`Get "https://reg:5000/v2/": http: server gave HTTP response to HTTPS client`:                                                                                 PullPlainHTTP,
		`Get "https://reg:5000/v2/": x509: certificate signed by unknown authority`:                                                                                   PullUntrusted,
		`Get "https://reg:5000/v2/": tls: failed to verify certificate: x509: certificate is valid for a, not b`:                                                      PullUntrusted,
		`Get "https://reg:5000/v2/": remote error: tls: bad certificate`:                                                                                              PullUntrusted,
		`Get "https://reg:5000/v2/app/manifests/1": no basic auth credentials`:                                                                                        PullDenied,
		`pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials`:                                 PullDenied,
		`unauthorized: authentication required`:                                                                                                                       PullDenied,
		`error from registry: denied`:                                                                                                                                 PullDenied,
		`failed to resolve reference "quay.io/a/b:1": unexpected status from HEAD request to https://quay.io/v2/a/b/manifests/1: 403 Forbidden`:                       PullDenied,
		`pull access denied for nosuch, repository does not exist or may require 'docker login': denied: requested access to the resource`:                            PullUnknown,
		`manifest for busybox:nosuch not found: manifest unknown: manifest unknown`:                                                                                   PullUnknown,
		`failed to resolve reference "docker.io/library/busybox:nosuch": docker.io/library/busybox:nosuch: not found`:                                                 PullUnknown,
		`error parsing HTTP 404 response body: invalid character '<' looking for beginning of value: "<html>"`:                                                        PullUnknown,
		`no matching manifest for linux/arm64/v8 in the manifest list entries`:                                                                                        PullPlatform,
		`toomanyrequests: You have reached your pull rate limit.`:                                                                                                     PullLimited,
		`received unexpected HTTP status: 429 Too Many Requests`:                                                                                                      PullLimited,
		`Get "https://reg:5000/v2/": Too Many Requests`:                                                                                                               PullLimited,
		`failed to do request: Head "https://reg:5000/v2/a/manifests/1": Forbidden`:                                                                                   PullProxy,
		`Get "https://reg:5000/v2/": Proxy Authentication Required`:                                                                                                   PullProxy,
		`failed to register layer: write /x: no space left on device`:                                                                                                 PullDisk,
		`received unexpected HTTP status: 503 Service Unavailable`:                                                                                                    PullNetwork,
		`error parsing HTTP 502 response body: invalid character '<' looking for beginning of value: "<html>access denied by the balancer</html>"`:                    PullNetwork,
		`Get "https://reg:5000/v2/": Service Unavailable`:                                                                                                             PullNetwork,
		`Get "https://reg:5000/v2/": EOF`:                                                                                                                             PullNetwork,
		`Get "https://reg:5000/v2/": dial tcp 10.0.0.1:5000: connect: connection refused`:                                                                             PullNetwork,
		`Get "https://reg:5000/v2/": net/http: TLS handshake timeout`:                                                                                                 PullNetwork,
		`read tcp 10.0.0.2:4711->10.0.0.1:5000: read: connection reset by peer`:                                                                                       PullNetwork,
		`local error: tls: bad record MAC`:                                                                                                                            PullNetwork,
		`filesystem layer verification failed for digest sha256:ab`:                                                                                                   PullNetwork,
		`httpReadSeeker: failed open: failed to do request: Get "https://reg:5000/v2/a/blobs/sha256:404": context deadline exceeded`:                                  PullNetwork,
		`error parsing HTTP 400 response body: invalid character '<' looking for beginning of value: "<title>400 No required SSL certificate was sent</title>"`:       PullUntrusted,
		"unknown: <html>\r\n<title>400 The SSL certificate error</title>":                                                                                             PullUntrusted,
		`unknown: failed to resolve reference "reg:5000/a:1": unexpected status from HEAD request to https://reg:5000/v2/a/manifests/1: 400 Bad Request`:              PullRefused,
		`unexpected status from HEAD request to https://reg:5000/v2/a/manifests/1: 407`:                                                                               PullProxy,
		`unexpected status from HEAD request to https://reg:5000/v2/a/manifests/1: 451`:                                                                               PullRefused,
		`received unexpected HTTP status: 408 Request Timeout`:                                                                                                        PullNetwork,
		`Error response from daemon: unknown: `:                                                                                                                       PullRefused,
		`name invalid`:                                                                                                                                                PullRefused,
		`Get "https://reg:99999/v2/": dial tcp: address 99999: invalid port`:                                                                                          PullRefused,
		`error unmarshalling content: invalid character '<' looking for beginning of value`:                                                                           PullRefused,
		`failed to unpack image on snapshotter overlayfs: unexpected media type text/html for sha256:50: not found`:                                                   PullRefused,
		`not implemented: media type "application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer supported since containerd v2.0`:                        PullRefused,
		`unsupported media type application/vnd.cncf.helm.config.v1+json`:                                                                                             PullRefused,
		`layers from manifest don't match image configuration`:                                                                                                        PullRefused,
		`wrong diff id calculated on extraction "sha256:11"`:                                                                                                          PullRefused,
		`image operating system "windows" cannot be used on this platform`:                                                                                            PullPlatform,
		`error pulling image configuration: download failed after attempts=1: unknown blob`:                                                                           PullUnknown,
		`failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:e7 (application/vnd.oci.image.config.v1+json) from remote: not found`: PullUnknown,
		`mkdir /x: permission denied`:                                                                                                                                 PullNetwork,
	} {
		if got := pullReason(errors.New(text)); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// The operator must learn which of the three it is, and what to do about each.
func TestAFailedPullNamesTheWayOut(t *testing.T) {
	known, none := registry.AuthConfig{Username: "u", Password: "s3cr3t"}, registry.AuthConfig{}
	for _, tt := range []struct {
		text       string
		auth       registry.AuthConfig
		want, hint string
	}{
		{"no basic auth credentials", registry.AuthConfig{}, "reg:5000 wants credentials, and none are known for it", "galley login reg:5000"},
		{"unauthorized: authentication required", known, "reg:5000 does not accept the credentials for it", "check them"},
		{"pull access denied for x, repository does not exist or may require 'docker login': denied", known, "does not accept the credentials", "check them"},
		{"pull access denied for x, repository does not exist or may require 'docker login': denied", registry.AuthConfig{}, "has no such image, or it is private", "if it is private, log in"},
		{"x509: certificate signed by unknown authority", known, "does not trust the certificate of reg:5000", "/etc/docker/certs.d/reg:5000/ca.crt (BOSH: registries[].ca_cert)"},
		{"tls: failed to verify certificate: x509: certificate signed by unknown authority", known, "does not trust the certificate of reg:5000", "ca.crt"},
		{"x509: certificate has expired or is not yet valid", known, "the certificate of reg:5000 is not good", "renew it"},
		{"remote error: tls: certificate required", known, "reg:5000 wants a client certificate, and got none that it takes", "registries[].client_cert"},
		{`unknown: failed to resolve reference: unexpected status from HEAD request to https://reg:5000/v2/x/manifests/1: 400 Bad Request`, none, "reg:5000 refuses the request", "whether the registry wants a client certificate"},
		{`Get "https://auth:5001/token?service=s": tls: failed to verify certificate: x509: certificate signed by unknown authority`, none, "the certificate of auth:5001, where reg:5000 sends it", "/etc/docker/certs.d/reg:5000/ca.crt"},
		{`Get "https://auth:5001/token?service=s": x509: certificate has expired`, none, "the certificate of auth:5001 is not good", "renew it"},
		{"download failed after attempts=6: x509: certificate has expired", none, "the certificate of the host that reg:5000 keeps its layers on is not good", "renew it"},
		{`Head "https://reg:5000/v2/x/manifests/1": Get "https://auth/token": dial tcp: lookup auth on 10.0.0.53:53: no such host`, none, "no such host", "this machine reaches auth,"},
		{"download failed after attempts=6: dial tcp: lookup blobs.example on 10.0.0.53:53: no such host", none, "no such host", "this machine reaches blobs.example,"},
		{"error unmarshalling content: invalid character '<' looking for beginning of value", none, "a web page comes from reg:5000, and no image", "let this machine pass it"},
		{"download failed after attempts=1: unknown blob", none, "reg:5000 lacks a part of the image", "push it there again"},
		{"unsupported media type application/vnd.cncf.helm.config.v1+json", none, "what reg:5000 has by that name is no image", "a chart"},
		{"layers from manifest don't match image configuration", none, "the image is broken as reg:5000 has it", "push it there again"},
		{`Get "https://reg:5000/v2/": tls: first record does not look like a TLS handshake`, none, "what listens at reg:5000 speaks neither TLS nor HTTP", "check its port"},
		{`Get "https://reg:5000/v2/": remote error: tls: handshake failure`, none, "the engine and reg:5000 agree on no TLS", "client.cert"},
		{`Get "https://reg:5000/v2/": remote error: tls: protocol version not supported`, none, "the engine and reg:5000 agree on no TLS", "TLS 1.2"},
		{`Get "https://reg:5000/v2/": Forbidden`, none, "the proxy does not let the engine reach reg:5000", "NO_PROXY"},
		{"toomanyrequests: slow down", none, "reg:5000 limits the rate of pulls", "BOSH: registries[].username, password)"},
		{"http: server gave HTTP response to HTTPS client", known, "reg:5000 speaks plain HTTP", `add "reg:5000" to insecure-registries`},
	} {
		err := explainPull("reg:5000/x", "reg:5000", tt.auth, nil, errors.New(tt.text))
		if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Hint, tt.hint) {
			t.Errorf("%q: got %q with hint %q, want %q with %q", tt.text, err, err.Hint, tt.want, tt.hint)
		}
		if strings.Contains(err.Error()+err.Hint, "s3cr3t") {
			t.Errorf("%q: a secret is told", tt.text)
		}
	}
}

func TestDockerHubHasWaysOutOfItsOwn(t *testing.T) {
	for text, want := range map[string]string{
		`Get "https://registry-1.docker.io/v2/": x509: certificate signed by unknown authority`:              "certs.d does not count for Docker Hub",
		`Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on :53: no such host`: "reaches docker.io, directly",
		`Head "https://mirror:5000/v2/library/x/manifests/1?ns=docker.io": connection refused`:               "reaches mirror:5000, directly",
		`Get "https://registry-1.docker.io/v2/": EOF`:                                                        "dockerd's log tells of registry-mirrors",
		`toomanyrequests: You have reached your pull rate limit.`:                                            "or set registry-mirrors",
	} {
		if err := explainPull("x", "docker.io", registry.AuthConfig{}, nil, errors.New(text)); !strings.Contains(err.Hint, want) {
			t.Errorf("%q: got hint %q, want %q in it", text, err.Hint, want)
		}
	}
}

// What failed last is what an operator sees: that credentials could not be read must not stand in a warning far above alone.
func TestADenialTellsThatCredentialsCouldNotBeRead(t *testing.T) {
	for _, text := range []string{"no basic auth credentials", "pull access denied for x, repository does not exist or may require 'docker login'"} {
		err := explainPull("reg:5000/x", "reg:5000", registry.AuthConfig{}, errors.New("the helper failed"), errors.New(text))
		if !strings.Contains(err.Error(), "wants credentials, and there are none (the helper failed)") || !strings.Contains(err.Hint, "mend that") {
			t.Errorf("%q: got %q with hint %q", text, err, err.Hint)
		}
	}
}

func TestPagesAreToldByTheirTitles(t *testing.T) {
	for text, want := range map[string]string{
		`error parsing HTTP 400 response body: invalid character '<': "<html>\r\n<head><title>400 No</title></head>\r\n</html>\r\n"`: `error parsing HTTP 400 response body: invalid character '<': a page titled "400 No"`,
		"unknown: <!DOCTYPE html>\n<html lang=en><title>\n Log in &amp; go\n</title>":                                                `unknown: a page titled "Log in & go"`,
		"denied: <html>gone</html>; trying": "denied: a page; trying",
		"no page":                           "no page",
	} {
		if got := withoutPage(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestAFailedLoginNamesAWayOutOfItsOwn(t *testing.T) {
	for text, want := range map[string]string{
		"login attempt to https://reg:5000/v2/ failed with status: 401 Unauthorized":      "reg:5000 does not accept this user with this password: login attempt",
		"login attempt to http://reg:5000/v2/ failed with status: 400 Bad Request":        "reg:5000 does not accept this user with this password: login attempt",
		"login attempt to https://reg:5000/v2/ failed with status: 400 Bad Request":       "whether it wants a client certificate",
		"login attempt to https://reg:5000/v2/ failed with status: 404 Not Found":         "no registry answers at reg:5000",
		"login attempt to https://reg:5000/v2/ failed with status: 429 Too Many Requests": "reg:5000 limits the rate of requests",
		"login attempt to https://reg:5000/v2/ failed with status: 502 Bad Gateway":       "reaches reg:5000, directly",
		`Get "https://auth/token": dial tcp: lookup auth on 10.0.0.53:53: no such host`:   "reaches auth, directly",
	} {
		err := explainLogin("reg:5000", errors.New(text))
		if said := err.Error() + " " + err.Hint; !strings.Contains(said, want) || strings.Contains(err.Hint, "image") || strings.Contains(err.Hint, "galley login") {
			t.Errorf("%q: got %q, want %q in it, and nothing of images", text, said, want)
		}
	}
}

func TestASignedAddressIsNotTold(t *testing.T) {
	const signed = `failed to do request: Get "https://blobs.example/v2/x?X-Amz-Credential=AKIA&X-Amz-Signature=s3cr3t": dial tcp: lookup blobs.example: no such host`
	err := explainPull("reg:5000/x", "reg:5000", registry.AuthConfig{}, nil, errors.New(signed))
	if strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), `Get "https://blobs.example/v2/x?…": dial tcp`) {
		t.Errorf("got %v", err)
	}
	for _, text := range []string{`Head "https://mirror/v2/x/manifests/1?ns=docker.io": EOF`, `Get "https://auth/token?account=u&scope=repository%3Ax%3Apull&service=lab": EOF`} {
		if got := withoutQueries(text); got != text {
			t.Errorf("got %q of %q", got, text)
		}
	}
}
