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
	// PullUnknown: the registry has no such image; some say the same of a private one.
	PullUnknown PullReason = "unknown"
	// PullPlatform: the image is not made for the platform.
	PullPlatform PullReason = "platform"
	// PullLimited: too many pulls.
	PullLimited PullReason = "limited"
	// PullUntrusted: the certificates of the registry, or those that it wants, don't do.
	PullUntrusted PullReason = "untrusted"
	// PullPlainHTTP: the registry does not speak TLS, and the Engine insists on it.
	PullPlainHTTP PullReason = "plain-http"
	// PullProxy: the proxy wants credentials.
	PullProxy PullReason = "proxy"
	// PullDisk: the Engine's disk is full.
	PullDisk PullReason = "disk"
	// PullRefused: the Engine does not take the reference, or the registry's answer.
	PullRefused PullReason = "refused"
	// PullNetwork: a timeout, a broken connection, a registry that fails.
	PullNetwork PullReason = "network"
)

// pullReason finds the reason in the Engine's words: it passes on what a registry or a proxy answered as text. The words
// are those of dockerd 20.10 to 29, with either image store. Source: github.com/distribution/distribution,
// registry/client/errors.go; github.com/containerd/containerd, core/remotes; Go's net/http and crypto/x509.
func pullReason(err error) PullReason {
	text := strings.ReplaceAll(err.Error(), "permission denied", "") // of a file
	if code := statusIn(text); code >= 500 {
		return PullNetwork
	} else if reason := reasonOfStatus(code); reason != "" {
		return reason
	}
	for _, known := range []struct {
		reason PullReason
		words  []string
	}{
		{PullLimited, []string{"toomanyrequests", "rate limit"}},
		{PullPlainHTTP, []string{"server gave HTTP response to HTTPS client"}},
		{PullUntrusted, []string{"x509:", "tls: bad certificate", "tls: certificate required", "tls: unknown certificate"}},
		{PullDisk, []string{"no space left on device"}},
		{PullPlatform, []string{"no matching manifest", "no match for platform", "does not match the specified platform"}},
		{PullDenied, []string{"no basic auth credentials"}}, // containerd adds that there may be no such repository
		{PullUnknown, []string{"manifest unknown", "name unknown", "repository does not exist"}},
		{PullDenied, []string{"denied", "unauthorized", "authentication required", "authorization failed", "incorrect username or password"}},
		{PullUnknown, []string{": not found"}},
	} {
		for _, words := range known.words {
			if strings.Contains(text, words) {
				return known.reason
			}
		}
	}
	if errdefs.IsInvalidArgument(err) {
		return PullRefused
	}
	return PullNetwork
}

func reasonOfStatus(code int) PullReason {
	switch code {
	case http.StatusTooManyRequests:
		return PullLimited
	case http.StatusUnauthorized, http.StatusForbidden:
		return PullDenied
	case http.StatusNotFound:
		return PullUnknown
	case http.StatusProxyAuthRequired:
		return PullProxy
	}
	return ""
}

// statusIn finds the status of an answer that the Engine did not understand, 0 if there is none: "HTTP 503 response",
// "503 Service Unavailable", or, from a proxy that would not connect, the bare "Service Unavailable" at the end.
func statusIn(text string) int {
	for _, match := range regexp.MustCompile(`HTTP (\d{3}) response|\b([45]\d\d) [A-Z]`).FindAllStringSubmatch(text, -1) {
		code, _ := strconv.Atoi(match[1] + match[2])
		if match[1] != "" || strings.Contains(text, fmt.Sprintf("%d %s", code, http.StatusText(code))) {
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

// explainPull says in plain words what failed, with the Engine's own behind, and what to do about it.
func explainPull(ref, host string, auth registry.AuthConfig, err error) *ImageError {
	text, reason, known := err.Error(), pullReason(err), auth != (registry.AuthConfig{})
	private := reason == PullUnknown && strings.Contains(text, "access denied")
	if private && known {
		reason = PullDenied
	}
	words, hint := pullWords(reason, host, known)
	switch {
	case private && !known:
		words = fmt.Sprintf("%s has no such image, or it is private", host)
		hint = fmt.Sprintf("check its name; if it is private, %s", logIn(host))
	case reason == PullUntrusted && !strings.Contains(text, "x509:"):
		words = fmt.Sprintf("%s wants another client certificate", host)
		hint = fmt.Sprintf("the engine takes it from /etc/docker/certs.d/%s/client.cert and client.key (BOSH: registries[].client_cert, client_key)", host)
	case reason == PullUntrusted && !strings.Contains(text, "unknown authority"):
		words = fmt.Sprintf("the certificate of %s is not good", host)
		hint = "renew it, address the registry by the name that it is made out for, or set this machine's clock"
	}
	if words != "" {
		err = fmt.Errorf("%s: %w", words, err)
	}
	return &ImageError{Ref: ref, Err: err, Reason: reason, Hint: hint}
}

// pullWords are the plain words for a reason and the way out. known says whether there were credentials.
func pullWords(reason PullReason, host string, known bool) (words, hint string) {
	switch reason {
	case PullDenied:
		if known {
			return fmt.Sprintf("%s does not accept the credentials for it", host), "check them, and that their user may pull it; or " + logIn(host)
		}
		return fmt.Sprintf("%s wants credentials, and none are known for it", host), logIn(host)
	case PullUnknown:
		return fmt.Sprintf("%s has no such image", host), "check the image's name and tag, or import the image before"
	case PullPlatform:
		return "it is not made for this platform", "set platform: to one that it is made for, or take another image"
	case PullLimited:
		return fmt.Sprintf("%s limits the rate of pulls", host), fmt.Sprintf("wait, %s, or set registry-mirrors in the engine's daemon.json (BOSH: registry_mirrors)", logIn(host))
	case PullUntrusted:
		return fmt.Sprintf("the engine does not trust the certificate of %s", host),
			fmt.Sprintf("put its CA's certificate into /etc/docker/certs.d/%s/ca.crt (BOSH: registries[].ca_cert)", host)
	case PullPlainHTTP:
		return fmt.Sprintf("%s speaks plain HTTP, and the engine insists on HTTPS", host),
			fmt.Sprintf("add %q to insecure-registries in the engine's daemon.json and reload it (BOSH: registries[].insecure), or serve the registry with TLS", host)
	case PullProxy:
		return "the proxy wants credentials", "set them in dockerd's HTTP_PROXY and HTTPS_PROXY (BOSH: proxy.http, proxy.https)"
	case PullDisk:
		return "", "free space where the engine keeps its data"
	case PullRefused:
		return "", "check the image's name and tag"
	}
	return "", fmt.Sprintf("check that this machine reaches %s, directly or by dockerd's proxy, or import the image before", host)
}

// logIn is the way to credentials.
func logIn(host string) string {
	return fmt.Sprintf("log in with `galley login %s`, or name a file that has them with --registry-auth-file (BOSH: registries[].username, password)", host)
}
