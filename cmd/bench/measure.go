package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// sample is what one process took.
type sample struct {
	Took time.Duration
	Peak int64 // resident set, bytes
}

// measure runs a command in a process started by a small one: Linux counts what the process that starts another has in
// memory as the other's peak, see exec_mmap in the kernel's fs/exec.c, and the bench itself has much.
func measure(ctx context.Context, self string, env, command []string) (sample, error) {
	cmd := exec.CommandContext(ctx, self, append([]string{"measure"}, command...)...)
	cmd.Env = env
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("running %s: %w: %s", strings.Join(command, " "), err, complaints.Bytes())
	}
	var s sample
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		return sample{}, fmt.Errorf("measuring %s: %w", strings.Join(command, " "), err)
	}
	return s, nil
}

// measureHere runs the command and prints a sample; what the command says becomes part of the error.
func measureHere(command []string) error {
	cmd := exec.Command(command[0], command[1:]...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, said.Bytes())
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return fmt.Errorf("this system does not tell what a process used")
	}
	return json.NewEncoder(os.Stdout).Encode(sample{Took: time.Since(begun), Peak: usage.Maxrss * 1024})
}
