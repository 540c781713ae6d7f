package enginetest

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
)

// putArchive answers PUT /containers/*/archive: the body's tar is unpacked at a directory of the container.
func (e *Engine) putArchive(r *request) error {
	dir := r.query.Get("path")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return gone(err)
	}
	if err := e.with(r, func(c *ctr) error {
		found := c.files.get(dir)
		switch {
		case found == nil:
			return fail(http.StatusNotFound, "Could not find the file %s in container %s", dir, r.name)
		case !found.mode.IsDir():
			return fail(http.StatusBadRequest, "extraction point is not a directory")
		}
		return unpack(c.files, dir, body)
	}); err != nil {
		return err
	}
	return r.done(http.StatusOK)
}

func unpack(to *files, dir string, body []byte) error {
	archive := tar.NewReader(bytes.NewReader(body))
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fail(http.StatusInternalServerError, "%s", err)
		}
		f := &file{mode: head.FileInfo().Mode(), uid: head.Uid, gid: head.Gid}
		if head.Typeflag != tar.TypeReg && head.Typeflag != tar.TypeDir {
			continue
		}
		if f.data, err = io.ReadAll(archive); err != nil {
			return fail(http.StatusInternalServerError, "%s", err)
		}
		name := path.Join(dir, head.Name)
		if f.mode.IsDir() && to.isDir(name) {
			continue
		}
		if parent := path.Dir(name); !to.isDir(parent) {
			_ = to.put(parent, &file{mode: fs.ModeDir | 0o755}) // what stands in the way shows next
		}
		if problem := to.put(name, f); problem != "" {
			return fail(http.StatusForbidden, "%s", "container rootfs is marked read-only")
		}
	}
}

// getArchive answers GET and HEAD /containers/*/archive: a file or a directory as a tar.
func (e *Engine) getArchive(r *request) error {
	name := path.Clean("/" + r.query.Get("path"))
	var body bytes.Buffer
	var stat container.PathStat
	if err := e.with(r, func(c *ctr) error {
		found := c.files.get(name)
		if found == nil {
			return fail(http.StatusNotFound, "Could not find the file %s in container %s", name, r.name)
		}
		stat = container.PathStat{Name: path.Base(name), Size: int64(len(found.data)), Mode: found.mode, Mtime: found.changed}
		base := path.Base(name)
		if strings.HasSuffix(r.query.Get("path"), "/.") {
			base = "." // the content alone is wanted
		}
		return pack(&body, c.files, name, base)
	}); err != nil {
		return err
	}
	raw, err := json.Marshal(stat)
	if err != nil {
		return err
	}
	r.w.Header().Set("X-Docker-Container-Path-Stat", base64.StdEncoding.EncodeToString(raw))
	r.w.Header().Set("Content-Type", "application/x-tar")
	r.w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err = r.w.Write(body.Bytes())
	return gone(err)
}

// pack writes what has that name, under another.
func pack(w io.Writer, from *files, name, base string) error {
	archive := tar.NewWriter(w)
	for _, full := range slices.Concat([]string{name}, from.below(name)) {
		f := from.get(full)
		if f == nil {
			continue
		}
		head := &tar.Header{
			Name: base + strings.TrimPrefix(full, name), Mode: int64(f.mode.Perm()), Uid: f.uid, Gid: f.gid,
			ModTime: f.changed, Typeflag: tar.TypeReg, Size: int64(len(f.data)),
		}
		if f.mode.IsDir() {
			head.Typeflag, head.Size, head.Name = tar.TypeDir, 0, head.Name+"/"
		}
		if err := archive.WriteHeader(head); err != nil {
			return err
		}
		if head.Size == 0 {
			continue
		}
		if _, err := archive.Write(f.data); err != nil {
			return err
		}
	}
	return archive.Close()
}
