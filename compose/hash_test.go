package compose

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/google/go-cmp/cmp"
)

// neverLowered are payload fields that lowering leaves alone, or that are the same for every container: no field of the
// hash speaks of them.
const neverLowered = "Config.AttachStdin Config.AttachStdout Config.AttachStderr Config.StdinOnce Config.ArgsEscaped " +
	"Config.NetworkDisabled Config.OnBuild Config.Shell " +
	"Host.ContainerIDFile Host.AutoRemove Host.VolumeDriver Host.ConsoleSize Host.Cgroup Host.PublishAllPorts " +
	"Host.Resources.CpusetMems Host.Resources.KernelMemory Host.Resources.KernelMemoryTCP Host.Resources.CPUCount " +
	"Host.Resources.CPUPercent Host.Resources.IOMaximumIOps Host.Resources.IOMaximumBandwidth"

// changedInPlace are payload fields that a running container can get.
const changedInPlace = "Host.RestartPolicy Host.Resources.NanoCPUs Host.Resources.CPUShares Host.Resources.CPUPeriod " +
	"Host.Resources.CPUQuota Host.Resources.CpusetCpus Host.Resources.Memory Host.Resources.MemoryReservation " +
	"Host.Resources.MemorySwap Host.Resources.PidsLimit"

// TestEveryPayloadFieldIsHashed sets each field of the payload in turn: a container that is created otherwise must have
// other digests, also by a field that an upgrade of the docker module brings, and another hash unless it changes in place.
func TestEveryPayloadFieldIsHashed(t *testing.T) {
	plain := &Service{Name: "web"}
	_, without := digestService(plain)
	for _, path := range fieldPaths(reflect.TypeFor[Service](), "") {
		if !strings.HasPrefix(path, "Config.") && !strings.HasPrefix(path, "Host.") {
			continue
		}
		changed := &Service{Name: "web"}
		set(fieldAt(reflect.ValueOf(changed).Elem(), path))
		_, with := digestService(changed)
		all := digestAll(changed)
		if hashed := with != without; hashed == contains(neverLowered+" "+changedInPlace, path) {
			t.Errorf("%s: hashed: %v; put it into hash.go, or into neverLowered", path, hashed)
		}
		if digested := len(all) > 0; digested == contains(neverLowered, path) {
			t.Errorf("%s: digested: %v", path, digested)
		}
	}
}

// TestEveryEndpointFieldIsHashed does so for attachments; what the Engine reports back is none of the recipe's.
func TestEveryEndpointFieldIsHashed(t *testing.T) {
	const reported = "NetworkID EndpointID Gateway IPAddress IPPrefixLen IPv6Gateway GlobalIPv6Address GlobalIPv6PrefixLen DNSNames"
	hash := func(s *Service) string { return digestAll(s).hash("") }
	without := hash(&Service{Endpoints: []Endpoint{{Network: "a"}}})
	for _, path := range fieldPaths(reflect.TypeFor[network.EndpointSettings](), "") {
		changed := &Service{Endpoints: []Endpoint{{Network: "a"}}}
		set(fieldAt(reflect.ValueOf(&changed.Endpoints[0].Settings).Elem(), path))
		if hashed := hash(changed) != without; hashed == contains(reported, path) {
			t.Errorf("%s: hashed: %v", path, hashed)
		}
	}
}

// TestEveryFileFieldIsHashed does so for configs and secrets: their contents by the digest, unless they are changed in place.
func TestEveryFileFieldIsHashed(t *testing.T) {
	_, without := digestService(&Service{Files: []File{{}}})
	for _, path := range fieldPaths(reflect.TypeFor[File](), "") {
		changed := &Service{Files: []File{{}}}
		set(fieldAt(reflect.ValueOf(&changed.Files[0]).Elem(), path))
		_, with := digestService(changed)
		if hashed := with != without; hashed == (path == "Content") {
			t.Errorf("%s: hashed: %v", path, hashed)
		}
	}
	_, first := digestService(&Service{OnSecretChange: "HUP", Files: []File{{Digest: "a"}}})
	_, second := digestService(&Service{OnSecretChange: "HUP", Files: []File{{Digest: "b"}}})
	if first != second {
		t.Error("a content that is changed in place replaces the container")
	}
}

// TestEveryHookFieldIsHashed does so for what is run around the container's life.
func TestEveryHookFieldIsHashed(t *testing.T) {
	_, without := digestService(&Service{PreStart: []Init{{}}, PostStart: []Hook{{}}, PreStop: []Hook{{}}})
	differs := func(kind, path string, hash func(*Service)) {
		changed := &Service{PreStart: []Init{{}}, PostStart: []Hook{{}}, PreStop: []Hook{{}}}
		hash(changed)
		if _, with := digestService(changed); with == without {
			t.Errorf("%s: %s is not hashed", kind, path)
		}
	}
	for _, path := range fieldPaths(reflect.TypeFor[Hook](), "") {
		differs("post_start", path, func(s *Service) { set(fieldAt(reflect.ValueOf(&s.PostStart[0]).Elem(), path)) })
		differs("pre_stop", path, func(s *Service) { set(fieldAt(reflect.ValueOf(&s.PreStop[0]).Elem(), path)) })
	}
	for _, path := range fieldPaths(reflect.TypeFor[Init](), "") {
		if !contains(neverLowered, path) {
			differs("pre_start", path, func(s *Service) { set(fieldAt(reflect.ValueOf(&s.PreStart[0]).Elem(), path)) })
		}
	}
}

// fieldPaths lists a struct's fields; embedded structs and Config and Host are gone into.
func fieldPaths(typ reflect.Type, prefix string) []string {
	var paths []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Type.Kind() == reflect.Struct && (f.Anonymous || f.Name == "Config" || f.Name == "Host") {
			paths = append(paths, fieldPaths(f.Type, prefix+f.Name+".")...)
			continue
		}
		paths = append(paths, prefix+f.Name)
	}
	return paths
}

func fieldAt(v reflect.Value, path string) reflect.Value {
	for name := range strings.SplitSeq(path, ".") {
		v = v.FieldByName(name)
	}
	return v
}

// set gives a value something that isn't its zero, all the way down.
func set(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		set(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		set(v.Index(0))
	case reflect.Array:
		set(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		set(key)
		set(value)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			set(v.Field(i))
		}
	default:
		panic(fmt.Sprintf("no value for a %s", v.Kind()))
	}
}

// TestWhatIsNoPartOfTheHash changes all that a running container needn't be replaced for.
func TestWhatIsNoPartOfTheHash(t *testing.T) {
	_, want := digestService(&Service{Name: "web"})
	fields, got := digestService(&Service{
		Name: "web", Replicas: 3, ContainerName: "other", NoAttach: true,
		Pull: Pull{Policy: PullAlways, MaxAge: time.Hour}, Update: Update{StartFirst: true},
		Rollback: Update{Parallelism: 2, Delay: time.Second, Monitor: time.Second, OnFailure: FailurePause}, NoEarlyProbes: true, RestartUnhealthy: true,
		Schedule: "@daily",
		Needs:    []Need{{Service: "db", Condition: Healthy}},
		Requires: []Requirement{{Attribute: "a", API: "1.48"}},
		Host:     container.HostConfig{RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled}, Isolation: "default"},
	})
	if got != want {
		t.Errorf("the hash changed: %v", fields)
	}
	network1 := digestNetwork(network.CreateOptions{}, nil)
	network2 := digestNetwork(network.CreateOptions{Driver: "bridge"}, map[string]string{})
	if network1 != network2 {
		t.Error("a network with the default driver written out has another hash")
	}
	if digestVolume(volume.CreateOptions{}, nil) != digestVolume(volume.CreateOptions{Driver: "local", Name: "any"}, nil) {
		t.Error("a volume with the default driver written out has another hash")
	}
}

// TestReasons names what differs between two recipes, as a plan tells it.
func TestReasons(t *testing.T) {
	tests := []struct{ name, before, after, want string }{
		{"nothing", "user: a", "user: a", ""},
		{"image", "services: {web: {image: a}}", "services: {web: {image: b}}", "image"},
		{"command", "command: a", "command: b", "command"},
		{"command cleared", "{}", "command: []", "command"},
		{"command cleared, not set", "command: []", "command: ['']", "command"},
		{"entrypoint cleared", "{}", "entrypoint: []", "entrypoint"},
		{"one variable", "environment: {A: a, LOG_LEVEL: info}", "environment: {A: a, LOG_LEVEL: debug}", "environment.LOG_LEVEL"},
		{"variable unset, not empty", "environment: {A: }", "environment: {A: ''}", "environment.A"},
		{"a dotted label", "labels: {a.b: x}", "labels: {a.b: y}", "labels.a.b"},
		{"restart", "restart: always", "restart: on-failure", "restart"},
		{"no restart is none", "restart: 'no'", "{}", ""},
		{"ports", "ports: ['80:80']", "ports: ['81:80']", "ports"},
		{"ports in another order", "ports: ['80:80', '82:82']", "ports: ['82:82', '80:80']", ""},
		{"a port exposed only", "{}", "expose: ['80']", "expose"},
		{"volumes", "volumes: ['/a:/a']", "volumes: ['/a:/a:ro']", "volumes"},
		{"volumes in another order", "volumes: ['/a:/a', '/b']", "volumes: ['/b', '/a:/a']", ""},
		{"cpus", "cpus: 1", "cpus: 1.5", "cpus"},
		{"cpus written elsewhere", "cpus: 1.5", "deploy: {resources: {limits: {cpus: '1.5'}}}", ""},
		{"memory and processes", "{}", "mem_limit: 64m\npids_limit: 10", "mem_limit pids_limit"},
		{"healthcheck", "healthcheck: {test: a}", "healthcheck: {test: a, retries: 2}", "healthcheck"},
		{"capabilities in another order", "cap_add: [A, B]", "cap_add: [B, A]", ""},
		{"systempaths", "{}", "security_opt: [systempaths=unconfined]", "security_opt"},
		{"aliases", "networks: {default: {}}", "networks: {default: {aliases: [a]}}", "networks.default"},
		{"network mode", "{}", "network_mode: host", "network_mode networks.default"},
		{"replicas", "scale: 1", "scale: 3", ""},
		{"pull policy", "{}", "pull_policy: always", ""},
		{"update order", "{}", "deploy: {update_config: {order: start-first}}", ""},
		{"updates", "{}", "deploy: {update_config: {parallelism: 2, delay: 1s}, rollback_config: {monitor: 1s}}", ""},
		{"early probes", "{}", "x-galley: {early_probes: false}", ""},
		{"a container before the start", "{}", "pre_start: [{command: [a]}]", "pre_start"},
		{"what it runs", "pre_start: [{command: [a]}]", "pre_start: [{command: [b]}]", "pre_start"},
		{"how often it runs", "pre_start: [{command: [a]}]", "pre_start: [{command: [a], per_replica: true}]", "pre_start"},
		{"what it inherits", "pre_start: [{command: [a]}]", "user: b\npre_start: [{command: [a]}]", "pre_start user"},
		{"hooks in another order", "post_start: [{command: [a]}, {command: [b]}]", "post_start: [{command: [b]}, {command: [a]}]", "post_start"},
		{"a hook's user", "pre_stop: [{command: [a]}]", "pre_stop: [{command: [a], user: root}]", "pre_stop"},
		{"a link", "{}", "external_links: ['db:database']", "networks.default"},
		{"stop at once", "{}", "stop_grace_period: 0s", "stop_grace_period"},
		{"init", "init: false", "{}", "init"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, after := loadService(t, tt.before), loadService(t, tt.after)
			had, has := digestAll(before), digestAll(after)
			var differing []string
			replaced := false
			for _, name := range append(sortedKeys(had), sortedKeys(has)...) {
				if had[name] != has[name] && !slices.Contains(differing, name) {
					differing = append(differing, name)
					replaced = replaced || !InPlace(name)
				}
			}
			slices.Sort(differing)
			if diff := cmp.Diff(tt.want, strings.Join(differing, " ")); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if same := before.Hash == after.Hash; same == replaced {
				t.Errorf("same hash: %v", same)
			}
		})
	}
}

// loadService lowers the body of a service; faults in it don't matter here.
func loadService(t *testing.T, body string) *Service {
	t.Helper()
	recipes, err := open(Source{Files: []string{"-"}, Stdin: strings.NewReader(recipeOf(body)), Dir: t.TempDir(), Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := recipes[0].load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	project, _ := lower(l.project, "-", nil)
	return project.Service("web")
}

// TestCanonIsUnambiguous: values that differ must not run together into the same bytes.
func TestCanonIsUnambiguous(t *testing.T) {
	values := []canon{
		canon{}.texts([]string{"ab"}), canon{}.texts([]string{"a", "b"}), canon{}.texts([]string{"a", "", "b"}), canon{}.texts(nil),
		canon{}.text("1:a"), canon{}.text("a").text(""), canon{}.text("").text("a"), canon{}.number(1), canon{}.text("i1e"),
		canon{}.table(map[string]string{"a": "b"}), canon{}.table(nil), canon{}.texts([]string{"1:a1:b"}),
	}
	seen := map[string]int{}
	for i, v := range values {
		if j, ok := seen[v.hash("")]; ok {
			t.Errorf("values %d and %d are the same: %s", i, j, v)
		}
		seen[v.hash("")] = i
	}
}

// BenchmarkLower lowers 100 services of ordinary size.
func BenchmarkLower(b *testing.B) {
	var text strings.Builder
	text.WriteString("services:\n")
	for i := range 100 {
		fmt.Fprintf(&text, `  s%d:
    image: registry.example.com/team/app:%d
    command: [serve, --port, "80"]
    environment: {LOG_LEVEL: info, A: "1", B: "2", C: "3", D: "4", E: "5"}
    labels: {tier: front, team: blue}
    ports: ["%d:80"]
    volumes: ["data:/data", "/srv/%d:/srv"]
    healthcheck: {test: "true", interval: 5s}
    restart: always
    depends_on: {s%d: {condition: service_started, required: false}}
    networks: [front, back]
    cap_add: [NET_ADMIN]
    mem_limit: 64m
`, i, i, 20000+i, i, (i+1)%100)
	}
	text.WriteString("networks: {front: {}, back: {}}\nvolumes: {data: {}}\n")
	cyclic := strings.Replace(text.String(), "    depends_on: {s0: {condition: service_started, required: false}}\n", "", 1)
	recipes, err := open(Source{Files: []string{"-"}, Stdin: strings.NewReader(cyclic), Dir: b.TempDir(), Name: "shop"})
	if err != nil {
		b.Fatal(err)
	}
	l, err := recipes[0].load(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("lower", func(b *testing.B) {
		for b.Loop() {
			lower(l.project, "-", nil)
		}
	})
	b.Run("unsupported", func(b *testing.B) {
		for b.Loop() {
			unsupported(l.model, nil)
		}
	})
}
