package bosh

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DaemonSpec is what an operator says of dockerd and of the registries that it pulls from. [ReadDaemonSpec] reads it.
type DaemonSpec struct {
	Registries []Registry
	// RegistryMirrors are URLs that Docker Hub's images are pulled from first.
	RegistryMirrors []string
	// InsecureRegistries are hosts, host:port or ranges of addresses whose certificates are not checked, or that speak
	// plain HTTP.
	InsecureRegistries []string
	// Daemon are any further keys of daemon.json.
	Daemon map[string]json.RawMessage
}

// Registry is a registry that needs more than its name. Certificates and keys are PEM texts.
type Registry struct {
	Address    string `json:"address"` // host or host:port
	Username   string `json:"username"`
	Password   string `json:"password"`
	CACert     string `json:"ca_cert"`
	ClientCert string `json:"client_cert"`
	ClientKey  string `json:"client_key"`
	Insecure   bool   `json:"insecure"`
}

// PropertyError says what is wrong with a property. It never holds the property's value where that may be a secret.
type PropertyError struct {
	// Property is its path, as "registries[0].ca_cert".
	Property, Message string
	// Hint is the way out, or "".
	Hint string
}

func (e *PropertyError) Error() string { return e.Property + ": " + e.Message }

// ReadDaemonSpec reads a spec as JSON, with the names of the job's properties. What it doesn't know is a *PropertyError, and
// so is a value of a wrong type.
func ReadDaemonSpec(r io.Reader) (*DaemonSpec, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading the spec: %w", err)
	}
	var outer struct {
		Registries         []json.RawMessage          `json:"registries"` // one by one, for their places to be told
		RegistryMirrors    []string                   `json:"registry_mirrors"`
		InsecureRegistries []string                   `json:"insecure_registries"`
		Daemon             map[string]json.RawMessage `json:"daemon"`
	}
	if err := decode(text, &outer); err != nil {
		return nil, specError("", err)
	}
	s := DaemonSpec{RegistryMirrors: outer.RegistryMirrors, InsecureRegistries: outer.InsecureRegistries, Daemon: outer.Daemon}
	for i, one := range outer.Registries {
		var r Registry
		if err := decode(one, &r); err != nil {
			return nil, specError(fmt.Sprintf("registries[%d]", i), err)
		}
		s.Registries = append(s.Registries, r)
	}
	return &s, nil
}

// decode decodes a JSON value and nothing but that.
func decode(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil && decoder.More() {
		err = errors.New("something follows the object")
	}
	return err
}

// specError puts a decoder's error, about what stands at a place in the spec, into words that hold no value of it.
func specError(place string, err error) error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind):
		got, _, _ := strings.Cut(kind.Value, " ") // the value itself may be a secret
		hint := ""
		if kind.Type.Kind() == reflect.String && got != "array" && got != "object" {
			hint = "put it into quotes"
		}
		property := strings.Trim(place+"."+kind.Field, ".")
		return &PropertyError{either(property, "the spec"), fmt.Sprintf("must be %s, not %s", words(kind.Type.Kind().String()), words(got)), hint}
	case errors.Is(err, io.EOF):
		return errors.New("reading the spec: it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("reading the spec: the JSON ends before its end")
	case errors.As(err, &syntax):
		return fmt.Errorf("reading the spec: no JSON from byte %d on", syntax.Offset)
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		return &PropertyError{strings.Trim(place+"."+strings.Trim(name, `"`), "."), "there is no such property",
			"there are registries (address, username, password, ca_cert, client_cert, client_key, insecure), registry_mirrors, insecure_registries and daemon"}
	}
	return fmt.Errorf("reading the spec: %w", err)
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// words names a type for people.
func words(kind string) string {
	switch kind {
	case "string":
		return "a text"
	case "slice", "array":
		return "a list"
	case "struct", "map", "object":
		return "a mapping"
	case "bool":
		return "true or false"
	}
	return "a " + kind
}

// Check says what is wrong with the spec: the error joins a *PropertyError for each property, warnings are such as don't
// stop dockerd. now is the time by which certificates count as expired.
func (s *DaemonSpec) Check(now time.Time) (warnings []*PropertyError, err error) {
	c := &specCheck{now: now}
	seen := map[string]int{}
	for i, r := range s.Registries {
		path := fmt.Sprintf("registries[%d].", i)
		if message, hint := checkAddress(r.Address); message != "" {
			c.fail(path+"address", message, hint)
		} else if first, twice := seen[strings.ToLower(certsName(r.Address))]; twice {
			c.fail(path+"address", fmt.Sprintf("%q is listed before, as registries[%d]", r.Address, first), "put all that concerns a registry into one entry")
		} else {
			seen[strings.ToLower(certsName(r.Address))] = i
		}
		c.hub(path, r)
		c.credentials(path, r)
		c.certificates(path, r)
	}
	for i, mirror := range s.RegistryMirrors {
		c.mirror(fmt.Sprintf("registry_mirrors[%d]", i), mirror)
	}
	for i, address := range s.InsecureRegistries {
		c.insecure(fmt.Sprintf("insecure_registries[%d]", i), address)
	}
	c.daemon(s.Daemon)
	return c.warnings, errors.Join(c.errs...)
}

// specCheck collects findings.
type specCheck struct {
	now      time.Time
	warnings []*PropertyError
	errs     []error
}

func (c *specCheck) fail(property, message, hint string) {
	c.errs = append(c.errs, &PropertyError{property, message, hint})
}

func (c *specCheck) warn(property, message, hint string) {
	c.warnings = append(c.warnings, &PropertyError{property, message, hint})
}

// hostPattern is the grammar of a registry's host in an image reference, of a name or an IPv4 address.
// Source: github.com/distribution/reference, regexp.go.
var hostPattern = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*$`)

// checkAddress tells what is wrong with a host or host:port; "" is fine. It becomes the name of a directory.
func checkAddress(address string) (message, hint string) {
	const form = "write host or host:port, as registry.example:5000"
	switch {
	case address == "":
		return "is missing", form
	case strings.Contains(address, "://"):
		return fmt.Sprintf("%q has a scheme", address), form
	case strings.Contains(address, "/"):
		return fmt.Sprintf("%q has a path", address), form
	}
	host, port, hasPort := address, "", false
	if i := strings.LastIndexByte(address, ':'); i >= 0 && !strings.HasSuffix(address, "]") {
		host, port, hasPort = address[:i], address[i+1:], true
	}
	if n, err := strconv.ParseUint(port, 10, 16); hasPort && (err != nil || n == 0 || strconv.FormatUint(n, 10) != port) {
		return fmt.Sprintf("%q has no valid port", address), form
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		ip, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !ip.Is6() || ip.Zone() != "" || !strings.HasSuffix(inner, "]") {
			return fmt.Sprintf("%q is no IPv6 address", address), form
		}
		return "", ""
	}
	if len(host) > 253 || !hostPattern.MatchString(host) {
		return fmt.Sprintf("%q is no host", address), form
	}
	return "", ""
}

// isHub tells whether an address is one of Docker Hub's.
func isHub(address string) bool {
	return slices.Contains([]string{"docker.io", "index.docker.io", "registry-1.docker.io"}, strings.ToLower(address))
}

// hub warns of what dockerd does not take for Docker Hub. Source: moby registry/service_v2.go, where its TLS configuration is
// the default one; the containerd image store alone looks into certs.d.
func (c *specCheck) hub(path string, r Registry) {
	if !isHub(r.Address) {
		return
	}
	if r.Insecure {
		c.warn(path+"insecure", "dockerd insists on HTTPS for Docker Hub", "list a mirror, in registry_mirrors, as insecure")
	}
	const message, hint = "dockerd reads no certificates for Docker Hub, but with the containerd image store",
		"bring the CA's to those that the machine trusts (BOSH: the director's trusted_certs), or set registry_mirrors"
	if r.CACert != "" {
		c.warn(path+"ca_cert", message, hint)
	}
	if r.ClientCert != "" {
		c.warn(path+"client_cert", message, hint)
	}
}

func (c *specCheck) credentials(path string, r Registry) {
	switch {
	case r.Username == "" && r.Password != "":
		c.fail(path+"username", "is missing, though there is a password", "")
	case r.Username != "" && r.Password == "":
		c.fail(path+"password", "is missing, though there is a username", "")
	case strings.Contains(r.Username, ":"):
		c.fail(path+"username", `must not hold ":"`, "")
	case strings.ContainsAny(r.Username+r.Password, "\x00\r\n"):
		c.fail(path+"password", "username and password must not hold line breaks", "a YAML text of several lines ends with one: use a plain text")
	}
}

// mirror checks what dockerd refuses to start with. Source: moby registry/config.go, ValidateMirror.
func (c *specCheck) mirror(property, mirror string) {
	const form = "write http:// or https:// with host or host:port, as https://mirror.example"
	u, err := url.Parse(mirror)
	switch {
	case err != nil:
		c.fail(property, "is no URL", form) // the error quotes it, with what may be a password
	case u.User != nil:
		c.fail(property, "must not hold user or password: dockerd does not take them", form)
	case u.Scheme != "http" && u.Scheme != "https":
		c.fail(property, fmt.Sprintf("%q is no http or https URL", mirror), form)
	case u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		c.fail(property, fmt.Sprintf("%q has more than a host", mirror), form)
	default:
		if message, _ := checkAddress(u.Host); message != "" {
			c.fail(property, message, form)
		}
	}
}

func (c *specCheck) insecure(property, address string) {
	if prefix, err := netip.ParsePrefix(address); err == nil {
		if prefix.Bits() == 0 {
			c.warn(property, fmt.Sprintf("%q switches the checks of certificates off for every registry", address), "list the registries that it is needed for")
		}
		return
	}
	if message, hint := checkAddress(address); message != "" {
		c.fail(property, message, hint+", or a range as 10.0.0.0/8")
	}
}

// daemon checks the further keys: what must not be, and what dockerd would not start with.
func (c *specCheck) daemon(keys map[string]json.RawMessage) {
	on := func(key string) bool { return string(bytes.TrimSpace(keys[key])) == "true" }
	if on("live-restore") {
		c.fail("daemon.live-restore", "must not be true: containers that outlive dockerd keep the persistent disk busy, which then can't be moved or unmounted",
			"leave it out: galley starts the containers again")
	}
	for _, key := range []string{"hosts", "registry-mirrors", "insecure-registries"} {
		if _, err := textList(keys[key]); err != nil {
			c.fail("daemon."+key, "must be a list of texts", "")
		}
	}
	if has(keys, "bridge") && has(keys, "bip") {
		c.fail("daemon.bip", "dockerd does not start with both bip and bridge", "leave one of them out")
	}
	c.hosts(keys["hosts"], on("tlsverify"))
}

func has(keys map[string]json.RawMessage, key string) bool {
	value := string(bytes.TrimSpace(keys[key]))
	return value != "" && value != `""` && value != "null"
}

// hosts checks where dockerd is to listen.
func (c *specCheck) hosts(value json.RawMessage, verified bool) {
	hosts, _ := textList(value)
	for i, host := range hosts {
		property := fmt.Sprintf("daemon.hosts[%d]", i)
		scheme, rest, _ := strings.Cut(host, "://")
		switch {
		case slices.Contains(hosts[:i], host):
			c.fail(property, fmt.Sprintf("%q is listed twice: dockerd can't listen there twice", host), "")
		case scheme == "unix" && !strings.HasPrefix(rest, "/"):
			c.fail(property, fmt.Sprintf("%q is no absolute path", host), "write unix:///path")
		case scheme != "unix" && scheme != "tcp":
			c.fail(property, fmt.Sprintf("%q is neither unix:// nor tcp://", host), "")
		case scheme == "tcp" && !verified:
			c.warn(property, fmt.Sprintf("%q gives root on this machine to everybody who reaches it", host), "set tlsverify, with tlscacert, tlscert and tlskey")
		}
	}
}

// textList reads a list of texts; null and nothing are none.
func textList(value json.RawMessage) (texts []string, err error) {
	if len(value) == 0 {
		return nil, nil
	}
	err = json.Unmarshal(value, &texts)
	return texts, err
}
