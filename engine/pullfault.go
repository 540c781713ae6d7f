package engine

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/registry"
)

// PullReason tells why a pull failed.
type PullReason string

// The reasons. PullNetwork alone is worth another try.
const (
	// PullDenied: the registry wants credentials, or other ones.
	PullDenied PullReason = "denied"
	// PullUnknown: the registry has no such image, or lacks a part of it; some say the same of a private one.
	PullUnknown PullReason = "unknown"
	// PullPlatform: the image is not made for the platform.
	PullPlatform PullReason = "platform"
	// PullLimited: too many pulls.
	PullLimited PullReason = "limited"
	// PullUntrusted: the certificates of the registry, or those that it wants, don't do.
	PullUntrusted PullReason = "untrusted"
	// PullPlainHTTP: the registry does not speak TLS, and the Engine insists on it.
	PullPlainHTTP PullReason = "plain-http"
	// PullProxy: the proxy wants credentials, or does not let the Engine reach the registry.
	PullProxy PullReason = "proxy"
	// PullDisk: the Engine's disk is full.
	PullDisk PullReason = "disk"
	// PullRefused: the registry does not take the request, or the Engine the reference or the registry's answer.
	PullRefused PullReason = "refused"
	// PullNetwork: a timeout, a broken connection, a registry that fails.
	PullNetwork PullReason = "network"
)

// pullReason finds the reason in the Engine's words: it passes on what a registry or a proxy answered as text. The words
// are those of dockerd 20.10 to 29, with either image store. Source: github.com/distribution/distribution,
// registry/client/errors.go; github.com/containerd/containerd, core/remotes; Go's net/http and crypto/x509.
func pullReason(err error) PullReason {
	text := strings.ReplaceAll(err.Error(), "permission denied", "") // of a file
	if wantsCertificate(text) {
		return PullUntrusted
	}
	if forbiddenByProxy(text) {
		return PullProxy
	}
	if reason := reasonOfStatus(statusIn(text)); reason != "" {
		return reason
	}
	for _, known := range []struct {
		reason PullReason
		words  []string
	}{
		{PullLimited, []string{"toomanyrequests", "rate limit"}},
		{PullPlainHTTP, []string{"server gave HTTP response to HTTPS client"}},
		{PullUntrusted, []string{"x509:"}},
		{PullDisk, []string{"no space left on device"}},
		{PullPlatform, []string{"no matching manifest", "no match for platform", "does not match the specified platform", "cannot be used on this platform"}},
		{PullRefused, []string{"tls: first record", "tls: handshake failure", "tls: protocol version", "tls: unrecognized name"}},
		{PullRefused, []string{"don't match image configuration", "wrong diff id", "unsupported media type"}},
		{PullRefused, []string{"media type text/html", "invalid character '<'", "name invalid", "no longer supported", "schema 1", "invalid port"}},
		{PullDenied, []string{"no basic auth credentials"}}, // containerd adds that there may be no such repository
		{PullUnknown, []string{"manifest unknown", "name unknown", "repository does not exist", "unknown blob", "blob unknown"}},
		{PullDenied, []string{"denied", "unauthorized", "authentication required", "authorization failed", "incorrect username or password"}},
		{PullUnknown, []string{": not found"}},
	} {
		for _, words := range known.words {
			if strings.Contains(text, words) {
				return known.reason
			}
		}
	}
	// What the graph drivers' Engine makes of a status below 500 that it has no word for: the answer's text, or nothing.
	said := strings.TrimSpace(strings.TrimPrefix(text, engineSays))
	if errdefs.IsInvalidArgument(err) || said == "unknown:" || strings.HasPrefix(said, "unknown: <") {
		return PullRefused
	}
	return PullNetwork
}

// engineSays is what the docker client puts before the Engine's words.
const engineSays = "Error response from daemon: "

// wantsCertificate tells whether a registry misses a client's certificate, or does not take the one that it got: Go's servers
// say so while they greet, nginx with a page. Source: crypto/tls, alert.go; nginx, ngx_http_special_response.c.
func wantsCertificate(text string) bool {
	for _, words := range []string{
		"tls: bad certificate", "tls: certificate required", "tls: unknown certificate",
		"No required SSL certificate was sent", "The SSL certificate error",
	} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// forbiddenByProxy tells whether a proxy would not connect: of its answer, Go passes on no more than the status in words.
func forbiddenByProxy(text string) bool {
	return strings.HasSuffix(text, `": `+http.StatusText(http.StatusForbidden))
}

// reasonOfStatus is "" for a number that is no failure's.
func reasonOfStatus(code int) PullReason {
	switch {
	case code < 400:
		return ""
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooEarly:
		return PullNetwork
	case code == http.StatusTooManyRequests:
		return PullLimited
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return PullDenied
	case code == http.StatusNotFound:
		return PullUnknown
	case code == http.StatusProxyAuthRequired:
		return PullProxy
	}
	return PullRefused
}

// statusIn finds the status of an answer that the Engine did not understand, 0 if there is none: "HTTP 503 response",
// "503 Service Unavailable", a bare number at the end, or, from a proxy that would not connect, the bare "Service
// Unavailable" there.
func statusIn(text string) int {
	const forms = `HTTP (\d{3}) response|request to \S+: (\d{3})$|\b([45]\d\d) [A-Z]`
	for _, match := range regexp.MustCompile(forms).FindAllStringSubmatch(text, -1) {
		code, _ := strconv.Atoi(match[1] + match[2] + match[3])
		if match[3] == "" || strings.Contains(text, fmt.Sprintf("%d %s", code, http.StatusText(code))) {
			return code
		}
	}
	for code := 400; code < 512; code++ {
		if words := http.StatusText(code); words != "" && strings.HasSuffix(text, ": "+words) {
			return code
		}
	}
	return 0
}

// explainPull says in plain words what failed, with the Engine's own behind, and what to do about it. unread is why there
// are no credentials, if they could not be read.
func explainPull(ref, host string, auth registry.AuthConfig, unread, err error) *ImageError {
	f := newPullFailure(host, auth != (registry.AuthConfig{}), err)
	f.unread = unread
	words, hint := f.words()
	return &ImageError{Ref: ref, Err: f.with(words), Reason: f.reason, Hint: hint}
}
