package enginetest

import (
	"encoding/json"
	"net/http"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// logIn answers POST /auth: a registry takes what one of its images asks for, and anything if none asks.
func (e *Engine) logIn(r *request) error {
	var auth registry.AuthConfig
	if err := json.NewDecoder(r.Body).Decode(&auth); err != nil {
		return fail(http.StatusBadRequest, "invalid JSON: %s", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	known, asks := false, false
	for ref, m := range e.remote {
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil || !atAddress(reference.Domain(named), auth.ServerAddress) {
			continue
		}
		known, asks = true, asks || m.credentials != ""
		if m.credentials == auth.Username+":"+auth.Password {
			return r.reply(http.StatusOK, registry.AuthenticateOKBody{Status: "Login Succeeded"})
		}
	}
	switch {
	case !known:
		return fail(http.StatusInternalServerError, `Get "https://%s/v2/": dial tcp 127.0.0.1:1: connect: connection refused`, auth.ServerAddress)
	case asks:
		return fail(http.StatusUnauthorized, `Get "https://%s/v2/": unauthorized: authentication required`, auth.ServerAddress)
	}
	return r.reply(http.StatusOK, registry.AuthenticateOKBody{Status: "Login Succeeded"})
}

// atAddress tells whether a registry goes by an address; Docker Hub's is that of its index.
func atAddress(domain, address string) bool {
	return domain == address || domain == "docker.io" && (address == "" || address == "https://index.docker.io/v1/")
}

// inspectDistribution answers GET /distribution/NAME/json: what a registry has, without pulling it.
func (e *Engine) inspectDistribution(r *request) error {
	named, err := reference.ParseNormalizedNamed(r.name)
	if err != nil {
		return fail(http.StatusBadRequest, "invalid reference format")
	}
	e.mu.Lock()
	m, fault, err := e.lookUp(reference.TagNameOnly(named), r)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	if fault != nil {
		return fail(fault.Status, "%s", fault.Message)
	}
	answer := registry.DistributionInspect{}
	answer.Descriptor = ocispec.Descriptor{MediaType: "application/vnd.docker.distribution.manifest.v2+json", Digest: digest.Digest(m.Digest), Size: 528}
	answer.Platforms = []ocispec.Platform{{OS: "linux", Architecture: "amd64"}}
	return r.reply(http.StatusOK, answer)
}
