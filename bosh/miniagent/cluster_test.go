package miniagent

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"galley/engine/enginetest/dockerd"
)

// TestThreeVMsFormACluster deploys the manifest of an etcd cluster to three VMs, one after the other as its update block
// says, loses one for a while, and reaches one's Engine from another.
func TestThreeVMsFormACluster(t *testing.T) {
	t.Parallel()
	etcd := dockerd.Etcd()
	etcd.Name = "quay.io/coreos/etcd:v3.5.15" // as the manifest calls it
	programs(t, "dockerd")
	archive, err := etcd.Archive(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	network := newNetwork(t)
	var vms []*vm
	var addresses []string
	for range 3 {
		v := newVM(t, network)
		vms, addresses = append(vms, v), append(addresses, v.address)
	}
	a := newAuthority(t, "docker")
	certificate, key := a.issue(t, "docker", x509.ExtKeyUsageServerAuth, addresses...)
	for i, v := range vms {
		d, _ := manifestOf(t, "cluster.yml", []string{"tls-bind.yml"}, with(map[string]string{
			"docker_tls.ca": a.text, "docker_tls.certificate": certificate, "docker_tls.private_key": key,
		}))
		d.images, d.links = map[string]string{"etcd.tar": archive}, peers(addresses...)
		d.spec = map[string]any{"index": i, "bootstrap": i == 0, "id": fmt.Sprintf("2c4a8f9e-0000-4000-8000-%012d", i)}
		if err := v.deploy(d); err != nil {
			t.Fatal(err)
		}
	}
	vms[0].etcd("put", "a", "1")
	if got := vms[2].etcd("get", "a", "--print-value-only"); got != "1" {
		t.Errorf("the third member says %q", got)
	}
	if got := vms[1].etcd("endpoint", "health", "--cluster"); strings.Count(got, "is healthy") != 3 {
		t.Errorf("not all three are healthy:\n%s", got)
	}

	before := vms[1].boxes()
	vms[1].shutDown()
	vms[0].etcd("put", "b", "2")
	if got := vms[2].etcd("get", "b", "--print-value-only"); got != "2" {
		t.Errorf("with one VM gone, the third member says %q", got)
	}
	vms[1].boot()
	vms[1].makeJobDirs()
	vms[1].awaitRunning()
	vms[1].awaitUp()
	if got := vms[1].etcd("get", "b", "--print-value-only"); got != "2" {
		t.Errorf("the member that came back says %q", got)
	}
	if after := vms[1].boxes(); after["etcd"].id != before["etcd"].id {
		t.Errorf("the container is another one after the reboot")
	}
	vms[2].reaches(vms[0], a)
}

// etcd runs etcdctl beside the VM's member.
func (v *vm) etcd(args ...string) string {
	v.t.Helper()
	said, err := v.galley(append([]string{"exec", "-T", "etcd", "etcdctl", "--command-timeout=120s"}, args...)...)
	if err != nil {
		v.t.Fatal(err)
	}
	return strings.TrimSpace(said)
}

// reaches uses the Engine of another VM, as an operator does from afar: with a client's certificate, and not without.
func (v *vm) reaches(other *vm, a *authority) {
	v.t.Helper()
	certificate, key := a.issue(v.t, "docker-client", x509.ExtKeyUsageClientAuth)
	dir := filepath.Join(v.dir, "vcap/client")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		v.t.Fatal(err)
	}
	for name, text := range map[string]string{"ca.pem": a.text, "cert.pem": certificate, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			v.t.Fatal(err)
		}
	}
	execute := []string{"/var/vcap/packages/galley/bin/galley", "-p", "running", "exec", "-T", "etcd", "cat", "/proc/1/comm"}
	host := []string{"env", "DOCKER_HOST=tcp://" + other.address + ":2376", "DOCKER_TLS_VERIFY=1"}
	if said, err := v.try(append(append(host, "DOCKER_CERT_PATH=/var/vcap/client"), execute...)...); err != nil || !strings.Contains(said, "etcd") {
		v.t.Errorf("from another VM: %v\n%s", err, said)
	}
	must(v.t, "rm", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if said, err := v.try(append(append(host, "DOCKER_CERT_PATH=/var/vcap/client"), execute...)...); err == nil {
		v.t.Errorf("without a certificate of its own a client is let in:\n%s", said)
	}
}
