package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"
)

// RegistryError says that a registry did not give what was asked for, or could not be asked.
type RegistryError struct {
	// Doing is what failed, as `logging in to "quay.io"`.
	Doing  string
	Reason PullReason
	Err    error
	// Hint is the way out.
	Hint string
}

func (e *RegistryError) Error() string { return fmt.Sprintf("%s: %v", e.Doing, e.Err) }

func (e *RegistryError) Unwrap() error { return e.Err }

// hubAddress is where the Engine logs into Docker Hub (moby registry/config.go, IndexServer).
const hubAddress = "https://index.docker.io/v1/"

// Login has the Engine log into a registry's host, and returns what to keep for later: a token in place of the password
// where the registry gives one. The error is a *RegistryError or an *UnreachableError.
func (e *Engine) Login(ctx context.Context, host string, auth registry.AuthConfig) (registry.AuthConfig, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.FinishWithin)
	defer cancel()
	auth.ServerAddress = host
	if host == hub {
		auth.ServerAddress = hubAddress
	}
	answer, err := e.api.RegistryLogin(ctx, auth)
	switch {
	case err == nil:
	case client.IsErrConnectionFailed(err):
		return auth, e.unreachable(ctx, err)
	default:
		return auth, explainLogin(host, err)
	}
	if answer.IdentityToken != "" {
		auth.IdentityToken, auth.Password = answer.IdentityToken, ""
	}
	return auth, nil
}

// explainLogin says in plain words why a registry was not logged into.
func explainLogin(host string, err error) *RegistryError {
	f := newPullFailure(host, true, err)
	// What refused the user over HTTPS is asked again over plain HTTP, if it is on the insecure list.
	if strings.Contains(f.text, "login attempt to http://") && strings.Contains(f.text, "400 Bad Request") && !wantsCertificate(f.text) {
		f.reason = PullDenied
	}
	words, hint := f.words()
	switch f.reason {
	case PullDenied:
		words, hint = fmt.Sprintf("%s does not accept this user with this password", host), ""
	case PullUnknown:
		words, hint = fmt.Sprintf("no registry answers at %s", host), "check its name and port"
	case PullLimited:
		words, hint = fmt.Sprintf("%s limits the rate of requests", host), "wait"
	case PullRefused:
		hint = "check its name and port, and whether it wants a client certificate: " + f.clientCertificate()
	case PullNetwork:
		hint = fmt.Sprintf("check that this machine reaches %s, directly or by dockerd's proxy", f.at)
	}
	return &RegistryError{Doing: fmt.Sprintf("logging in to %q", host), Reason: f.reason, Err: f.with(words), Hint: hint}
}

// Digests says by which digest ("sha256:…") a registry has each image: from what the Engine has of it, or, where it has
// none or have is nil, from the registry itself, several at a time. The error joins a *RegistryError for each that can't
// be told, in the order of refs.
func (e *Engine) Digests(ctx context.Context, have *State, refs []string) (map[string]string, error) {
	digests := map[string]string{}
	var mu sync.Mutex
	errs := make([]error, len(refs))
	var asking errgroup.Group
	asking.SetLimit(e.opts.Parallel)
	for i, ref := range refs {
		if known := have.localDigest(ref); known != "" {
			mu.Lock()
			digests[ref] = known
			mu.Unlock()
			continue
		}
		asking.Go(func() error {
			digest, err := e.askDigest(ctx, ref)
			mu.Lock()
			defer mu.Unlock()
			digests[ref], errs[i] = digest, err
			return nil
		})
	}
	_ = asking.Wait() // the errors are gathered
	return digests, errors.Join(errs...)
}

// localDigest is the digest that the Engine keeps of an image that it pulled, "" if it has none.
func (s *State) localDigest(ref string) string {
	if s == nil {
		return ""
	}
	img := s.image(ref)
	if img == nil {
		return ""
	}
	_, digest, _ := strings.Cut(s.digestOf(ref, img.ID), "@")
	return digest
}

// askDigest has the Engine ask the registry.
func (e *Engine) askDigest(ctx context.Context, ref string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.FinishWithin)
	defer cancel()
	host := registryOf(ref)
	auth, err := e.credentials(ctx, host)
	if err != nil {
		return "", err
	}
	found, err := e.api.DistributionInspect(ctx, ref, encode(auth))
	switch {
	case err == nil:
		return found.Descriptor.Digest.String(), nil
	case client.IsErrConnectionFailed(err):
		return "", e.unreachable(ctx, err)
	}
	failed := explainPull(ref, host, auth, nil, err)
	return "", &RegistryError{Doing: fmt.Sprintf("asking for the digest of %q", ref), Reason: failed.Reason, Err: failed.Err, Hint: failed.Hint}
}
