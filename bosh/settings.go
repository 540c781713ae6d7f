package bosh

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Settings are the job's properties, as the template config/settings.json.erb renders them.
type Settings struct {
	// HasRecipe tells whether there is anything to run; without, the VM has an Engine and no more.
	HasRecipe bool `json:"has_recipe"`
	// Project is the project's name.
	Project string `json:"project"`
	// Env is visible to the recipe's interpolation, and to prep.
	Env map[string]string `json:"env"`
	// Profiles are the active ones.
	Profiles []string `json:"profiles"`
	// PullPolicy is that of every service, or "" for what each says.
	PullPolicy string `json:"pull_policy"`
	// StopMode is what becomes of containers when the job stops: StopContainers or RemoveContainers.
	StopMode string `json:"stop_mode"`
	// WaitTimeout, WaitSteady and DrainTimeout are in seconds.
	WaitTimeout  int `json:"wait_timeout"`
	WaitSteady   int `json:"wait_steady"`
	DrainTimeout int `json:"drain_timeout"`
	// ImportParallelism is how many tarballs are loaded at a time; 0 leaves it to Galley.
	ImportParallelism int `json:"import_parallelism"`
	// Rollback puts the last good project back when an update fails.
	Rollback bool `json:"rollback"`
	// Scope says whether dockerd gets a systemd scope of its own: ScopeAuto, ScopeAlways or ScopeNever.
	Scope string `json:"scope"`
	// Listen is the address of the supervisor's metrics and status page, or "".
	Listen   string   `json:"listen"`
	Proxy    Proxy    `json:"proxy"`
	Instance Instance `json:"instance"`
	// Peers are the addresses of the instances of this group, this one's included; empty where there is no link.
	Peers []string `json:"peers"`
}

// The values of Settings.StopMode and Settings.Scope.
const (
	StopContainers   = "stop"
	RemoveContainers = "down"

	ScopeAuto   = "auto"
	ScopeAlways = "always"
	ScopeNever  = "never"
)

// Instance is what BOSH knows of this VM.
type Instance struct {
	IP string `json:"ip"`
	// Address is what others reach the instance by: its IP, or its name where the director gives names to links.
	Address    string `json:"address"`
	ID         string `json:"id"`
	Name       string `json:"name"`
	Index      string `json:"index"`
	AZ         string `json:"az"`
	Deployment string `json:"deployment"`
	Bootstrap  bool   `json:"bootstrap"`
}

// Proxy is how the VM reaches the world.
type Proxy struct {
	HTTP    string `json:"http"`
	HTTPS   string `json:"https"`
	NoProxy string `json:"no_proxy"`
	// Containers gives the variables to containers too, unless their service sets them.
	Containers bool `json:"containers"`
}

// ReadSettings reads the rendered properties. What is wrong names the property.
func (v VM) ReadSettings() (*Settings, error) {
	var s Settings
	if err := readJSON(v.Settings(), &s); err != nil {
		return nil, fmt.Errorf("reading the job's properties: %w", err)
	}
	return &s, s.validate()
}

// readJSON reads a rendered file, all of which must be known.
func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	return nil
}

func (s *Settings) validate() error {
	var wrong []error
	oneOf := func(property, value string, known ...string) {
		if !slices.Contains(known, value) {
			wrong = append(wrong, fmt.Errorf("property %q: %q is none of %s", property, value, strings.Join(known, ", ")))
		}
	}
	oneOf("stop_mode", s.StopMode, StopContainers, RemoveContainers)
	oneOf("daemon_scope", s.Scope, ScopeAuto, ScopeAlways, ScopeNever)
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`).MatchString(s.Project) {
		wrong = append(wrong, fmt.Errorf("property %q: %q is no name of a project: lower case letters, digits, \"-\" and \"_\"", "project", s.Project))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(name) {
			wrong = append(wrong, fmt.Errorf("property %q: %q is no name of a variable", "env", name))
		}
		if strings.ContainsRune(s.Env[name], 0) {
			wrong = append(wrong, fmt.Errorf("property %q: the value of %q has a zero byte", "env", name))
		}
	}
	for property, seconds := range map[string]int{"wait.timeout": s.WaitTimeout, "drain.timeout": s.DrainTimeout} {
		if seconds < 1 {
			wrong = append(wrong, fmt.Errorf("property %q: %d seconds are too short", property, seconds))
		}
	}
	return errors.Join(wrong...)
}

// Environ are the variables that the recipe can use, and that prep gets: those of the instance, and the operator's, which
// win.
func (s *Settings) Environ(v VM) []string {
	i := s.Instance
	environ := []string{
		"PWD=" + v.Project(),
		"BOSH_INSTANCE_IP=" + i.IP,
		"BOSH_INSTANCE_ADDRESS=" + i.Address,
		"BOSH_INSTANCE_ID=" + i.ID,
		"BOSH_INSTANCE_NAME=" + i.Name,
		"BOSH_INSTANCE_INDEX=" + i.Index,
		"BOSH_INSTANCE_AZ=" + i.AZ,
		"BOSH_INSTANCE_DEPLOYMENT=" + i.Deployment,
		"BOSH_INSTANCE_BOOTSTRAP=" + strconv.FormatBool(i.Bootstrap),
		"BOSH_PEERS=" + strings.Join(s.Peers, ","),
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		environ = append(environ, name+"="+s.Env[name])
	}
	return environ
}

// ToolEnviron is the environment of Galley itself on the VM. It is made from nothing but the properties: monit's own has
// neither HOME nor the packages' programs.
func (s *Settings) ToolEnviron(v VM) []string {
	return append([]string{
		"PATH=" + v.Bin("galley") + ":" + v.Bin("docker") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"TMPDIR=" + v.Temp(),
		"DOCKER_HOST=unix://" + v.Socket(),
		"DOCKER_CONFIG=" + v.DockerConfig(),
		"GALLEY_RUN_DIR=" + v.Paths().Run,
		"GALLEY_STATE_DIR=" + v.Paths().State,
		"COMPOSE_PROJECT_NAME=" + s.Project,
		"COMPOSE_FILE=" + v.Recipe(),
		"COMPOSE_PROFILES=" + strings.Join(s.Profiles, ","),
	}, s.Environ(v)...)
}

// Environ are the variables that programs take a proxy from. What is on the VM, on its instance's address and within
// BOSH's own domain is never asked for through a proxy. Empty without a proxy.
func (p Proxy) Environ(address string) []string {
	if p.HTTP == "" && p.HTTPS == "" {
		return nil
	}
	direct := []string{"localhost", "127.0.0.1", "::1", ".bosh"}
	if address != "" {
		direct = append(direct, address)
	}
	if p.NoProxy != "" {
		direct = append(direct, p.NoProxy)
	}
	var environ []string
	for name, value := range map[string]string{"HTTP_PROXY": p.HTTP, "HTTPS_PROXY": p.HTTPS, "NO_PROXY": strings.Join(direct, ",")} {
		if value != "" {
			environ = append(environ, name+"="+value, strings.ToLower(name)+"="+value)
		}
	}
	slices.Sort(environ)
	return environ
}
