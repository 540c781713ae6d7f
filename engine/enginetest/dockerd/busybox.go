package dockerd

import (
	"context"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Busybox returns an image of Debian's busybox-static: a shell and some two hundred small programs, such as sleep, nc,
// wget and httpd, in two megabytes. Its names are busybox:latest and galley-test/busybox:1; its command is sh.
func Busybox(ctx context.Context, log io.Writer) (Image, error) {
	image := Image{Names: []string{"busybox:latest", "galley-test/busybox:1"}}
	image.Config.Cmd = []string{"sh"}
	image.Config.Env = []string{"PATH=" + searchPath}
	program, err := busyboxProgram(ctx, log)
	if err != nil {
		return image, err
	}
	return image, addBusybox(ctx, &image.Root, program)
}

const (
	searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

	passwd = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\n" +
		"nobody:x:65534:65534:nobody:/:/bin/false\n"
	group = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n"
)

// addBusybox adds busybox under all its names, and what any root file system has.
func addBusybox(ctx context.Context, root *Rootfs, program string) error {
	if err := root.Copy("/bin/busybox", program); err != nil {
		return err
	}
	applets, err := output(ctx, nil, program, "--list")
	if err != nil {
		return err
	}
	for _, applet := range strings.Fields(applets) {
		if applet != "busybox" {
			root.Link("/bin/"+applet, "busybox")
		}
	}
	root.Dir("/tmp", 0o777|os.ModeSticky, 0)
	root.Dir("/var/tmp", 0o777|os.ModeSticky, 0)
	root.Dir("/root", 0o700, 0)
	root.Dir("/run", 0o755, 0)
	root.File("/etc/passwd", passwd)
	root.File("/etc/group", group)
	root.File("/etc/nsswitch.conf", "hosts: files dns\n")
	return nil
}

// busyboxProgram finds a static busybox on the machine, or fetches it.
func busyboxProgram(ctx context.Context, log io.Writer) (string, error) {
	if program, err := exec.LookPath("busybox"); err == nil && isStatic(program) {
		return program, nil
	}
	root, err := cached("busybox", func(root string) error {
		debian, err := openSuite(ctx, "bookworm", log)
		if err != nil {
			return err
		}
		return debian.unpack(ctx, root, "busybox-static")
	})
	if err != nil {
		return "", err
	}
	for _, place := range []string{"bin/busybox", "usr/bin/busybox"} {
		if program := filepath.Join(root, place); isStatic(program) {
			return program, nil
		}
	}
	return "", fmt.Errorf("finding busybox: the package busybox-static has no static program")
}

func isStatic(program string) bool {
	file, err := elf.Open(program)
	if err != nil {
		return false
	}
	defer file.Close()
	return !slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}
