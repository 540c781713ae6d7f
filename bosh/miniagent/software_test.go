package miniagent

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"galley/engine/enginetest/dockerd"
)

// manifestOf reads a manifest of the release with its operations, and gives the deployment of its job docker and, by name,
// the properties of all its jobs. Nothing is pulled.
func manifestOf(t *testing.T, name string, operations []string, variables map[string]string) (deployment, map[string]map[string]any) {
	t.Helper()
	release := releaseDir(t)
	for i, file := range operations {
		operations[i] = filepath.Join(release, "operations", file)
	}
	jobs := map[string]map[string]any{}
	for _, j := range jobsOf(t, readManifest(t, filepath.Join(release, "manifests", name), operations, variables)) {
		jobs[j.job] = j.properties
	}
	properties := map[string]any{"pull_policy": "never"}
	maps.Copy(properties, jobs["docker"])
	return deployment{properties: properties}, jobs
}

// with gives variables beside the usual ones.
func with(more map[string]string) map[string]string {
	all := variables()
	maps.Copy(all, more)
	return all
}

// errand renders a job that lies beside the job docker, and runs it as the agent does. The error carries the exit code.
func (v *vm) errand(job string, properties map[string]any) (string, error) {
	v.t.Helper()
	at := filepath.Join(v.dir, "vcap/jobs", job)
	if err := os.RemoveAll(at); err != nil {
		v.t.Fatal(err)
	}
	r := rendering{Release: releaseDir(v.t), Job: job, Properties: properties, Spec: spec("docker"), Out: at}
	if err := r.run(v.t); err != nil {
		v.t.Fatal(err)
	}
	v.own(at)
	return v.try("/var/vcap/jobs/" + job + "/bin/run")
}

// fetch asks a server at the VM's own address for a page.
func (v *vm) fetch(port int, page string) (string, error) {
	return v.try("bash", "-c", `exec 3<>"/dev/tcp/$0/$1" && printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3 && cat <&3`, v.address, fmt.Sprint(port), page)
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// TestManifestsRunRealSoftware deploys those manifests of the release whose programs Debian has, runs the errands, and what
// the release's README says about looking inside.
func TestManifestsRunRealSoftware(t *testing.T) {
	t.Parallel()
	v := newVM(t, newNetwork(t))
	if err := v.deploy(deployment{}); err != nil {
		t.Fatal(err)
	}
	for name, software := range map[string]dockerd.Software{"nginx:1.27": dockerd.Nginx(), "postgres:15": dockerd.Postgres()} {
		if err := dockerd.LoadSoftware(t.Context(), v.docker(), software, t.Output()); err != nil {
			t.Fatal(err)
		}
		if err := v.docker().ImageTag(t.Context(), software.Name, name); err != nil {
			t.Fatal(err)
		}
	}
	v.testNginx()
	v.testPostgres()
}

func (v *vm) testNginx() {
	v.t.Helper()
	nginx, _ := manifestOf(v.t, "nginx.yml", []string{"metrics.yml"}, variables())
	if err := v.deploy(nginx); err != nil {
		v.t.Fatal(err)
	}
	for _, tt := range []struct {
		port       int
		page, want string
	}{{80, "/", "hello, from nginx!"}, {80, "/healthz", "ok"}, {9393, "/metrics", "galley_"}, {9393, "/", "nginx"}} {
		if got, err := v.fetch(tt.port, tt.page); err != nil || !strings.Contains(got, tt.want) {
			v.t.Errorf("port %d, %s: got %q, %v, want %q", tt.port, tt.page, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ command, want string }{
		{"ps", "running-nginx-1"}, {"status", "nginx"}, {"plan", "nothing to do"}, {"logs nginx", "GET /"},
		{"exec -T nginx cat /usr/share/nginx/html/index.html", "hello"}, {"prune", ""}, {"check", ""},
	} {
		if said, err := v.galley(strings.Fields(tt.command)...); err != nil || !strings.Contains(said, tt.want) {
			v.t.Errorf("galley %s: %v, want %q in:\n%s", tt.command, err, tt.want, said)
		}
	}
}

func (v *vm) testPostgres() {
	v.t.Helper()
	a := newAuthority(v.t, "postgres")
	certificate, key := a.issue(v.t, "postgres", x509.ExtKeyUsageServerAuth, "postgres")
	postgres, jobs := manifestOf(v.t, "postgres.yml", nil, with(map[string]string{
		"postgres_tls.ca": a.text, "postgres_tls.certificate": certificate, "postgres_tls.private_key": key, "postgres_password": `p'$a"s`,
	}))
	if err := v.deploy(postgres); err != nil {
		v.t.Fatal(err)
	}
	if said, err := v.errand("run-task", jobs["run-task"]); err != nil || !strings.Contains(said, "PostgreSQL 15") {
		v.t.Errorf("the manifest's task: %v\n%s", err, said)
	}
	task := maps.Clone(jobs["run-task"])
	task["command"] = []any{"psql", "-At", "host=postgres user=shop sslmode=require", "-c",
		"select ssl, to_regnamespace('shop') from pg_stat_ssl where pid = pg_backend_pid()"}
	if said, err := v.errand("run-task", task); err != nil || !strings.Contains(said, "t|shop") {
		v.t.Errorf("a connection with TLS, and the schema of the init script: %v\n%s", err, said)
	}
	task["command"] = []any{"sh", "-c", `printf "[%s]" "$@"; exit 7`, "sh", `$(id)`, `a "b' c`}
	if said, err := v.errand("run-task", task); exitCode(err) != 7 || !strings.Contains(said, `[$(id)][a "b' c]`) {
		v.t.Errorf("a task that fails: %v\n%s", err, said)
	}
	if got := v.boxes(); len(got) != 1 {
		v.t.Errorf("after the tasks there are %v", got)
	}
	if said, err := v.errand("smoke-tests", nil); err != nil || strings.Count(said, "ok: ") != 4 || strings.Contains(said, "not ok") {
		v.t.Errorf("smoke tests: %v\n%s", err, said)
	}
	if said, err := v.galley("stop", "postgres"); err != nil {
		v.t.Fatalf("%v\n%s", err, said)
	}
	if said, err := v.errand("smoke-tests", nil); exitCode(err) != 1 || !strings.Contains(said, "not ok: every service is up") || !strings.Contains(said, "ok: the engine answers") {
		v.t.Errorf("smoke tests of a service that was stopped: %v\n%s", err, said)
	}
	if said, err := v.galley("start", "postgres"); err != nil {
		v.t.Fatalf("%v\n%s", err, said)
	}
	v.awaitUp()
}
