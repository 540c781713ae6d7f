package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/spf13/cobra"
)

// imageReleaseFlags are the flags of bosh image-release.
type imageReleaseFlags struct {
	dir, name, compress string
}

// boshImageRelease makes a BOSH release of a recipe's images.
func (c *cli) boshImageRelease() *cobra.Command {
	var flags imageReleaseFlags
	cmd := &cobra.Command{
		Use:   "image-release [flags] [RECIPE] -o DIR",
		Short: "Make a BOSH release of a recipe's images, from an Engine that has them",
		Long: `Write a BOSH release into the new directory DIR: a package with the images of the
recipe, or of the manifest's recipe, as tarballs, and a job that lists them. On a VM
with that job beside the job docker, the images are loaded before the containers
start, and no registry is asked.

Then, in DIR: bosh create-release --force && bosh upload-release. For a final release,
move the tarballs from src to the blobstore with bosh add-blob.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, recipe []string) error {
			if flags.dir == "" {
				return &usageError{err: errors.New("image-release needs -o DIR"), hint: "`galley bosh image-release -o DIR` makes the directory"}
			}
			if len(recipe) > 0 {
				c.global.files = recipe
			}
			return c.imageRelease(cmd.Context(), &flags)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&flags.dir, "output", "o", "", "write into `DIR`")
	f.StringVar(&flags.name, "name", "", "`NAME` of release, package and job (default: DIR's)")
	f.Var(newChoice(&flags.compress, "zstd", "none", "gzip", "zstd"), "compress", "compress the tarballs: none, gzip, zstd")
	return cmd
}

// imageRelease makes the release in a draft beside dir, which is there as a whole or not at all.
func (c *cli) imageRelease(ctx context.Context, flags *imageReleaseFlags) error {
	dir := filepath.Clean(flags.dir)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(c.dir, dir)
	}
	name := either(flags.name, filepath.Base(dir))
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`).MatchString(name) {
		return &usageError{err: fmt.Errorf("%q is no name of a release", name), hint: "--name gives one: lower case letters, digits, \"-\" and \"_\""}
	}
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("making the release %q: it is there already", dir)
	}
	if c.global.dryRun {
		return c.export(ctx, &exportFlags{dir: dir, compress: flags.compress}, nil)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("making the release: %w", err)
	}
	draft, err := os.MkdirTemp(filepath.Dir(dir), "."+name+".*")
	if err != nil {
		return fmt.Errorf("making the release: %w", err)
	}
	defer os.RemoveAll(draft) // nothing is there any more after the rename
	images := filepath.Join(draft, "src", name)
	if err := os.MkdirAll(filepath.Dir(images), 0o755); err != nil {
		return fmt.Errorf("making the release: %w", err)
	}
	if err := c.export(ctx, &exportFlags{dir: images, compress: flags.compress}, nil); err != nil {
		return err
	}
	if err := writeImageRelease(draft, name); err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(draft, 0o755), os.Rename(draft, dir)); err != nil {
		return fmt.Errorf("making the release: %w", err)
	}
	c.ui.say("made the release %s in %s: bosh create-release --force --dir %s", name, dir, dir)
	return nil
}

//go:embed imagerelease.txtar
var imageReleaseFiles string

// writeImageRelease writes all of a release of that name but its images, and lists those where they will be on a VM.
func writeImageRelease(dir, name string) error {
	exported := filepath.Join(dir, "src", name, "images.lst")
	list, err := os.ReadFile(exported)
	if err != nil {
		return fmt.Errorf("reading the list of images: %w", err)
	}
	if err := os.Remove(exported); err != nil {
		return fmt.Errorf("moving the list of images: %w", err)
	}
	text := strings.NewReplacer("{{.Name}}", name, "{{.List}}", onVM(string(list), name)).Replace(imageReleaseFiles)
	for _, f := range txtar.Parse([]byte(text)).Files {
		target := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return fmt.Errorf("making the release: %w", err)
		}
		mode := os.FileMode(0o644)
		if bytes.HasPrefix(f.Data, []byte("#!")) {
			mode = 0o755
		}
		if err := os.WriteFile(target, f.Data, mode); err != nil {
			return fmt.Errorf("making the release: %w", err)
		}
	}
	return nil
}

// onVM gives a list of tarballs beside it with the paths that the package has on a VM.
func onVM(list, name string) string {
	var lines strings.Builder
	for line := range strings.Lines(list) {
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "#") {
			line = path.Join("/var/vcap/packages", name, line)
		}
		lines.WriteString(line)
	}
	return lines.String()
}
