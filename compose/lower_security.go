package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/strslice"
)

// security lowers what the container may do.
func (s *serviceLowering) security() {
	h := &s.out.Host
	h.Privileged, h.ReadonlyRootfs = s.src.Privileged, s.src.ReadOnly
	h.CapAdd = s.capabilities("cap_add", s.src.CapAdd)
	h.CapDrop = s.capabilities("cap_drop", s.src.CapDrop)
	for i, opt := range s.src.SecurityOpt {
		if opt == "systempaths=unconfined" {
			// Nil would be the Engine's default paths; empty is none.
			h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{}
			continue
		}
		lowered, err := s.securityOpt(opt)
		if err != nil {
			code := codeInvalid
			if errors.Is(err, fs.ErrNotExist) {
				code = codeMissingFile
			}
			name, _, _ := strings.Cut(strings.ReplaceAll(opt, ":", "="), "=")
			s.refuse(item("security_opt", i), code, didYouMean(name, strings.Fields(securityOptions)), "%s", err)
			continue
		}
		if strings.HasPrefix(lowered, "writable-cgroups") { // moby pull request 48828: Engine 28.0
			s.require(item("security_opt", i), "1.48")
		}
		h.SecurityOpt = append(h.SecurityOpt, lowered)
	}
	h.Runtime = s.src.Runtime
	h.Isolation = container.Isolation(s.src.Isolation)
	if !h.Isolation.IsDefault() {
		s.refuse("isolation", codeInvalid, "leave it out", "an Engine on Linux knows no isolation %q", h.Isolation)
	}
}

// securityOptions are those that the Engine knows.
const securityOptions = "apparmor label no-new-privileges seccomp writable-cgroups"

// securityOpt checks an option as the Engine does (moby daemon/daemon_unix.go, parseSecurityOpt), and reads the profile that
// a seccomp one names: the Engine takes its text, in one line, not its path.
func (s *serviceLowering) securityOpt(opt string) (string, error) {
	key, value, ok := strings.Cut(opt, "=")
	if !ok {
		key, value, ok = strings.Cut(opt, ":") // the older form, which the Engine still takes
	}
	switch _, err := strconv.ParseBool(value); {
	case opt == "no-new-privileges":
		return opt, nil
	case !ok:
		return "", fmt.Errorf("security option %q is not name=value", opt)
	case !contains(securityOptions, key):
		return "", fmt.Errorf("the Engine knows no security option %q", key)
	case contains("no-new-privileges writable-cgroups", key) && err != nil:
		return "", fmt.Errorf("security option %q is neither true nor false", key)
	case key != "seccomp" || value == "unconfined" || value == "builtin":
		return opt, nil
	}
	text, err := os.ReadFile(absolute(s.project.WorkingDir, value))
	if err != nil {
		return "", fmt.Errorf("reading seccomp profile %q: %w", value, cause(err))
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return "", fmt.Errorf("reading seccomp profile %q: it is not JSON: %w", value, err)
	}
	return "seccomp=" + compact.String(), nil
}

// capabilities checks names as the Engine does: any case, with or without CAP_.
func (s *serviceLowering) capabilities(attribute string, names []string) strslice.StrSlice {
	for i, name := range names {
		bare := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		if bare != "ALL" && !contains(linuxCapabilities, bare) {
			near := nearest(bare, "ALL "+linuxCapabilities, "see capabilities(7); ALL means every one")
			s.refuse(item(attribute, i), codeInvalid, near, "%q is no capability", name)
		}
	}
	return names
}

// linuxCapabilities are the kernel's, of capabilities(7), in one text that is searched word by word.
const linuxCapabilities = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE " +
	"NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT " +
	"SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP " +
	"MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"

// contains tells whether a text of words has a word.
func contains(words, word string) bool {
	for w := range strings.FieldsSeq(words) {
		if w == word {
			return true
		}
	}
	return false
}

// namespaces lowers what the container shares with the host or with others.
func (s *serviceLowering) namespaces() {
	h := &s.out.Host
	h.IpcMode = container.IpcMode(s.src.Ipc)
	h.PidMode = container.PidMode(s.src.Pid)
	h.UTSMode = container.UTSMode(s.src.Uts)
	h.UsernsMode = container.UsernsMode(s.src.UserNSMode)
	h.CgroupnsMode = container.CgroupnsMode(s.src.Cgroup)
	h.CgroupParent = s.src.CgroupParent
	if !isService(s.src.Ipc) && !h.IpcMode.Valid() {
		s.refuse("ipc", codeInvalid, nearest(s.src.Ipc, "none private shareable host", "use none, private, shareable, host, service:NAME or container:NAME"), "%q is no ipc mode", s.src.Ipc)
	}
	if !isService(s.src.Pid) && !h.PidMode.Valid() {
		s.refuse("pid", codeInvalid, nearest(s.src.Pid, "host", "use host, service:NAME or container:NAME"), "%q is no pid mode", s.src.Pid)
	}
	if !h.UTSMode.Valid() {
		s.refuse("uts", codeInvalid, nearest(s.src.Uts, "host", "use host, or leave it out"), "%q is no uts mode", s.src.Uts)
	}
	if !h.UsernsMode.Valid() {
		s.warn("userns_mode", codeIgnored, "use host, or leave it out", "%q is no user namespace mode of the Engine", s.src.UserNSMode)
	}
	if !h.CgroupnsMode.Valid() {
		s.refuse("cgroup", codeInvalid, "use host or private", "%q is no cgroup namespace mode", s.src.Cgroup)
	}
}

func isService(mode string) bool {
	name, ok := strings.CutPrefix(mode, ServicePrefix)
	return ok && name != ""
}
