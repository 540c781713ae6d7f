package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
)

// write makes files, given as name and text in turn, and returns their directory.
func write(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const web = "services:\n  web: {image: nginx}\n"

func TestLoadFindsTheFilesAsDockerComposeDoes(t *testing.T) {
	dir := write(t,
		"both/compose.yaml", web, "both/compose.yml", web, "both/docker-compose.yml", web,
		"override/docker-compose.yml", web, "override/docker-compose.override.yaml", web, "override/compose.override.yml", web,
		"parent/compose.yml", web, "parent/a/b/x", "",
		"dotenv/.env", "COMPOSE_FILE=one.yml;two.yml\nCOMPOSE_PATH_SEPARATOR=;\n", "dotenv/one.yml", web, "dotenv/two.yml", web,
		"named/other.yml", web, "named/compose.yml", web,
	)
	tests := []struct {
		name string
		src  Source
		want []string
	}{
		{"the first of the default names", Source{Dir: "both"}, []string{"both/compose.yaml"}},
		{"an override file of any default name", Source{Dir: "override"}, []string{"override/docker-compose.yml", "override/compose.override.yml"}},
		{"a parent directory's", Source{Dir: "parent/a/b"}, []string{"parent/compose.yml"}},
		{"COMPOSE_FILE of the env file", Source{Dir: "dotenv"}, []string{"dotenv/one.yml", "dotenv/two.yml"}},
		{"COMPOSE_FILE of the environment", Source{Dir: "named", Environ: []string{"COMPOSE_FILE=other.yml"}}, []string{"named/other.yml"}},
		{"-f wins over COMPOSE_FILE", Source{Dir: "named", Files: []string{"compose.yml"}, Environ: []string{"COMPOSE_FILE=other.yml"}}, []string{"named/compose.yml"}},
		{"a directory", Source{Dir: ".", Files: []string{"override"}}, []string{"override/docker-compose.yml", "override/compose.override.yml"}},
		{"standard input", Source{Dir: "named", Files: []string{"-"}, Stdin: strings.NewReader(web)}, []string{"-"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.src.Dir = filepath.Join(dir, tt.src.Dir)
			p, _, err := Load(context.Background(), tt.src)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, file := range p.Files {
				got = append(got, strings.TrimPrefix(file, dir+"/"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadSaysWhatIsMissing(t *testing.T) {
	dir := write(t, "empty/x", "", "ok.yml", web, "manifest.yml", "instance_groups: []\n", "bad.env", "A=1\nPASSWORD hunter2\n")
	tests := []struct {
		name string
		src  Source
		want string
		is   error
	}{
		{"no recipe", Source{Dir: dir + "/empty"}, `no recipe in "DIR/empty" or above: looked for compose.yaml, compose.yml, docker-compose.yml or docker-compose.yaml; name one with -f`, ErrNoRecipe},
		{"no recipe in a directory", Source{Dir: dir, Files: []string{"empty"}}, `no recipe in the directory "empty": looked for compose.yaml, compose.yml, docker-compose.yml or docker-compose.yaml`, ErrNoRecipe},
		{"a missing file", Source{Dir: dir, Files: []string{"none.yml"}}, `reading recipe "none.yml": no such file or directory`, fs.ErrNotExist},
		{"a missing file of several", Source{Dir: dir, Files: []string{"ok.yml", "none.yml"}}, `reading recipe "none.yml": no such file or directory`, fs.ErrNotExist},
		{"no standard input", Source{Dir: dir, Files: []string{"-"}}, `reading recipe "-": there is no standard input`, nil},
		{"a missing env file", Source{Dir: dir, Files: []string{"ok.yml"}, EnvFiles: []string{"none.env"}}, `reading env file "DIR/none.env": no such file or directory`, fs.ErrNotExist},
		{"a bad env file, without its text", Source{Dir: dir, Files: []string{"ok.yml"}, EnvFiles: []string{"bad.env"}}, `reading env file "DIR/bad.env:2": not a line of KEY=VALUE`, nil},
		{"a bad name", Source{Dir: dir, Files: []string{"ok.yml"}, Name: "A b"}, `naming the project "A b": a name has lower-case letters, digits, "-" and "_", and starts with a letter or digit`, nil},
		{"a manifest without recipe", Source{Dir: dir, Files: []string{"manifest.yml"}}, `no recipe in the manifest "DIR/manifest.yml": looked for properties.recipe in instance_groups[].jobs[]`, ErrNoRecipe},
		{"--recipe without a manifest", Source{Dir: dir, Files: []string{"ok.yml"}, Recipe: "a/b"}, `choosing recipe "a/b": "DIR/ok.yml" is not a BOSH manifest`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Load(context.Background(), tt.src)
			if err == nil {
				t.Fatal("no error")
			}
			want := strings.ReplaceAll(tt.want, "DIR", dir)
			if err.Error() != want {
				t.Errorf("error\n got %s\nwant %s", err, want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v is no %v", err, tt.is)
			}
			if refused := new(InvalidError); errors.As(err, &refused) {
				t.Error("an error of reading is no InvalidError")
			}
		})
	}
}

func TestLoadReadsOneRecipeOfAManifest(t *testing.T) {
	const manifest = `instance_groups:
- name: a
  jobs:
  - {name: docker, properties: {recipe: {services: {one: {image: nginx}}}}}
- name: b
  jobs:
  - name: docker
    properties:
      project: two
      recipe: "services:\n  two: {image: x, working_dir: '$PWD/x'}\n"
`
	dir := write(t, "manifest.yml", manifest)
	src := Source{Dir: dir, Files: []string{"manifest.yml"}}

	_, _, err := Load(context.Background(), src)
	want := fmt.Sprintf("choosing a recipe: %q has several; choose one with --recipe: a/docker, b/docker", dir+"/manifest.yml")
	if err == nil || err.Error() != want {
		t.Errorf("error\n got %v\nwant %s", err, want)
	}
	src.Recipe = "c/docker"
	_, _, err = Load(context.Background(), src)
	want = fmt.Sprintf("choosing recipe \"c/docker\" of %q: there is none of that name; it has a/docker, b/docker", dir+"/manifest.yml")
	if err == nil || err.Error() != want {
		t.Errorf("error\n got %v\nwant %s", err, want)
	}
	src.Recipe = "a/docker"
	p, _, err := Load(context.Background(), src)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "running" || p.WorkingDir != "/var/vcap/jobs/docker/etc/running" || p.Service("one") == nil {
		t.Errorf("project %s in %s with %v", p.Name, p.WorkingDir, p.Services)
	}
	src.Recipe = "b/docker"
	if p, _, err = Load(context.Background(), src); err != nil {
		t.Fatal(err)
	}
	if got := p.Service("two").Config.WorkingDir; p.Name != "two" || got != "/var/vcap/jobs/docker/etc/running/x" {
		t.Errorf("project %s works in %s", p.Name, got)
	}
	if name, err := ProjectName(src); name != "two" || err != nil {
		t.Errorf("ProjectName: %q, %v", name, err)
	}
}

func TestLoadPutsInVariables(t *testing.T) {
	const recipe = "services:\n  web: {image: x, labels: {v: '$A-${B:-b}-${C-c}-${D:+d}-$$E'}}\n"
	dir := write(t, "compose.yml", recipe, ".env", "A=dotenv\nB=dotenv\n", "one.env", "A=one\nD=one\n", "two.env", "A=two\n")
	tests := []struct {
		name string
		src  Source
		want string
	}{
		{"from .env", Source{}, "dotenv-dotenv-c--$E"},
		{"the environment wins", Source{Environ: []string{"A=env", "C="}}, "env-dotenv---$E"},
		{"the last env file wins", Source{EnvFiles: []string{"one.env", "two.env"}}, "two-b-c-d-$E"},
		{"env files of the environment", Source{Environ: []string{"COMPOSE_ENV_FILES=one.env,two.env"}}, "two-b-c-d-$E"},
		{".env can be switched off", Source{Environ: []string{"COMPOSE_DISABLE_ENV_FILE=1", "A=x"}}, "x-b-c--$E"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.src.Dir = dir
			p, _, err := Load(context.Background(), tt.src)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Service("web").Config.Labels["v"]; got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestLoadActivatesProfiles(t *testing.T) {
	dir := write(t, "compose.yml", "services:\n  a: {image: x}\n  b: {image: x, profiles: [p]}\n  c: {image: x, profiles: [q]}\n")
	tests := []struct {
		src  Source
		want string
	}{
		{Source{}, "a"},
		{Source{Profiles: []string{"p"}}, "a b"},
		{Source{Environ: []string{"COMPOSE_PROFILES=p, q"}}, "a b c"},
		{Source{Profiles: []string{"q"}, Environ: []string{"COMPOSE_PROFILES=p"}}, "a c"},
		{Source{Profiles: []string{"*"}}, "a b c"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			tt.src.Dir = dir
			p, _, err := Load(context.Background(), tt.src)
			if err != nil {
				t.Fatal(err)
			}
			var active []string
			for _, s := range p.Services {
				active = append(active, s.Name)
			}
			if got := strings.Join(active, " "); got != tt.want {
				t.Errorf("active %s", got)
			}
			if !p.Knows("a") || !p.Knows("b") || !p.Knows("c") {
				t.Errorf("inactive services are unknown: %v", p.Inactive)
			}
		})
	}
}

func TestLoadDropsWhatNoServiceUses(t *testing.T) {
	dir := write(t, "compose.yml", `services:
  web: {image: nginx, networks: [front], volumes: ["data:/data"]}
  job: {image: nginx, networks: [back], profiles: [never]}
networks: {front: , back: , unused: }
volumes: {data: , unused: }
`)
	p, _, err := Load(context.Background(), Source{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Networks) != 1 || p.Networks[0].Key != "front" || len(p.Volumes) != 1 || p.Volumes[0].Key != "data" {
		t.Errorf("networks %v, volumes %v", p.Networks, p.Volumes)
	}
}

func TestLoadPrintsNothing(t *testing.T) {
	var log bytes.Buffer
	logrus.SetOutput(&log)
	dir := write(t, "compose.yml", "version: '3'\nservices:\n  web: {image: x, labels: {v: '$A${B:-$C}'}, init: 'yes'}\n")
	_, diagnostics, err := Load(context.Background(), Source{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Errorf("logged %s", log.String())
	}
	var names []string
	for _, d := range diagnostics {
		names = append(names, fmt.Sprintf("%s %s", d.Code, d.Message))
	}
	if !slices.Contains(names, `undefined-variable the variable "A" is not set; it counts as empty`) ||
		!slices.Contains(names, `undefined-variable the variable "C" is not set; it counts as empty`) {
		t.Errorf("findings %v", names)
	}
}

func TestLoadStopsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := Load(ctx, Source{Dir: write(t, "compose.yml", web)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestFindingsNeverHoldSecrets(t *testing.T) {
	const secret = "hunter2"
	dir := write(t, "compose.yml", `services:
  web:
    image: nginx
    environment:
      A: {b: $SECRET}
      B: ${NONE:?`+"`it is missing`"+`}
    env_file: bad.env
    labels: [$SECRET, {c: $SECRET}]
  db:
    image: postgres
    env_file: bad.env
    ulimits: {nofile: $SECRET}
    mem_limit: [$SECRET]
    healthcheck: {retries: $SECRET}
`, "bad.env", "PASSWORD "+secret+"\n")
	_, diagnostics, err := Load(context.Background(), Source{Dir: dir, Environ: []string{"SECRET=" + secret}})
	if err == nil || len(diagnostics) < 4 {
		t.Fatalf("%d findings, error %v", len(diagnostics), err)
	}
	for _, d := range diagnostics {
		if strings.Contains(fmt.Sprintf("%+v", d), secret) {
			t.Errorf("finding with a secret: %+v", d)
		}
	}
}

func TestProjectNameNeedsNoReadableRecipe(t *testing.T) {
	dir := write(t,
		"My.App/compose.yml", "services: [broken\n",
		"named/compose.yml", "# comment\nname: ${N:-shop}\nservices: {}\n", "named/other.yml", "services: {}\nname: Other\n",
		"nested/compose.yml", "services:\n  web:\n    labels:\n      name: no\n",
		"flow/compose.yml", `{"services": {}, "name": "flow"}`,
		"merged/compose.yml", "x-a: &a {name: merged}\n<<: *a\nservices: {}\n",
		"none/x", "", "env/.env", "COMPOSE_PROJECT_NAME=fromfile\n", "env/compose.yml", "name: recipe\n",
		"___/compose.yml", web,
	)
	tests := []struct {
		name string
		src  Source
		want string
	}{
		{"a broken recipe", Source{Dir: "My.App"}, "myapp"},
		{"the recipe's name", Source{Dir: "named"}, "shop"},
		{"with variables", Source{Dir: "named", Environ: []string{"N=Mine"}}, "mine"},
		{"the last file's", Source{Dir: "named", Files: []string{"compose.yml", "other.yml"}}, "other"},
		{"a name further in is none", Source{Dir: "nested"}, "nested"},
		{"flow style", Source{Dir: "flow"}, "flow"},
		{"a merged name", Source{Dir: "merged"}, "merged"},
		{"no recipe", Source{Dir: "none"}, "none"},
		{"a missing file", Source{Dir: ".", Files: []string{"none/compose.yml"}}, "none"},
		{"the env file's", Source{Dir: "env"}, "fromfile"},
		{"the environment's", Source{Dir: "env", Environ: []string{"COMPOSE_PROJECT_NAME=fromenv"}}, "fromenv"},
		{"the caller's", Source{Dir: "env", Name: "mine", Environ: []string{"COMPOSE_PROJECT_NAME=fromenv"}}, "mine"},
		{"the project directory's", Source{Dir: ".", Files: []string{"nested/compose.yml"}, ProjectDir: "none"}, "none"},
		{"standard input that can be read again", Source{Dir: "none", Files: []string{"-"}, Stdin: strings.NewReader("name: stdin\nservices: {}\n")}, "stdin"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.src.Dir = filepath.Join(dir, tt.src.Dir)
			got, err := ProjectName(tt.src)
			if err != nil || got != tt.want {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
			if p, _, err := Load(context.Background(), tt.src); err == nil && p.Name != got {
				t.Errorf("Load names it %q, ProjectName %q", p.Name, got)
			}
		})
	}
	if _, err := ProjectName(Source{Dir: dir + "/___"}); err == nil {
		t.Error("a directory without letters names no project, but there is no error")
	}
}

// generated is a recipe of n services as people write them.
func generated(n int) string {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range n {
		fmt.Fprintf(&b, `  s%d:
    image: busybox:latest
    command: ["sleep", "infinity"]
    init: true
    environment:
      A: "1"
      B: two
    labels: {x: y}
    healthcheck:
      test: ["CMD", "true"]
      interval: 10s
    restart: unless-stopped
`, i)
		if i > 0 {
			fmt.Fprintf(&b, "    depends_on: {s%d: {condition: service_started}}\n", i-1)
		}
	}
	return b.String()
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{30, 100} {
		dir := write(b, "compose.yml", generated(n))
		b.Run(fmt.Sprintf("%d services", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Load(context.Background(), Source{Dir: dir}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
