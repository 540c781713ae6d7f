package credentials

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"
	"github.com/docker/docker/api/types/registry"
)

// helper is the program docker-credential-NAME, which keeps credentials or makes them out of others.
type helper struct {
	name string
}

// answerWithin is how long a helper may take: some ask a cloud.
const answerWithin = time.Minute

// tokenUser is the user name with which a helper keeps an identity token.
// Source: github.com/docker/cli, cli/config/credentials/native_store.go.
const tokenUser = "<token>"

func (h helper) program() string { return "docker-credential-" + h.name }

// get asks for a registry's credentials; the zero value if the helper has none.
func (h helper) get(ctx context.Context, key string) (registry.AuthConfig, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var ended error
	found, err := client.Get(h.call(ctx, &ended), key)
	switch {
	case credentials.IsErrCredentialsNotFound(err), err == nil && found.Username == "" && found.Secret == "":
		return registry.AuthConfig{}, nil
	case err != nil:
		return registry.AuthConfig{}, h.failed(ctx, err, ended)
	}
	auth := registry.AuthConfig{ServerAddress: key}
	if found.Username == tokenUser {
		auth.IdentityToken = found.Secret
	} else {
		auth.Username, auth.Password = found.Username, found.Secret
	}
	return auth, nil
}

func (h helper) put(ctx context.Context, key string, auth registry.AuthConfig) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	secret := credentials.Credentials{ServerURL: key, Username: auth.Username, Secret: auth.Password}
	if auth.IdentityToken != "" {
		secret.Username, secret.Secret = tokenUser, auth.IdentityToken
	}
	var ended error
	err := client.Store(h.call(ctx, &ended), &secret)
	return h.failed(ctx, err, ended)
}

// remove has the helper forget; ok is false if it had nothing.
func (h helper) remove(ctx context.Context, key string) (ok bool, err error) {
	had, err := h.get(ctx, key)
	if err != nil || had == (registry.AuthConfig{}) {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var ended error
	err = client.Erase(h.call(ctx, &ended), key)
	return true, h.failed(ctx, err, ended)
}

// failed tells why the helper failed, by how its program ended, and without its output: that may be a secret.
func (h helper) failed(ctx context.Context, err, ended error) error {
	if err == nil {
		return nil
	}
	_, missing := exec.LookPath(h.program())
	var status *exec.ExitError
	switch {
	case missing != nil:
		return fmt.Errorf("the credential helper %q is not installed, or not on the PATH", h.program())
	case ctx.Err() != nil:
		return fmt.Errorf("the credential helper %q did not answer in time", h.program())
	case errors.As(ended, &status):
		return fmt.Errorf("the credential helper %q failed: %w", h.program(), status)
	case ended != nil:
		return fmt.Errorf("the credential helper %q can't be run: %w", h.program(), cause(ended))
	}
	return fmt.Errorf("the credential helper %q did not answer with credentials", h.program())
}

// call returns how the helper is run: it ends with ctx, what it says on standard error is dropped, and how it ended is noted.
func (h helper) call(ctx context.Context, ended *error) client.ProgramFunc {
	return func(args ...string) client.Program {
		cmd := exec.CommandContext(ctx, h.program(), args...)
		cmd.WaitDelay = time.Second // for what it started itself and left behind
		return &call{cmd, ended}
	}
}

// call is one run of a helper.
type call struct {
	*exec.Cmd
	ended *error
}

func (c *call) Input(in io.Reader) { c.Stdin = in }

// Output returns what the helper printed, also when it failed: that says whether it merely has nothing.
func (c *call) Output() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout = &out
	err := c.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it has ended well; who holds its output open is no concern here
	}
	*c.ended = err
	return out.Bytes(), err
}
