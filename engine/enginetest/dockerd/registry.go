package dockerd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
)

// RegistryOptions say what a registry is like. Several may share a Storage.
type RegistryOptions struct {
	// Address is the IP address to listen on; the port is a free one.
	Address string
	// Storage is the folder with the images.
	Storage string
	// Htpasswd, if set, is a file of users; passwords are hashed with bcrypt.
	Htpasswd string
	// Certificate and Key, if set, are files: the registry speaks TLS. ClientCA is what its clients' are signed with.
	Certificate, Key, ClientCA string
	// Enter are words before the registry's command that take it elsewhere, such as nsenter into a network.
	Enter []string
	// Log is told what is fetched; nil means nobody.
	Log io.Writer
}

// Registry is a running registry of Debian's package docker-registry.
type Registry struct {
	// Address is host:port.
	Address string

	process *exec.Cmd
	output  *os.File
}

// StartRegistry runs a registry and returns when it listens. What is missing is fetched first; where that can't be, the
// error is an [*UnavailableError].
func StartRegistry(ctx context.Context, opts RegistryOptions) (*Registry, error) {
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	root, err := Unpack(ctx, Packages{Suite: "bookworm", Names: []string{"docker-registry"}}, opts.Log)
	if err != nil {
		return nil, err
	}
	settings, err := opts.settings()
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting the registry: %w", err)
	}
	defer write.Close()
	command := append(slices.Clone(opts.Enter), filepath.Join(root, "usr/bin/docker-registry"), "serve", settings)
	r := &Registry{process: exec.Command(command[0], command[1:]...), output: read}
	r.process.Stdout, r.process.Stderr = write, write
	r.process.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	if err := r.process.Start(); err != nil {
		read.Close()
		return nil, fmt.Errorf("starting the registry: %w", err)
	}
	if r.Address, err = listening(read); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	go io.Copy(io.Discard, read) // until the registry ends; it must not wait for a reader
	return r, nil
}

// settings writes the registry's configuration, as JSON, which is YAML too, and returns the file's path.
func (o RegistryOptions) settings() (string, error) {
	type section = map[string]any
	http := section{"addr": o.Address + ":0"}
	if o.Certificate != "" {
		tls := section{"certificate": o.Certificate, "key": o.Key}
		if o.ClientCA != "" {
			tls["clientcas"] = []string{o.ClientCA}
		}
		http["tls"] = tls
	}
	config := section{
		"version": "0.1",
		"log":     section{"level": "info", "accesslog": section{"disabled": true}},
		"storage": section{"filesystem": section{"rootdirectory": o.Storage}},
		"http":    http,
	}
	if o.Htpasswd != "" {
		config["auth"] = section{"htpasswd": section{"realm": "registry", "path": o.Htpasswd}}
	}
	text, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	file, err := os.CreateTemp(o.Storage, "config-*.yml")
	if err != nil {
		return "", fmt.Errorf("configuring the registry: %w", err)
	}
	_, err = file.Write(text)
	return file.Name(), errors.Join(err, file.Close())
}

// listening waits until the registry says where it listens.
func listening(output io.Reader) (string, error) {
	pattern := regexp.MustCompile(`listening on ([0-9.]+:[0-9]+)`)
	said := ""
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if match := pattern.FindStringSubmatch(lines.Text()); match != nil {
			return match[1], nil
		}
		said += lines.Text() + "\n"
	}
	return "", fmt.Errorf("starting the registry: it ended: %s", said)
}

// Stop ends the registry.
func (r *Registry) Stop() error {
	defer r.output.Close()
	if err := r.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping the registry: %w", err)
	}
	_ = r.process.Wait() // killed, as it was meant to be
	return nil
}
