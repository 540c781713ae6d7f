// Package credentials reads and writes what a machine logs into registries with: the docker command line's config.json and
// the credential helpers that it names. A file and a registry's host come in, a [registry.AuthConfig] goes out. It must
// never print, and none of its errors holds a secret.
package credentials

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/credentials"
	"github.com/docker/cli/cli/config/types"
	"github.com/docker/docker/api/types/registry"
)

// DockerHub is the host of Docker Hub, as image references have it when they name none.
const DockerHub = "docker.io"

// hubKeys are the names that Docker Hub has in files and helpers, the docker command line's own first.
func hubKeys() []string {
	return []string{"https://index.docker.io/v1/", "index.docker.io", DockerHub, "registry-1.docker.io"}
}

// Host is the host that a registry goes by, however it is addressed: as "https://quay.io/v2/", or "index.docker.io".
func Host(address string) string {
	host := credentials.ConvertToHostname(address)
	if host == "" || slices.Contains(hubKeys(), host) {
		return DockerHub
	}
	return host
}

// keys are the names under which a host's credentials may stand.
func keys(host string) []string {
	if host == DockerHub {
		return hubKeys()
	}
	return []string{host}
}

// File is a config.json at its path. It is read anew at each call: credentials change while a supervisor runs.
type File struct {
	Path string
}

// Error says that a file or a helper of it can't be used.
type Error struct {
	// Doing is what could not be done, as "keeping credentials by way of"; "" is reading them from Path.
	Doing, Path string
	Err         error
	// Hint is the way out, or "".
	Hint string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %q: %v", cmp.Or(e.Doing, "reading credentials from"), e.Path, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Get returns what to log into a registry's host with; the zero value if nothing is known. A helper that fails is an
// *Error, and so is a broken file; a missing one knows nothing.
func (f File) Get(ctx context.Context, host string) (registry.AuthConfig, error) {
	config, err := f.read()
	if err != nil {
		return registry.AuthConfig{}, err
	}
	if name, key := helperFor(config, host); name != "" {
		candidates := keys(host)
		if key != "" {
			candidates = []string{key}
		}
		for _, key := range candidates {
			auth, err := (helper{name}).get(ctx, key)
			if err != nil {
				return auth, &Error{Path: f.Path, Err: err, Hint: helperHint}
			}
			if auth != (registry.AuthConfig{}) {
				return auth, nil
			}
		}
	}
	return stored(config, host), nil
}

// helperHint is the way out of a helper that fails.
const helperHint = "see to the helper, or name a file without it: --registry-auth-file"

// helperFor names the credential helper for a host, "" if there is none, and the key that it stands under in credHelpers.
func helperFor(config *configfile.ConfigFile, host string) (name, key string) {
	for _, key := range keys(host) {
		if name := config.CredentialHelpers[key]; name != "" {
			return name, key
		}
	}
	return config.CredentialsStore, ""
}

// stored finds a host's entry among auths: under one of its names, or under an address of it, as "https://quay.io/v1/".
func stored(config *configfile.ConfigFile, host string) registry.AuthConfig {
	for _, key := range keys(host) {
		if entry, ok := config.AuthConfigs[key]; ok && !empty(entry) {
			return authConfig(entry)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(config.AuthConfigs)) {
		if entry := config.AuthConfigs[key]; Host(key) == host && !empty(entry) {
			return authConfig(entry)
		}
	}
	return registry.AuthConfig{}
}

func empty(entry types.AuthConfig) bool {
	entry.ServerAddress = ""
	return entry == types.AuthConfig{}
}

func authConfig(entry types.AuthConfig) registry.AuthConfig {
	return registry.AuthConfig{
		Username:      entry.Username,
		Password:      entry.Password,
		ServerAddress: entry.ServerAddress,
		IdentityToken: entry.IdentityToken,
		RegistryToken: entry.RegistryToken,
	}
}

// Put keeps a host's credentials where the file says: with a helper, or in the file itself. It returns the helper's name,
// "" for the file.
func (f File) Put(ctx context.Context, host string, auth registry.AuthConfig) (name string, err error) {
	config, err := f.read()
	if err != nil {
		return "", err
	}
	key := keys(host)[0]
	entry := types.AuthConfig{Username: auth.Username, Password: auth.Password, IdentityToken: auth.IdentityToken}
	if auth.IdentityToken != "" {
		entry.Password = "" // the token stands for it
	}
	name, helperKey := helperFor(config, host)
	if name != "" {
		if helperKey != "" {
			key = helperKey
		}
		if err := (helper{name}).put(ctx, key, auth); err != nil {
			return name, &Error{Doing: "keeping credentials by way of", Path: f.Path, Err: err, Hint: helperHint}
		}
		entry = types.AuthConfig{} // docker's own note that the helper has them
	}
	config.AuthConfigs[key] = entry
	return name, f.write(config)
}

// Remove forgets a host's credentials, under all names and with the helper. ok is false if there were none.
func (f File) Remove(ctx context.Context, host string) (ok bool, err error) {
	config, err := f.read()
	if err != nil {
		return false, err
	}
	before := len(config.AuthConfigs)
	maps.DeleteFunc(config.AuthConfigs, func(key string, _ types.AuthConfig) bool { return Host(key) == host })
	ok = len(config.AuthConfigs) < before
	if ok {
		err = f.write(config)
	}
	if name, _ := helperFor(config, host); name != "" {
		for _, key := range keys(host) {
			had, failed := (helper{name}).remove(ctx, key)
			if ok = ok || had; failed != nil {
				return ok, errors.Join(err, &Error{Doing: "forgetting credentials by way of", Path: f.Path, Err: failed, Hint: helperHint})
			}
		}
	}
	return ok, err
}

// read reads the file; one that is missing is empty.
func (f File) read() (*configfile.ConfigFile, error) {
	config := configfile.New(f.Path)
	if f.Path == "" {
		return config, nil
	}
	text, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return config, nil
	}
	if err != nil {
		return nil, &Error{Path: f.Path, Err: cause(err), Hint: "see to it that it is a file that this user may read"}
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if len(bytes.TrimSpace(text)) > 0 {
		err = withoutSecrets(config.LoadFromReader(bytes.NewReader(text)), text)
	}
	if err != nil {
		return nil, &Error{Path: f.Path, Err: err, Hint: `it must be a JSON object as docker login writes it: {"auths": {"REGISTRY": {"auth": …}}}`}
	}
	if config.AuthConfigs == nil { // "auths": null
		config.AuthConfigs = map[string]types.AuthConfig{}
	}
	return config, nil
}

// cause is an error of the system without the path, which [Error] tells.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// withoutSecrets tells what is wrong with a file's text without what stands in it: the decoder's own words may quote a value.
func withoutSecrets(err error, text []byte) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax):
		return fmt.Errorf("no JSON from byte %d on", syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON ends before its end")
	case errors.As(err, &kind) && kind.Field == "":
		return errors.New("it is no JSON object")
	case errors.As(err, &kind):
		return fmt.Errorf("%q must be of another type", kind.Field)
	}
	return fmt.Errorf("%s can't be understood: auth must be USER:PASSWORD in base64", brokenEntry(text))
}

// brokenEntry names the entry that is the first to be broken by itself.
func brokenEntry(text []byte) string {
	var all struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}
	_ = json.Unmarshal(text, &all) // the whole was decoded before
	for _, key := range slices.Sorted(maps.Keys(all.Auths)) {
		one, _ := json.Marshal(map[string]any{"auths": map[string]json.RawMessage{key: all.Auths[key]}})
		if configfile.New("").LoadFromReader(bytes.NewReader(one)) != nil {
			return fmt.Sprintf("the entry of %q in auths", key)
		}
	}
	return "an entry of auths"
}

// write replaces the file at once, readable by its owner alone. A symbolic link is kept, and its target replaced.
func (f File) write(config *configfile.ConfigFile) error {
	path := f.Path
	if path == "" {
		return errors.New("keeping credentials: neither --registry-auth-file, DOCKER_CONFIG nor HOME says in which file")
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keeping credentials: %w", err)
	}
	draft, err := os.CreateTemp(filepath.Dir(path), ".config.json-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("keeping credentials: %w", err)
	}
	defer os.Remove(draft.Name())
	err = errors.Join(config.SaveToWriter(draft), draft.Sync(), draft.Close())
	if err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("keeping credentials: %w", err)
	}
	return nil
}
