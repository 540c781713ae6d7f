package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"galley/bosh"
)

// daemonConfigFlags are the flags of daemon-config.
type daemonConfigFlags struct {
	spec, daemonJSON, certsDir, authFile string
	check                                bool
}

// daemonConfigCommand writes dockerd's configuration of registries.
func (c *cli) daemonConfigCommand() *cobra.Command {
	var flags daemonConfigFlags
	cmd := &cobra.Command{
		Use:   "daemon-config --spec FILE [flags]",
		Short: "Write dockerd's settings, registry certificates and credentials",
		Long: `Check what a spec says of registries and of dockerd, and write it to where dockerd and
galley read it: daemon.json, a certs.d directory, and a file with credentials.

The spec is a JSON object with the names of the BOSH job's properties:

  registries            a list, of each registry
    address               host or host:port
    username, password    written to --auth-file
    ca_cert               PEM: what the registry's certificate is signed with
    client_cert           PEM, with client_key: what dockerd shows the registry
    insecure              true: plain HTTP, or a certificate that is not checked
  registry_mirrors      URLs that Docker Hub's images are pulled from first
  insecure_registries   hosts, host:port, or ranges of addresses; the job's insecure-registries
  daemon                any further keys of daemon.json

Every error names its property; nothing is written then. Files are replaced at once, those
that are as wanted are not touched, and the paths of those that were changed or removed are
printed: dockerd reads certificates at each pull, and registry-mirrors and
insecure-registries when it gets SIGHUP, which is why these lists stay there when they
are emptied. Certificates of registries that are no longer listed are removed, if
daemon-config wrote them. --auth-file belongs to the spec alone.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.writeDaemonConfig(&flags) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.spec, "spec", "", "the spec's `FILE`, \"-\" for standard input")
	f.StringVar(&flags.daemonJSON, "daemon-json", "", "dockerd's daemon.json, a `FILE`")
	f.StringVar(&flags.certsDir, "certs-dir", "", "dockerd's certs.d, a `DIR`ectory; it reads /etc/docker/certs.d")
	f.StringVar(&flags.authFile, "auth-file", "", "`FILE` for the credentials, as --registry-auth-file takes it")
	f.BoolVar(&flags.check, "check", false, "check the spec and write nothing; --dry-run names what would be written")
	return cmd
}

func (c *cli) writeDaemonConfig(flags *daemonConfigFlags) error {
	switch {
	case flags.spec == "":
		return &usageError{err: errors.New("--spec is missing")}
	case !flags.check && (flags.daemonJSON == "" || flags.certsDir == ""):
		return &usageError{err: errors.New("--daemon-json and --certs-dir say where to write"), hint: "--check only checks"}
	}
	spec, err := c.readDaemonSpec(flags.spec)
	if err != nil {
		return err
	}
	warnings, err := spec.Check(time.Now())
	for _, w := range warnings {
		c.ui.warn(w.Error())
		c.ui.hint(w.Hint)
	}
	if err != nil || flags.check {
		return err
	}
	files := bosh.DaemonFiles{DryRun: c.global.dryRun, DaemonJSON: c.absolute(flags.daemonJSON), CertsDir: c.absolute(flags.certsDir)}
	if flags.authFile != "" {
		files.AuthFile = c.absolute(flags.authFile)
	}
	changed, err := spec.Write(files)
	for _, path := range changed {
		fmt.Fprintln(c.out, path)
	}
	return err
}

func (c *cli) readDaemonSpec(path string) (*bosh.DaemonSpec, error) {
	if path == "-" {
		return bosh.ReadDaemonSpec(c.stdin)
	}
	file, err := os.Open(c.absolute(path))
	if err != nil {
		return nil, fmt.Errorf("reading the spec: %w", err)
	}
	defer file.Close()
	return bosh.ReadDaemonSpec(file)
}
