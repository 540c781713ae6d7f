package engine

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	archive "github.com/moby/go-archive"
)

// Copying is the copying of a file or a directory into a container or out of one, by the rules of `docker cp`: a directory
// becomes what a missing target names, and goes into a target that is there; of one that ends in "/." only the content goes.
type Copying struct {
	// Source and Target are paths, one of them in the container: there a relative one begins at "/".
	Source, Target string
	// FollowLink copies what the source points to where that is a symbolic link.
	FollowLink bool
	// Owners keeps the owners of what goes into a container; else all belongs to root.
	Owners bool
}

// CopyTo copies from this machine into a container, which need not run. content, if not nil, is a tar to be unpacked at the
// target instead of the source. Source: Engine API, PUT /containers/{id}/archive.
func (e *Engine) CopyTo(ctx context.Context, c *Container, copying Copying, content io.Reader) error {
	target := archive.CopyInfo{Path: inRoot(copying.Target)}
	switch where, stat, err := e.statInside(ctx, c, target.Path); {
	case err == nil:
		target.Path, target.Exists, target.IsDir = where, true, stat.Mode.IsDir()
	case !errdefs.IsNotFound(err):
		return e.calling(ctx, "looking at "+copying.Target+" in container "+c.Name, err)
	}
	dir := target.Path
	if content == nil {
		source, err := archive.CopyInfoSourcePath(copying.Source, copying.FollowLink)
		if err != nil {
			return fmt.Errorf("reading what is to be copied: %w", err)
		}
		tar, err := archive.TarResource(source)
		if err != nil {
			return fmt.Errorf("reading what is to be copied: %w", err)
		}
		defer tar.Close()
		where, prepared, err := archive.PrepareArchiveCopy(tar, source, target)
		if err != nil {
			return fmt.Errorf("copying %q to %q: %w", copying.Source, copying.Target, err)
		}
		defer prepared.Close()
		dir, content = where, prepared
	}
	err := e.api.CopyToContainer(ctx, c.ID, dir, content, container.CopyToContainerOptions{CopyUIDGID: copying.Owners})
	return e.calling(ctx, fmt.Sprintf("copying to %q in container %s", copying.Target, c.Name), err)
}

// CopyFrom copies from a container, which need not run, to this machine; with out as a tar into that. Source: Engine API,
// GET /containers/{id}/archive.
func (e *Engine) CopyFrom(ctx context.Context, c *Container, copying Copying, out io.Writer) error {
	source := archive.CopyInfo{Path: archive.PreserveTrailingDotOrSeparator(inRoot(copying.Source), copying.Source), Exists: true}
	if copying.FollowLink {
		if where, _, err := e.statInside(ctx, c, source.Path); err == nil {
			source.Path, source.RebaseName = archive.GetRebaseName(source.Path, where)
		}
	}
	content, stat, err := e.api.CopyFromContainer(ctx, c.ID, source.Path)
	if err != nil {
		return e.calling(ctx, fmt.Sprintf("copying %q from container %s", copying.Source, c.Name), err)
	}
	defer content.Close()
	if out != nil {
		if _, err := io.Copy(out, content); err != nil {
			return fmt.Errorf("copying %q from container %s: %w", copying.Source, c.Name, err)
		}
		return nil
	}
	source.IsDir = stat.Mode.IsDir()
	tar := io.Reader(content)
	if source.RebaseName != "" {
		_, base := archive.SplitPathDirEntry(source.Path)
		rebased := archive.RebaseArchiveEntries(content, base, source.RebaseName)
		defer rebased.Close()
		tar = rebased
	}
	if err := archive.CopyTo(tar, source, copying.Target); err != nil {
		return fmt.Errorf("writing %q: %w", copying.Target, err)
	}
	return nil
}

// statInside looks at a path in a container, and where that is a symbolic link, at what it points to.
func (e *Engine) statInside(ctx context.Context, c *Container, name string) (where string, stat container.PathStat, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	if stat, err = e.api.ContainerStatPath(ctx, c.ID, name); err == nil && stat.LinkTarget != "" {
		name = stat.LinkTarget // past all links
		stat, err = e.api.ContainerStatPath(ctx, c.ID, name)
	}
	return name, stat, err
}

// inRoot is a path in a container: a relative one begins at its root.
func inRoot(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return "/" + filepath.ToSlash(name)
}
