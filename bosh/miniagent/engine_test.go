package miniagent

import (
	"strings"
	"testing"
)

// TestAVMWithoutARecipeHasAnEngineAndNoMore deploys, reboots and stops it; then the disk can go.
func TestAVMWithoutARecipeHasAnEngineAndNoMore(t *testing.T) {
	t.Parallel()
	v := newVM(t, newNetwork(t))
	if err := v.deploy(deployment{}); err != nil {
		t.Fatal(err)
	}
	before, err := v.docker().Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if before.DockerRootDir != "/var/vcap/store/docker" || before.LoggingDriver != "json-file" {
		t.Errorf("the engine has its data in %s and the log driver %s", before.DockerRootDir, before.LoggingDriver)
	}
	v.reboot()
	v.awaitRunning()
	after, err := v.docker().Info(t.Context())
	if err != nil || after.ID != before.ID {
		t.Errorf("after a reboot the engine is %q, %v; it was %q", after.ID, err, before.ID)
	}
	v.stop("job_shutdown")
	v.do("umount", "/var/vcap/store")
	if left := v.do("ps", "-e", "-o", "comm="); strings.Contains(left, "dockerd") || strings.Contains(left, "containerd") {
		t.Errorf("still alive:\n%s", left)
	}
}
