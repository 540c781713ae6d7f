package compose

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// planted is a mistake that stands in one line of a recipe: an item of a service's list, or a key of a mapping. The attribute
// is a service's ("ports", "deploy.resources"; "" is the service itself) or, with a slash, a section of the top level.
type planted struct {
	attribute, text, code string
}

// plantings are mistakes that don't touch each other. What the schema, the loader and galley's own checks find is among them,
// since each has its own way to hide the others.
func plantings() []planted {
	var all []planted
	add := func(attribute string, lines ...string) {
		for _, line := range lines {
			code, text, _ := strings.Cut(line, " ")
			all = append(all, planted{attribute, text, code})
		}
	}
	add("", "unknown-key imge: x", "invalid-value restart: sometimes", "invalid-value stop_signal: SIGNOT", "wrong-type privileged: maybe",
		"wrong-type command: 5", "invalid-value mem_limit: lots", "invalid-value stop_grace_period: soon", "invalid-value pull_policy: alway",
		"invalid-value working_dir: srv", "wrong-type annotations: 5", "invalid-interpolation hostname: a${", "invalid-value platform: a/b/c/d/e",
		"required-variable user: ${NOBODY:?who}", "wrong-type entrypoint: {a: b}", "wrong-type tty: perhaps", "invalid-value shm_size: big",
		"wrong-type cap_drop: CHOWN", "unknown-key volume: [a]", "key-not-text 5: a", "undefined-service extends: nobody")
	add("ports", `invalid-port "bogus:port"`, `invalid-port "80:99999"`, "port-conflict 7000:81", "missing-key {published: 81}", "unknown-key {target: 81, moed: host}",
		`wrong-type [81]`, `wrong-type {target: many}`, `invalid-address {target: 81, host_ip: nowhere}`, `invalid-interpolation "${:80"`)
	add("volumes", `invalid-mount ""`, "undefined-volume nowhere:/n", "missing-key {type: bind, target: /b}", "invalid-value {type: bnd, target: /c}",
		"wrong-type 5", "wrong-type {type: volume, target: /d, read_only: maybe}", "wrong-type {type: volume, target: /e, volume: {nocopy: maybe}}",
		"missing-key {type: volume, source: vol}", "invalid-value {type: tmpfs, target: /f, tmpfs: {size: big}}")
	add("devices", "invalid-device /dev/a:/dev/b:r:w", "invalid-value /dev/a:/dev/b:q", "wrong-type 5", "missing-key {source: /dev/a}")
	add("cap_add", "invalid-value BOGUS", "wrong-type 5", "invalid-value SYS_NOTHING")
	add("security_opt", "invalid-value secomp=x", "wrong-type 5")
	add("ulimits", "invalid-value nofil: 5", "unknown-key nproc: {sof: 1}", "wrong-type core: many")
	add("env_file", "missing-env-file nowhere.env", "unknown-key {path: third.env, requird: false}", "missing-key {required: false}", "wrong-type 5")
	add("depends_on", "undefined-service nobody", "wrong-type 5")
	add("networks", "undefined-network nowhere", "wrong-type 5")
	add("configs", "undefined-config nowhere", "unknown-key {source: conf, target: /c, mod: 5}", "wrong-type 5")
	add("secrets", "undefined-secret nowhere", "wrong-type {source: sec, target: /s, mode: [5]}", "wrong-type 5")
	add("extra_hosts", "invalid-value nowhere", "wrong-type {a: b}")
	add("dns", "invalid-value nowhere", "wrong-type 5")
	add("environment", "wrong-type 5", "invalid-interpolation A=${")
	add("labels", "wrong-type 5", "invalid-interpolation a=${")
	add("sysctls", "invalid-value vm.swappiness: 1", "wrong-type kernel.sem: [1]")
	add("healthcheck", "invalid-value interval: soon", "wrong-type retries: many", "invalid-healthcheck test: [CURL, x]", "unknown-key intervall: 1s", "wrong-type disable: perhaps")
	add("deploy.resources.limits", "invalid-value memory: lots", "invalid-value pids: many", "unknown-key mem: 1g")
	add("deploy.restart_policy", "invalid-value condition: sometimes", "wrong-type max_attempts: many")
	add("logging", "unknown-key drivr: local", "wrong-type options: 5")
	add("tmpfs", "wrong-type 5", "invalid-value relative")
	add("links", "undefined-service nobody", "wrong-type 5")
	add("group_add", "wrong-type {a: b}")
	add("post_start", "unknown-key {command: a, usr: b}", "missing-key {user: a}", "wrong-type 5")
	add("pre_start", "wrong-type 5", "unknown-key {command: [a], imge: b}", "invalid-value {command: [a], cap_add: [BOGUS]}", "invalid-mount {command: [a], volumes: ['']}")
	add("gpus", "conflicting-keys {count: 1, device_ids: [a]}", "wrong-type 5")
	add("build", "invalid-recipe ssh: [default, a b]")
	add("blkio_config", "invalid-value weight: heavy", "wrong-type weight_device: 5")
	add("/networks", "unknown-key n1: {drivr: a}", "invalid-value default: {ipam: {config: [{subnet: nowhere}]}}", "wrong-type n3: 5")
	add("/volumes", "unknown-key v1: {drver: a}", "wrong-type v2: 5", "external-with-settings v3: {external: true, driver: a}")
	add("/secrets", "missing-key s1: {}", "unknown-key s2: {file: good.env, fil: a}", "conflicting-keys s3: {file: good.env, environment: A}")
	add("/configs", "missing-key c1: {}", "wrong-type c2: {file: [a]}")
	add("/", "unknown-key servics: {}")
	return all
}

// sound are the lines that stand around a mistake.
func sound(attribute string, service int) []string {
	return map[string][]string{
		"ports":                   {fmt.Sprintf(`- "%d:80"`, 8000+service), "- 90"},
		"volumes":                 {"- vol:/good", "- /anonymous"},
		"devices":                 {"- /dev/null", "- /dev/zero:/dev/one"},
		"cap_add":                 {"- NET_ADMIN", "- SYS_TIME"},
		"security_opt":            {"- no-new-privileges:true"},
		"ulimits":                 {"memlock: 5", "stack: {soft: 1, hard: 2}"},
		"env_file":                {"- good.env", "- {path: other.env, required: false}"},
		"depends_on":              {"- a0"},
		"networks":                {"- default", "- net"},
		"configs":                 {"- conf"},
		"secrets":                 {"- sec"},
		"extra_hosts":             {"- a=10.0.0.1"},
		"dns":                     {"- 10.0.0.1"},
		"environment":             {"- X=y"},
		"labels":                  {"- x=y"},
		"sysctls":                 {"net.core.somaxconn: 1024"},
		"healthcheck":             {"timeout: 1s"},
		"deploy.resources.limits": {`cpus: "1"`},
		"deploy.restart_policy":   {"delay: 1s"},
		"tmpfs":                   {"- /run"},
		"links":                   {"- a0"},
		"group_add":               {"- daemon"},
		"post_start":              {"- command: a"},
		"pre_start":               {"- command: [a]"},
		"gpus":                    {"- capabilities: [gpu]"},
		"build":                   {"context: ."},
		"":                        {"image: app:1.0"},
		"/networks":               {"net: {}"},
		"/volumes":                {"vol: {}"},
		"/secrets":                {"sec: {file: good.env}"},
		"/configs":                {"conf: {content: a}"},
	}[attribute]
}

// grown is a recipe with mistakes, and the line and code of each.
func grown(random *rand.Rand, mistakes []planted) (text string, want []string) {
	places := map[string]map[string][]planted{"": {"/networks": nil, "/volumes": nil, "/secrets": nil, "/configs": nil}}
	for _, m := range mistakes {
		service := ""
		if !strings.HasPrefix(m.attribute, "/") {
			service = fmt.Sprintf("s%d", random.IntN(4))
		}
		if places[service] == nil {
			places[service] = map[string][]planted{"": nil}
		}
		places[service][m.attribute] = append(places[service][m.attribute], m)
	}
	g := grower{random: random, lines: []string{"services:", "  a0:", "    image: app:1.0", `    ports: ["7000:80"]`, "    networks: {default: }"}}
	for _, service := range sortedKeys(places) {
		if service != "" {
			g.lines = append(g.lines, "  "+service+":")
			g.mapping(places[service], "    ", int(service[1]-'0'))
		}
	}
	for _, section := range sortedKeys(places[""]) {
		if section != "/" {
			g.lines = append(g.lines, section[1:]+":")
		}
		g.block(section, places[""][section], strings.Repeat("  ", min(len(section)-1, 1)), 0)
	}
	return strings.Join(g.lines, "\n") + "\n", g.want
}

type grower struct {
	random *rand.Rand
	lines  []string
	want   []string
}

// mapping writes the attributes of a service; a dot in the name of one is a mapping of its own.
func (g *grower) mapping(attributes map[string][]planted, indent string, service int) {
	open := ""
	for _, attribute := range sortedKeys(attributes) {
		at := indent
		parts := strings.Split(attribute, ".")
		for i := range parts {
			if path := strings.Join(parts[:i+1], "."); attribute != "" && !strings.HasPrefix(open+".", path+".") {
				g.lines = append(g.lines, at+parts[i]+":")
				open = path
			}
			if attribute != "" {
				at += "  "
			}
		}
		g.block(attribute, attributes[attribute], at, service)
	}
}

// block writes sound lines with the mistakes among them.
func (g *grower) block(attribute string, mistakes []planted, indent string, service int) {
	type line struct{ text, code string }
	var lines []line
	list := ""
	for _, text := range sound(attribute, service) {
		lines = append(lines, line{text, ""})
		if strings.HasPrefix(text, "- ") {
			list = "- "
		}
	}
	for _, m := range mistakes {
		lines = slices.Insert(lines, g.random.IntN(len(lines)+1), line{list + m.text, m.code})
	}
	for _, l := range lines {
		g.lines = append(g.lines, indent+l.text)
		if l.code != "" {
			g.want = append(g.want, fmt.Sprintf("%d %s: %s", len(g.lines), l.code, strings.TrimSpace(l.text)))
		}
	}
}

// inManifest is a recipe as the mapping in a BOSH manifest; its first line is the fifth one.
func inManifest(text string) string {
	return "instance_groups:\n- jobs:\n  - properties:\n      recipe:\n        " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n        ") + "\n"
}

// mistakesOf are the errors of a recipe that stands below some other lines, by line.
func mistakesOf(t *testing.T, dir, text string, above int) []string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "compose.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	src := Source{Dir: dir, Files: []string{"compose.yml"}, ProjectDir: dir, Lint: true}
	if _, err := os.Stat(filepath.Join(dir, "include.yml")); err == nil {
		src.Files = []string{"include.yml"}
	}
	_, found, err := LoadAll(context.Background(), src)
	if refused := new(InvalidError); err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
	var got []string
	for _, d := range found {
		if d.Severity == Error {
			got = append(got, fmt.Sprintf("%d %s: %s", d.Line-above, d.Code, strings.TrimSpace(Line(text, d.Line))))
		}
	}
	return slices.Compact(got)
}

func soundDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "good.env"), []byte("A=b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestEachMistakeIsFoundInItsLine plants each mistake alone.
func TestEachMistakeIsFoundInItsLine(t *testing.T) {
	for _, m := range plantings() {
		t.Run(m.attribute+" "+m.text, func(t *testing.T) {
			text, want := grown(rand.New(rand.NewPCG(1, 1)), []planted{m})
			if diff := cmp.Diff(want, mistakesOf(t, soundDir(t), text, 0)); diff != "" {
				t.Errorf("errors (-want +got):\n%s\n%s", diff, text)
			}
		})
	}
}

// TestNoMistakeHidesAnother plants several at once: each must be found, and nothing else.
func TestNoMistakeHidesAnother(t *testing.T) {
	t.Parallel()
	all := plantings()
	for seed := range uint64(80) {
		random := rand.New(rand.NewPCG(seed, 7))
		var chosen []planted
		for _, i := range random.Perm(len(all))[:2+random.IntN(20)] {
			chosen = append(chosen, all[i])
		}
		text, want := grown(random, chosen)
		above, dir := 0, soundDir(t)
		switch seed % 3 {
		case 1:
			text, above = inManifest(text), 4
		case 2:
			if err := os.WriteFile(filepath.Join(dir, "include.yml"), []byte("include: [compose.yml]\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, mistakesOf(t, dir, text, above)); diff != "" {
			t.Fatalf("errors of seed %d (-want +got):\n%s\n%s", seed, diff, text)
		}
	}
}
