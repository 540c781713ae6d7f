package engine

import (
	"context"
	"fmt"

	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/client"
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
	if host == "docker.io" {
		auth.ServerAddress = hubAddress
	}
	answer, err := e.api.RegistryLogin(ctx, auth)
	switch {
	case err == nil:
	case client.IsErrConnectionFailed(err):
		return auth, e.unreachable(ctx, err)
	default:
		reason := pullReason(err)
		words, hint := pullWords(reason, host, true)
		if reason == PullDenied {
			words, hint = fmt.Sprintf("%s does not accept this user with this password", host), ""
		}
		if words != "" {
			err = fmt.Errorf("%s: %w", words, err)
		}
		return auth, &RegistryError{Doing: fmt.Sprintf("logging in to %q", host), Reason: reason, Err: err, Hint: hint}
	}
	if answer.IdentityToken != "" {
		auth.IdentityToken, auth.Password = answer.IdentityToken, ""
	}
	return auth, nil
}
