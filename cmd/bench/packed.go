package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// packings are programs that compress, with what they remember of their input: its reader must remember as much.
var packings = []string{"gzip -c", "zstd -q -c -19", "xz -c -6", "xz -c -9", "zstd -q -c --ultra -22", "bzip2 -c"}

// packing measures the memory that reading compressed tarballs takes, several at a time.
type packing struct {
	self, galley, dir string
}

// packedFiles is how many tarballs are read, packedBytes how long each is in clear: longer than any window.
const (
	packedFiles = 4
	packedBytes = 160 << 20
)

// run prints a table.
func (p *packing) run(ctx context.Context) error {
	clear := filepath.Join(p.dir, "clear.tar")
	if err := writeImage(clear, "galley-bench:packed", []randomLayer{{2000, packedBytes, 8 << 20}}); err != nil {
		return fmt.Errorf("writing %q: %w", clear, err)
	}
	defer os.Remove(clear) // it is none of the images to import
	fmt.Printf("\n%d tarballs of %.1f MB, read and verified at once\n\n", packedFiles, float64(packedBytes)/1e6)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "\ttime\tpeak memory")
	for _, how := range packings {
		words := strings.Fields(how)
		if _, err := exec.LookPath(words[0]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", how, err)
			continue
		}
		files, err := p.pack(ctx, clear, words)
		if err != nil {
			return err
		}
		command := append([]string{p.galley, "images", "--tarballs", "--verify"}, files...)
		s, err := measure(ctx, p.self, os.Environ(), command)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%.3f s\t%.1f MB\n", how, s.Took.Seconds(), float64(s.Peak)/1e6)
	}
	return table.Flush()
}

// pack compresses a tarball, and gives it as many names as are to be read.
func (p *packing) pack(ctx context.Context, clear string, how []string) ([]string, error) {
	in, err := os.Open(clear)
	if err != nil {
		return nil, fmt.Errorf("reading a tarball: %w", err)
	}
	defer in.Close()
	var files []string
	for i := range packedFiles {
		files = append(files, filepath.Join(p.dir, fmt.Sprintf("packed-%d", i)))
		if err := os.Remove(files[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	out, err := os.Create(files[0])
	if err != nil {
		return nil, fmt.Errorf("writing a tarball: %w", err)
	}
	cmd := exec.CommandContext(ctx, how[0], how[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, os.Stderr
	if err := errors.Join(cmd.Run(), out.Close()); err != nil {
		return nil, fmt.Errorf("running %s: %w", strings.Join(how, " "), err)
	}
	for _, file := range files[1:] {
		if err := os.Link(files[0], file); err != nil {
			return nil, fmt.Errorf("writing a tarball: %w", err)
		}
	}
	return files, nil
}
