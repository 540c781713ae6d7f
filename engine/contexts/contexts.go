// Package contexts reads which Engine the docker command line talks to: its contexts, and which of them is in use. The
// directory of its settings comes in, an Engine's address goes out. It must never write there, nor reach the Engine.
// Source: docker/cli, docs "docker context".
package contexts

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/docker/cli/cli/context"
	"github.com/docker/cli/cli/context/store"
	"github.com/docker/go-connections/tlsconfig"
)

// Default is the context that is always there: what DOCKER_HOST says, or the local socket.
const Default = "default"

// endpoint is the name that a context has the Engine under, beside what else it may know of.
const endpoint = "docker"

// Endpoint is where the Engine of a context is.
type Endpoint struct {
	// Host is its address, as tcp://host:2376 or ssh://user@host.
	Host string
	// TLS is what it is spoken to with; nil is no TLS.
	TLS *tls.Config
}

// Error says that a context can't be used.
type Error struct {
	// Context is its name, "" if that could not be found out.
	Context string
	Err     error
}

func (e *Error) Error() string {
	if e.Context == "" {
		return fmt.Sprintf("finding out which context is in use: %v", e.Err)
	}
	return fmt.Sprintf("context %q: %v", e.Context, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Find returns the endpoint of a context, by its name; "" means the one in use, as dir/config.json says. [Default] has none,
// and neither has a directory where no context was chosen: nil. A context that is not there, or is broken, is an *Error.
func Find(dir, name string) (*Endpoint, error) {
	if name == "" {
		var err error
		if name, err = inUse(filepath.Join(dir, "config.json")); err != nil {
			return nil, &Error{Err: err}
		}
	}
	if name == "" || name == Default {
		return nil, nil
	}
	found, err := read(filepath.Join(dir, "contexts"), name)
	if err != nil {
		return nil, &Error{Context: name, Err: err}
	}
	return found, nil
}

// inUse is the context that a config.json names, "" if none.
func inUse(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var config struct {
		CurrentContext string `json:"currentContext"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return "", fmt.Errorf("reading %q: %w", path, err)
	}
	return config.CurrentContext, nil
}

func read(dir, name string) (*Endpoint, error) {
	contexts := store.New(dir, store.NewConfig(
		func() any { return &map[string]any{} },
		store.EndpointTypeGetter(endpoint, func() any { return &context.EndpointMetaBase{} }),
	))
	about, err := contexts.GetMetadata(name)
	if errdefs.IsNotFound(err) {
		return nil, errors.New("there is none of that name")
	}
	if err != nil {
		return nil, err
	}
	at, ok := about.Endpoints[endpoint].(context.EndpointMetaBase)
	if !ok || at.Host == "" {
		return nil, errors.New("it says nothing of a Docker Engine")
	}
	files, err := context.LoadTLSData(contexts, name, endpoint)
	if err != nil {
		return nil, err
	}
	found := &Endpoint{Host: at.Host}
	if files != nil || at.SkipTLSVerify {
		found.TLS, err = secure(files, at.SkipTLSVerify)
	}
	return found, err
}

// secure makes of a context's files what TLS is spoken with.
func secure(files *context.TLSData, unverified bool) (*tls.Config, error) {
	config := tlsconfig.ClientDefault()
	config.InsecureSkipVerify = unverified
	if files == nil {
		return config, nil
	}
	if files.CA != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(files.CA) {
			return nil, errors.New("its ca.pem holds no certificate")
		}
	}
	if files.Cert != nil && files.Key != nil {
		pair, err := tls.X509KeyPair(files.Cert, files.Key)
		if err != nil {
			return nil, fmt.Errorf("reading its cert.pem and key.pem: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
