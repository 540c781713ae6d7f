package bosh

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// DaemonFiles are the files that a spec is written to. "" leaves one out, but no credentials may be lost that way.
type DaemonFiles struct {
	// DaemonJSON is dockerd's daemon.json, CertsDir its certs.d: a directory for each registry.
	DaemonJSON, CertsDir string
	// AuthFile is a config.json with the credentials, for galley. It belongs to the spec alone.
	AuthFile string
	// DryRun: nothing is written; what is returned is what would be.
	DryRun bool
}

// Write brings the files to what the spec says, each at once, and returns the paths of those that it changed or removed,
// sorted. What is as wanted is not touched. In CertsDir only what an earlier Write left is removed. A list of registries
// that DaemonJSON has stays there, empty if need be: dockerd keeps to what it knows of a key that is gone until it starts
// anew. The spec must have passed [DaemonSpec.Check].
func (s *DaemonSpec) Write(files DaemonFiles) (changed []string, err error) {
	w := &specWriter{dry: files.DryRun}
	if files.DaemonJSON != "" {
		text, err := s.daemonJSON(files.DaemonJSON)
		if err != nil {
			return nil, err
		}
		w.write(files.DaemonJSON, text, 0o600) // a proxy's address may hold a password
	}
	switch {
	case files.AuthFile != "":
		w.write(files.AuthFile, s.authFile(), 0o600)
	case slices.ContainsFunc(s.Registries, func(r Registry) bool { return r.Username != "" }):
		return nil, errors.New("there are credentials, and no file is named for them")
	}
	if files.CertsDir != "" {
		s.writeCerts(w, files.CertsDir)
	}
	slices.Sort(w.changed)
	return w.changed, w.err
}

// daemonJSON is the text of daemon.json, its keys sorted, to replace the file at path.
func (s *DaemonSpec) daemonJSON(path string) ([]byte, error) {
	keys := maps.Clone(s.Daemon)
	if keys == nil {
		keys = map[string]json.RawMessage{}
	}
	maps.DeleteFunc(keys, func(_ string, value json.RawMessage) bool { return string(bytes.TrimSpace(value)) == "null" })
	var before map[string]json.RawMessage
	if text, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(text, &before) // what dockerd could not read either, it does not keep to
	}
	insecure := slices.Clone(s.InsecureRegistries)
	for _, r := range s.Registries {
		if r.Insecure {
			insecure = append(insecure, r.Address)
		}
	}
	for key, values := range map[string][]string{"registry-mirrors": s.RegistryMirrors, "insecure-registries": insecure} {
		own, err := textList(keys[key])
		if err != nil {
			return nil, fmt.Errorf("reading daemon.%s: %w", key, err)
		}
		all := []string{}
		for _, value := range append(own, values...) {
			if !slices.Contains(all, value) {
				all = append(all, value)
			}
		}
		if len(all) > 0 || before[key] != nil {
			keys[key], _ = json.Marshal(all) // a list of texts always marshals
		}
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(keys); err != nil {
		return nil, fmt.Errorf("writing daemon.json: %w", err)
	}
	return text.Bytes(), nil
}

// authFile is the text of a config.json as docker login writes it.
func (s *DaemonSpec) authFile() []byte {
	type entry struct {
		Auth string `json:"auth"`
	}
	auths := map[string]entry{}
	for _, r := range s.Registries {
		if r.Username != "" {
			auths[r.Address] = entry{base64.StdEncoding.EncodeToString([]byte(r.Username + ":" + r.Password))}
		}
	}
	text, _ := json.MarshalIndent(map[string]any{"auths": auths}, "", "\t") // texts always marshal
	return append(text, '\n')
}

// ownMark names, in a registry's directory, the files that a Write left there. dockerd reads only .crt, .cert and .key.
const ownMark = ".galley"

// writeCerts writes a directory for each registry that has certificates, and clears those of registries that are gone.
func (s *DaemonSpec) writeCerts(w *specWriter, dir string) {
	wanted := map[string]map[string]string{}
	for _, r := range s.Registries {
		files := map[string]string{"ca.crt": r.CACert, "client.cert": r.ClientCert, "client.key": r.ClientKey}
		maps.DeleteFunc(files, func(_, text string) bool { return text == "" })
		if len(files) > 0 {
			wanted[certsName(r.Address)] = files
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		w.fill(filepath.Join(dir, name), wanted[name])
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.fail(err)
	}
	for _, entry := range entries {
		if entry.IsDir() && wanted[entry.Name()] == nil {
			w.clear(filepath.Join(dir, entry.Name()), nil)
		}
	}
}

// certsName is the directory of a registry's certificates, by the host that references have.
func certsName(address string) string {
	if isHub(address) {
		return "docker.io"
	}
	return address
}

// specWriter writes files and remembers what it changed; after a failure it goes on with the others.
type specWriter struct {
	// dry: nothing is written, changed are the files that would be.
	dry     bool
	changed []string
	err     error
}

func (w *specWriter) fail(err error) { w.err = errors.Join(w.err, err) }

// fill brings a registry's directory to the files, by name. The mark comes first: whatever happens then, it is known whose
// the files are.
func (w *specWriter) fill(dir string, files map[string]string) {
	if !w.dry {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			w.fail(err)
			return
		}
	}
	w.clear(dir, files)
	names := slices.Sorted(maps.Keys(files))
	if w.write(filepath.Join(dir, ownMark), []byte(strings.Join(names, "\n")+"\n"), 0o644) {
		w.changed = w.changed[:len(w.changed)-1] // no news for anybody
	}
	for _, name := range names {
		mode := fs.FileMode(0o644)
		if strings.HasSuffix(name, ".key") {
			mode = 0o600
		}
		w.write(filepath.Join(dir, name), []byte(files[name]), mode)
	}
}

// clear removes from a registry's directory what an earlier Write left, but for the files to keep; and then the directory,
// if nothing is to be kept and nobody else has put anything there.
func (w *specWriter) clear(dir string, keep map[string]string) {
	mark, err := os.ReadFile(filepath.Join(dir, ownMark))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		w.fail(err)
		return
	}
	for _, name := range strings.Fields(string(mark)) {
		if _, kept := keep[name]; kept || filepath.Base(name) != name {
			continue
		}
		path := filepath.Join(dir, name)
		switch err := w.remove(path); {
		case err == nil:
			w.changed = append(w.changed, path)
		case !errors.Is(err, fs.ErrNotExist):
			w.fail(err)
		}
	}
	if keep != nil || w.dry {
		return
	}
	if err := os.Remove(filepath.Join(dir, ownMark)); err != nil {
		w.fail(err)
	}
	_ = os.Remove(dir) // others may have files there
}

// remove removes a file, or tells whether it is there.
func (w *specWriter) remove(path string) error {
	if w.dry {
		_, err := os.Lstat(path)
		return err
	}
	return os.Remove(path)
}

// write replaces a file at once, unless it is as wanted, and tells whether it did.
func (w *specWriter) write(path string, text []byte, mode fs.FileMode) bool {
	if info, err := os.Lstat(path); err == nil && info.Mode() == mode {
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, text) {
			return false
		}
	}
	var err error
	if !w.dry {
		err = WriteFile(path, text)
	}
	if err == nil && mode != 0o600 && !w.dry {
		err = os.Chmod(path, mode)
	}
	if err != nil {
		w.fail(err)
		return false
	}
	w.changed = append(w.changed, path)
	return true
}
