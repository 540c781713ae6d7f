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
		`Get "https://reg:5000/v2/": http: server gave HTTP response to HTTPS client`:                                                              PullPlainHTTP,
		`Get "https://reg:5000/v2/": x509: certificate signed by unknown authority`:                                                                PullUntrusted,
		`Get "https://reg:5000/v2/": tls: failed to verify certificate: x509: certificate is valid for a, not b`:                                   PullUntrusted,
		`Get "https://reg:5000/v2/": remote error: tls: bad certificate`:                                                                           PullUntrusted,
		`Get "https://reg:5000/v2/app/manifests/1": no basic auth credentials`:                                                                     PullDenied,
		`pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials`:              PullDenied,
		`unauthorized: authentication required`:                                                                                                    PullDenied,
		`error from registry: denied`:                                                                                                              PullDenied,
		`failed to resolve reference "quay.io/a/b:1": unexpected status from HEAD request to https://quay.io/v2/a/b/manifests/1: 403 Forbidden`:    PullDenied,
		`pull access denied for nosuch, repository does not exist or may require 'docker login': denied: requested access to the resource`:         PullUnknown,
		`manifest for busybox:nosuch not found: manifest unknown: manifest unknown`:                                                                PullUnknown,
		`failed to resolve reference "docker.io/library/busybox:nosuch": docker.io/library/busybox:nosuch: not found`:                              PullUnknown,
		`error parsing HTTP 404 response body: invalid character '<' looking for beginning of value: "<html>"`:                                     PullUnknown,
		`no matching manifest for linux/arm64/v8 in the manifest list entries`:                                                                     PullPlatform,
		`toomanyrequests: You have reached your pull rate limit.`:                                                                                  PullLimited,
		`received unexpected HTTP status: 429 Too Many Requests`:                                                                                   PullLimited,
		`Get "https://reg:5000/v2/": Too Many Requests`:                                                                                            PullLimited,
		`Get "https://reg:5000/v2/": Proxy Authentication Required`:                                                                                PullProxy,
		`failed to register layer: write /x: no space left on device`:                                                                              PullDisk,
		`received unexpected HTTP status: 503 Service Unavailable`:                                                                                 PullNetwork,
		`error parsing HTTP 502 response body: invalid character '<' looking for beginning of value: "<html>access denied by the balancer</html>"`: PullNetwork,
		`Get "https://reg:5000/v2/": Service Unavailable`:                                                                                          PullNetwork,
		`Get "https://reg:5000/v2/": EOF`:                                                                                                          PullNetwork,
		`Get "https://reg:5000/v2/": dial tcp 10.0.0.1:5000: connect: connection refused`:                                                          PullNetwork,
		`Get "https://reg:5000/v2/": net/http: TLS handshake timeout`:                                                                              PullNetwork,
		`read tcp 10.0.0.2:4711->10.0.0.1:5000: read: connection reset by peer`:                                                                    PullNetwork,
		`local error: tls: bad record MAC`:                                                                                                         PullNetwork,
		`filesystem layer verification failed for digest sha256:ab`:                                                                                PullNetwork,
		`httpReadSeeker: failed open: failed to do request: Get "https://reg:5000/v2/a/blobs/sha256:404": context deadline exceeded`:               PullNetwork,
		`mkdir /x: permission denied`:                                                                                                              PullNetwork,
	} {
		if got := pullReason(errors.New(text)); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// The operator must learn which of the three it is, and what to do about each.
func TestAFailedPullNamesTheWayOut(t *testing.T) {
	known := registry.AuthConfig{Username: "u", Password: "s3cr3t"}
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
		{"remote error: tls: certificate required", known, "reg:5000 wants another client certificate", "registries[].client_cert"},
		{"http: server gave HTTP response to HTTPS client", known, "reg:5000 speaks plain HTTP", `add "reg:5000" to insecure-registries`},
	} {
		err := explainPull("reg:5000/x", "reg:5000", tt.auth, errors.New(tt.text))
		if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Hint, tt.hint) {
			t.Errorf("%q: got %q with hint %q, want %q with %q", tt.text, err, err.Hint, tt.want, tt.hint)
		}
		if strings.Contains(err.Error()+err.Hint, "s3cr3t") {
			t.Errorf("%q: a secret is told", tt.text)
		}
	}
}
