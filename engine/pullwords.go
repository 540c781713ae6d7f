package engine

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// pullFailure is what is known of a pull, or of another request to a registry, that failed.
type pullFailure struct {
	err    error
	text   string // in the Engine's words
	reason PullReason
	host   string // the registry's
	at     string // the host that failed: the registry's, or one that it sends to; "" if it is not known which of those
	known  bool   // there were credentials
	unread error  // why there were none, if they could not be read
}

func newPullFailure(host string, known bool, err error) *pullFailure {
	f := &pullFailure{err: err, text: withoutQueries(withoutPage(err.Error())), reason: pullReason(err), host: host, known: known}
	if f.text != err.Error() {
		f.err = errors.New(f.text)
	}
	f.at = failingHost(f.text, host)
	return f
}

// with puts plain words before the Engine's.
func (f *pullFailure) with(words string) error {
	if words == "" {
		return f.err
	}
	return fmt.Errorf("%s: %w", words, f.err)
}

// words are plain ones for the failure, "" where the Engine's are plain, and the way out.
func (f *pullFailure) words() (words, hint string) {
	switch f.reason {
	case PullDenied:
		return f.denied()
	case PullUnknown:
		return f.unknown()
	case PullPlatform:
		return "it is not made for this platform", "set platform: to one that it is made for, or take another image"
	case PullLimited:
		mirror := ""
		if f.host == hub {
			mirror = ", or set registry-mirrors in the engine's daemon.json (BOSH: registry_mirrors)"
		}
		return fmt.Sprintf("%s limits the rate of pulls", f.host), fmt.Sprintf("wait, or %s%s", logIn(f.host), mirror)
	case PullUntrusted:
		return f.untrusted()
	case PullPlainHTTP:
		return fmt.Sprintf("%s speaks plain HTTP, and the engine insists on HTTPS", f.atOr(f.host)),
			fmt.Sprintf("add %q to insecure-registries in the engine's daemon.json and reload it (BOSH: registries[].insecure), or serve the registry with TLS", f.host)
	case PullProxy:
		if forbiddenByProxy(f.text) {
			return fmt.Sprintf("the proxy does not let the engine reach %s", f.at),
				fmt.Sprintf("have it allow that, or add %s to dockerd's NO_PROXY (BOSH: proxy.no_proxy)", f.at)
		}
		return "the proxy wants credentials", "set them in dockerd's HTTP_PROXY and HTTPS_PROXY (BOSH: proxy.http, proxy.https)"
	case PullDisk:
		return "", "free space where the engine keeps its data"
	case PullRefused:
		return f.refused()
	}
	mirrors := ""
	if f.host == hub {
		mirrors = "; dockerd's log tells of registry-mirrors that failed before"
	}
	return "", fmt.Sprintf("check that this machine reaches %s, directly or by dockerd's proxy, or import the image before%s", f.atOr(f.elsewhere()), mirrors)
}

// atOr is the host that failed, or what is to be said where that is not known.
func (f *pullFailure) atOr(otherwise string) string {
	if f.at != "" {
		return f.at
	}
	return otherwise
}

func (f *pullFailure) elsewhere() string { return "the host that " + f.host + " keeps its layers on" }

func (f *pullFailure) denied() (words, hint string) {
	switch {
	case f.known:
		return fmt.Sprintf("%s does not accept the credentials for it", f.host), "check them, and that their user may pull it; or " + logIn(f.host)
	case f.unread != nil:
		return fmt.Sprintf("%s wants credentials, and there are none (%v)", f.host, f.unread), "mend that; or " + logIn(f.host)
	}
	if f.host == hub && f.at == hub {
		return fmt.Sprintf("%s, or a mirror of it, wants credentials, and none are known for it", f.host), logIn(f.host)
	}
	return fmt.Sprintf("%s wants credentials, and none are known for it", f.host), logIn(f.host)
}

func (f *pullFailure) unknown() (words, hint string) {
	private := strings.Contains(f.text, "access denied")
	switch {
	case private && f.known:
		f.reason = PullDenied
		return f.denied()
	case private && f.unread != nil:
		return fmt.Sprintf("%s has no such image, or wants credentials, and there are none (%v)", f.host, f.unread), "mend that; or " + logIn(f.host)
	case private:
		return fmt.Sprintf("%s has no such image, or it is private", f.host), fmt.Sprintf("check its name; if it is private, %s", logIn(f.host))
	case strings.Contains(f.text, "unknown blob"), strings.Contains(f.text, "blob unknown"), strings.Contains(f.text, "could not fetch content descriptor"):
		return fmt.Sprintf("%s lacks a part of the image", f.host), "push it there again, take another tag, or import the image before"
	}
	return fmt.Sprintf("%s has no such image", f.host), "check the image's name and tag, or import the image before"
}

// untrusted tells apart whose certificate it is, and what is wrong with it.
func (f *pullFailure) untrusted() (words, hint string) {
	switch {
	case wantsCertificate(f.text):
		return fmt.Sprintf("%s wants a client certificate, and got none that it takes", f.atOr(f.host)), f.clientCertificate()
	case !strings.Contains(f.text, "unknown authority"):
		return fmt.Sprintf("the certificate of %s is not good", f.atOr(f.elsewhere())),
			"renew it, address the registry by the name that it is made out for, or set this machine's clock"
	case f.host == hub:
		// Source: moby registry/service_v2.go, where the Hub's TLS configuration is the default one.
		return fmt.Sprintf("the engine does not trust the certificate of %s", f.atOr(f.host)),
			"bring its CA's certificate to those that the engine's machine trusts (BOSH: the director's trusted_certs), and restart the engine: certs.d does not count for Docker Hub"
	case f.at != f.host:
		return fmt.Sprintf("the engine does not trust the certificate of %s, where %s sends it", f.atOr("the host"), f.host),
			fmt.Sprintf("add its CA's certificate to %s/ca.crt (BOSH: registries[].ca_cert), or, with the containerd image store, to those that the machine trusts, and restart the engine", f.certs())
	}
	return fmt.Sprintf("the engine does not trust the certificate of %s", f.host),
		fmt.Sprintf("put its CA's certificate into %s/ca.crt (BOSH: registries[].ca_cert)", f.certs())
}

func (f *pullFailure) refused() (words, hint string) {
	check := "check the image's name and tag"
	switch status := statusIn(f.text); {
	case status == http.StatusBadRequest:
		// All that the containerd image store tells of an answer is its status.
		return fmt.Sprintf("%s refuses the request", f.host),
			fmt.Sprintf("%s, and whether the registry wants a client certificate: %s", check, f.clientCertificate())
	case strings.Contains(f.text, "no longer supported"), strings.Contains(f.text, "schema 1"):
		return "the image is in the format of Docker before 1.10, and engines no longer take that", "push it again with a newer one, or take another tag"
	case strings.Contains(f.text, "tls: first record"):
		return fmt.Sprintf("what listens at %s speaks neither TLS nor HTTP", f.at), "check its port"
	case strings.Contains(f.text, "tls: "):
		// OpenSSL's servers fail so up to TLS 1.2 where they miss a client's certificate.
		return fmt.Sprintf("the engine and %s agree on no TLS", f.at),
			"check that it speaks TLS 1.2 or newer, and whether it wants a client certificate: " + f.clientCertificate()
	case strings.Contains(f.text, "unsupported media type"):
		return fmt.Sprintf("what %s has by that name is no image", f.host), check + ": it may be a chart, or another artifact"
	case strings.Contains(f.text, "don't match image configuration"), strings.Contains(f.text, "wrong diff id"):
		return fmt.Sprintf("the image is broken as %s has it", f.host), "push it there again, or take another tag"
	case status > 0:
		return fmt.Sprintf("%s refuses the request", f.host), check + ", and that a registry listens there"
	case strings.Contains(f.text, "media type text/html"), strings.Contains(f.text, "invalid character '<'"):
		return fmt.Sprintf("a web page comes from %s, and no image", f.host),
			check + "; if a proxy or a login page stands before the registry, let this machine pass it"
	}
	return "", check
}

// certs is where the Engine looks for certificates for the registry.
func (f *pullFailure) certs() string { return "/etc/docker/certs.d/" + f.host }

func (f *pullFailure) clientCertificate() string {
	return fmt.Sprintf("the engine takes it from %s/client.cert and client.key (BOSH: registries[].client_cert, client_key)", f.certs())
}

// logIn is the way to credentials.
func logIn(host string) string {
	return fmt.Sprintf("log in with `galley login %s`, or name a file that has them with --registry-auth-file (BOSH: registries[].username, password)", host)
}

// hub is Docker Hub's name in references, and hubHost the host that serves its images.
const hub, hubHost = "docker.io", "registry-1.docker.io"

// failingHost is the host that a request failed at, by the Engine's words: the registry's, or that of the server to which it
// sends for tokens or for layers. It is "" where graph drivers fail at a layer and don't say where.
func failingHost(text, host string) string {
	for _, form := range []string{`lookup ([^\s:]+)(?: on |:)`, `https?://([^/\s"?]+)`} {
		found := regexp.MustCompile(form).FindAllStringSubmatch(text, -1)
		if len(found) == 0 {
			continue
		}
		at := found[len(found)-1][1]
		if host == hub && at == hubHost {
			return hub
		}
		return at
	}
	if strings.Contains(text, "download failed after attempts") {
		return ""
	}
	return host
}

// withoutPage puts a page's title in place of the page that a server gave for an answer.
func withoutPage(text string) string {
	page := regexp.MustCompile(`(?is)"?(<!doctype html|<html).*?(</html>|$)(\\[rnt]|\s)*"?`)
	title := regexp.MustCompile(`(?is)<title[^>]*>(?:\\[rnt]|\s)*([^<]{1,200}?)(?:\\[rnt]|\s)*</title>`)
	return page.ReplaceAllStringFunc(text, func(page string) string {
		if found := title.FindStringSubmatch(page); found != nil {
			return fmt.Sprintf("a page titled %q", html.UnescapeString(found[1]))
		}
		return "a page"
	})
}

// withoutQueries takes from URLs what lets whoever reads it get a layer: registries send to storage with signed URLs. What
// they ask a token for stays.
func withoutQueries(text string) string {
	return regexp.MustCompile(`(https?://[^\s"?]+)\?([^\s"]+)`).ReplaceAllStringFunc(text, func(address string) string {
		plain, query, _ := strings.Cut(address, "?")
		keys, err := url.ParseQuery(query)
		for _, known := range []string{"ns", "scope", "service", "account"} {
			delete(keys, known)
		}
		if err == nil && len(keys) == 0 {
			return address
		}
		return plain + "?…"
	})
}
