package bosh

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// PIDFile tells others, monit above all, which process it is.
type PIDFile struct {
	path string
}

// RunningError says that a pidfile names another process of this program that is alive.
type RunningError struct {
	Path string
	PID  int
}

func (e *RunningError) Error() string {
	return fmt.Sprintf("the pidfile %q is that of another galley, which runs as process %d", e.Path, e.PID)
}

// WritePIDFile writes this process's id to path. What a process left there that is gone, or is another program by now, is
// replaced; one of this program that is alive is a *RunningError.
func WritePIDFile(path string) (*PIDFile, error) {
	if pid := readPID(path); pid != 0 && pid != os.Getpid() && sameProgram(pid) {
		return nil, &RunningError{path, pid}
	}
	if err := writeFile(path, fmt.Appendln(nil, os.Getpid()), 0o644); err != nil {
		return nil, err
	}
	return &PIDFile{path}, nil
}

// Remove removes the file, if it is still this process's.
func (p *PIDFile) Remove() error {
	if readPID(p.path) != os.Getpid() {
		return nil
	}
	return os.Remove(p.path)
}

// readPID is the id in a pidfile; 0 where there is none.
func readPID(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 {
		return 0
	}
	return pid
}

// sameProgram tells whether a process is alive and runs this program: ids are given out again.
func sameProgram(pid int) bool {
	own, err := os.Executable()
	if err != nil {
		return false
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	exe, err := os.Readlink(filepath.Join(proc, "exe"))
	if err != nil {
		return false
	}
	if exe = strings.TrimSuffix(exe, " (deleted)"); exe == own { // the program was exchanged meanwhile
		return true
	}
	line, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
	name, _, _ := bytes.Cut(line, []byte{0})
	return filepath.Base(string(name)) == filepath.Base(own)
}

// startOf reads the start out of /proc/PID/stat: field 22, counted behind the program's name, which may hold anything.
// Source: proc_pid_stat(5).
func startOf(stat string) (string, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return "", fmt.Errorf("%q has no start", stat)
	}
	return fields[19], nil
}
