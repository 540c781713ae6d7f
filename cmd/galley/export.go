package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"galley/compose"
	"galley/engine"
	"galley/imports"
)

// exportFlags are the flags of export.
type exportFlags struct {
	dir, compress string
	force         bool
}

// exportCommand writes the recipe's images as tarballs.
func (c *cli) exportCommand() *cobra.Command {
	var flags exportFlags
	cmd := &cobra.Command{
		Use:   "export [flags] -o DIR [SERVICE...]",
		Short: "Write the recipe's images as tarballs that import loads elsewhere",
		Long: `Write the images of the recipe, or of the services named and what they need, from an
Engine that has them into a new directory: tarballs with their tags, and images.lst,
which lists them with their checksums. "galley import DIR/images.lst" loads them on a
machine without a registry, and so does "docker load" each of them.

What a lock or the recipe names by a registry's digest, NAME@sha256:…, gets the tag
NAME:sha256-…, since tarballs bring no digest: where the registry can't be asked, up,
plan and check take that tag for the digest.

No layer is written twice: images that share layers are in one tarball. The same
images always give the same bytes. DIR is there when all of it is, or not at all;
--force replaces one that was exported before.`,
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			if flags.dir == "" {
				return &usageError{err: errors.New("export needs -o DIR"), hint: "the directory must not be there yet"}
			}
			c.named = services
			return c.export(cmd.Context(), &flags, services)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&flags.dir, "output", "o", "", "write into `DIR`")
	f.Var(newChoice(&flags.compress, "none", "none", "gzip", "zstd"), "compress", "compress the tarballs: none, gzip, zstd")
	f.BoolVar(&flags.force, "force", false, "replace DIR, if it holds nothing but an export")
	return cmd
}

func (c *cli) export(ctx context.Context, flags *exportFlags, services []string) error {
	project, err := c.load(ctx)
	if err != nil {
		return err
	}
	refs, err := imagesOf(project, services)
	if err != nil {
		return err
	}
	e, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	saved, err := c.exportImages(ctx, e, refs, flags)
	if err != nil || c.global.dryRun {
		return err
	}
	size, images := int64(0), 0
	for _, s := range saved {
		size += s.Size
		images += len(s.Tags)
	}
	c.ui.say("export: %s in %s, %s", plural(images, "image"), plural(len(saved), "tarball"), byteSize(size))
	return nil
}

// imagesOf are the references of the images of services and of what those need; no services are all.
func imagesOf(project *compose.Project, services []string) ([]string, error) {
	refs := map[string]bool{}
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		s := project.Service(name)
		if s == nil {
			return noSuchService(name)
		}
		if seen[name] {
			return nil
		}
		seen[name] = true
		for _, ref := range s.Images() {
			refs[ref] = true
		}
		for _, need := range s.Needs {
			if project.Service(need.Service) == nil {
				continue // switched off by a profile
			}
			if err := visit(need.Service); err != nil {
				return err
			}
		}
		return nil
	}
	if len(services) == 0 {
		for _, s := range project.Services {
			services = append(services, s.Name)
		}
	}
	for _, name := range services {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	var all []string
	for ref := range refs {
		all = append(all, ref)
	}
	slices.Sort(all)
	return all, nil
}

// listName is the list of an export's tarballs, in its directory.
const listName = "images.lst"

// exportImages writes images into a directory, whole or not at all.
func (c *cli) exportImages(ctx context.Context, e *engine.Engine, refs []string, flags *exportFlags) ([]engine.Saved, error) {
	dir := filepath.Clean(flags.dir)
	replaces, err := replaceable(dir, flags.force)
	if err != nil {
		return nil, err
	}
	compression := imports.Compression(flags.compress)
	if c.global.dryRun {
		plan, err := e.PlanSave(ctx, refs, engine.SaveOptions{Dir: dir, Compression: compression})
		if err != nil {
			return nil, err
		}
		return nil, c.printPlan(plan, "text")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("exporting images: %w", err)
	}
	draft, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return nil, fmt.Errorf("exporting images: %w", err)
	}
	defer os.RemoveAll(draft)
	plan, err := e.PlanSave(ctx, refs, engine.SaveOptions{Dir: draft, Compression: compression})
	if err != nil {
		return nil, err
	}
	show := c.follow(ctx, e, "export", len(plan.Steps))
	err = e.Apply(ctx, plan)
	show.close()
	if err != nil {
		return nil, err
	}
	saved := plan.Saved()
	if err := os.WriteFile(filepath.Join(draft, listName), listOf(saved), 0o644); err != nil {
		return nil, fmt.Errorf("exporting images: %w", err)
	}
	if err := os.Chmod(draft, 0o755); err != nil {
		return nil, fmt.Errorf("exporting images: %w", err)
	}
	if err := putInPlace(draft, dir, replaces); err != nil {
		return nil, fmt.Errorf("exporting images into %q: %w", dir, err)
	}
	return saved, nil
}

// replaceable tells whether there is a directory to be replaced. What holds anything but an export is not touched.
func replaceable(dir string, force bool) (bool, error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("exporting images: %w", err)
	case len(entries) == 0:
		return true, nil
	case !force:
		return false, &usageError{err: fmt.Errorf("%q is there already", dir), hint: "--force replaces an earlier export"}
	}
	for _, entry := range entries {
		if name := entry.Name(); name != listName && !strings.Contains(name, ".tar") || entry.IsDir() {
			return false, &usageError{err: fmt.Errorf("%q holds %q, which is no part of an export", dir, name), hint: "name another directory"}
		}
	}
	return true, nil
}

// putInPlace gives a directory its name; one that has the name changes places with it in the same moment.
func putInPlace(draft, dir string, replaces bool) error {
	if !replaces {
		return os.Rename(draft, dir)
	}
	err := unix.Renameat2(unix.AT_FDCWD, draft, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system that can't
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		return os.Rename(draft, dir)
	}
	return err
}

// listOf is the list of an export: each tarball with its checksum, and what is in it.
func listOf(saved []engine.Saved) []byte {
	var b strings.Builder
	for _, s := range saved {
		fmt.Fprintf(&b, "# %s\n%s %s\n", strings.Join(s.Tags, " "), s.File, s.Digest)
	}
	return []byte(b.String())
}
