package enginetest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/registry"
)

// PullFault is what goes wrong with the pulls of a remote image.
type PullFault struct {
	// Times is how many pulls fail before they succeed; 0 is all.
	Times int
	// Status and Message are the error answer, or, InStream, what the stream of a 200 says.
	Status   int
	Message  string
	InStream bool
	// Break ends the stream in its middle without a word; Stall lets it rest there until the caller goes.
	Break, Stall bool
}

type remoteImage struct {
	Image
	fault       *PullFault
	credentials string
}

// AddRemote gives a registry an image that a pull finds, fault (nil for none) being what goes wrong first.
func (e *Engine) AddRemote(i Image, fault *PullFault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i.ID == "" {
		i = e.layered(i)
		i.ID = i.id()
	}
	if i.Digest == "" {
		sum := sha256.Sum256([]byte("manifest of " + i.ID))
		i.Digest = "sha256:" + hex.EncodeToString(sum[:])
	}
	m := &remoteImage{Image: i}
	if fault != nil {
		copied := *fault
		m.fault = &copied
	}
	tag, digest := canonical(i.Ref)
	e.remote[tag+digest] = m
	name, _ := reference.ParseNormalizedNamed(i.Ref)
	if name != nil {
		e.remote[reference.FamiliarName(name)+"@"+i.Digest] = m
	}
}

// Protect makes a remote image ask for "user:password".
func (e *Engine) Protect(ref, credentials string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	tag, digest := canonical(ref)
	if m := e.remote[tag+digest]; m != nil {
		m.credentials = credentials
	}
}

// pullImage answers POST /images/create: fromImage pulls, fromSrc=- imports the body.
func (e *Engine) pullImage(r *request) error {
	if r.query.Get("fromSrc") != "" {
		return e.importImage(r)
	}
	ref := r.query.Get("fromImage")
	if tag := r.query.Get("tag"); tag != "" {
		separator := ":"
		if strings.Contains(tag, ":") {
			separator = "@"
		}
		ref += separator + tag
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return fail(http.StatusBadRequest, "invalid reference format")
	}
	e.mu.Lock()
	m, fault, err := e.lookUp(named, r)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	if fault != nil && !fault.InStream && !fault.Break && !fault.Stall {
		return fail(fault.Status, "%s", fault.Message)
	}
	return e.pull(r, named, m, fault)
}

// lookUp asks the registry, in its words.
func (e *Engine) lookUp(named reference.Named, r *request) (*remoteImage, *PullFault, error) {
	name := reference.FamiliarName(named)
	tag, digest := canonical(named.String())
	m := e.remote[tag+digest]
	if m == nil {
		for known := range e.remote {
			if familiar(known) == name {
				what := reference.FamiliarString(reference.TagNameOnly(named))
				return nil, nil, fail(http.StatusNotFound, "manifest for %s not found: manifest unknown: manifest unknown", what)
			}
		}
		if domain := reference.Domain(named); domain != "docker.io" {
			return nil, nil, fail(http.StatusInternalServerError, `Get "http://%s/v2/": dial tcp 127.0.0.1:1: connect: connection refused`, domain)
		}
		return nil, nil, denied(named)
	}
	if m.credentials != "" && m.credentials != credentials(r) {
		return nil, nil, denied(named)
	}
	fault := m.fault
	if fault != nil && fault.Times > 0 {
		if fault.Times--; fault.Times == 0 {
			m.fault = nil
		}
	}
	return m, fault, nil
}

func denied(named reference.Named) error {
	return fail(http.StatusNotFound, "pull access denied for %s, repository does not exist or may require 'docker login': denied: requested access to the resource is denied", reference.FamiliarName(named))
}

// credentials reads what the caller logs in with, as "user:password".
func credentials(r *request) string {
	raw, err := base64.URLEncoding.DecodeString(r.Header.Get("X-Registry-Auth"))
	if err != nil {
		return ""
	}
	var auth registry.AuthConfig
	if json.Unmarshal(raw, &auth) != nil {
		return ""
	}
	return auth.Username + ":" + auth.Password
}

// pull streams the progress, and keeps the image at its end.
func (e *Engine) pull(r *request, named reference.Named, m *remoteImage, fault *PullFault) error {
	out := json.NewEncoder(r.stream("application/json"))
	layer := short(m.ID)
	tag := "latest"
	if tagged, ok := reference.TagNameOnly(named).(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	size := int64(1982361)
	for i, line := range []map[string]any{
		{"status": "Pulling from " + reference.Path(named), "id": tag},
		{"status": "Pulling fs layer", "progressDetail": map[string]any{}, "id": layer},
		{"status": "Downloading", "progressDetail": map[string]any{"current": size / 2, "total": size}, "progress": "[=====>     ]", "id": layer},
		{"status": "Download complete", "progressDetail": map[string]any{}, "id": layer},
		{"status": "Extracting", "progressDetail": map[string]any{"current": size, "total": size}, "progress": "[==========>]", "id": layer},
		{"status": "Pull complete", "progressDetail": map[string]any{}, "id": layer},
	} {
		if i == 3 && fault != nil {
			if fault.Stall {
				<-r.Context().Done()
			}
			if fault.Break || fault.Stall {
				panic(http.ErrAbortHandler)
			}
			return gone(out.Encode(map[string]any{"errorDetail": map[string]any{"message": fault.Message}, "error": fault.Message}))
		}
		_ = out.Encode(line) // who is gone doesn't stop a pull here
	}
	e.mu.Lock()
	known := e.images[m.ID] != nil
	pulled := m.Image
	pulled.Ref = named.String()
	e.keep(pulled)
	name := reference.FamiliarString(reference.TagNameOnly(named))
	e.tellImage(events.ActionPull, name, familiar(name))
	e.mu.Unlock()
	_ = out.Encode(map[string]any{"status": "Digest: " + m.Digest})
	status := "Downloaded newer image for " + name
	if known {
		status = "Image is up to date for " + name
	}
	return gone(out.Encode(map[string]any{"status": "Status: " + status}))
}
