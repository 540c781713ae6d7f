package imports

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// contents are the files of an archive, as far as they were read.
type contents struct {
	files map[string]*file
	// links are symbolic and hard ones: Docker before 25 wrote a layer once and linked to it.
	links map[string]string
	// ended says that nothing follows.
	ended bool
	// verify has every file's digest taken, not only those of documents.
	verify bool
	// pour, if set, is where files are copied to while they are read.
	pour *pour
	// memory is what its decoders take of it.
	memory *share

	entries, names, kept int
	dirs                 map[string]bool // at the top
	text                 bytes.Buffer
	buffer               *bufio.Reader
	inner                *bufio.Reader
}

// file is a regular file of an archive.
type file struct {
	size int64
	// digest is that of the content, diffID that of the content without compression; empty where it was not read.
	digest, diffID string
	// doc is set if it is JSON that says something about images.
	doc *document
	// how is its own compression, clear its size without, as far as it was decoded.
	how   Compression
	clear int64
	// err is why it could not be decoded, which matters only if something refers to it.
	err error
}

func newContents(verify bool, memory *share) *contents {
	return &contents{
		files: map[string]*file{}, links: map[string]string{}, dirs: map[string]bool{}, verify: verify, memory: memory,
		buffer: bufio.NewReaderSize(nil, 32<<10),
	}
}

// clean is a name as it would be if the archive were unpacked into an empty root: nothing leads out of it.
func clean(name string) string { return path.Clean("/" + name)[1:] }

// enough tells, after each JSON file, whether all is known that reading on could tell.
func (c *contents) enough(machine Platform) func(name string) bool {
	wanted := ""
	return func(name string) bool {
		if name != wanted && name != manifestName && name != indexName && name != layoutName {
			return false
		}
		var missing *absent
		_, _, err := c.resolve(machine)
		if errors.As(err, &missing) {
			wanted = missing.name
		}
		return err == nil
	}
}

// judge tells what is no tar at all from one that is broken.
func (c *contents) judge(err error) error {
	if c.entries == 0 && (errors.Is(err, tar.ErrHeader) || err == io.ErrUnexpectedEOF) {
		return flawf(NotImage, "not a tar archive")
	}
	return err
}

// read takes in entries until the archive ends or enough, if any, called with the name of each JSON file, says so.
func (c *contents) read(r *tar.Reader, enough func(name string) bool) error {
	for {
		header, err := r.Next()
		if err == io.EOF {
			c.ended = true
			return nil
		}
		if err != nil {
			return err
		}
		name := clean(header.Name)
		if err := c.count(name, header.Linkname); err != nil {
			return err
		}
		switch header.Typeflag {
		case tar.TypeSymlink:
			if target := header.Linkname; path.IsAbs(target) {
				c.links[name] = clean(target)
			} else {
				c.links[name] = clean(path.Join(path.Dir(name), target))
			}
		case tar.TypeLink:
			c.links[name] = clean(header.Linkname)
		case tar.TypeReg:
			f, err := c.readFile(name, r, header.Size)
			if err != nil {
				return fmt.Errorf("in %q: %w", name, err)
			}
			if err := c.keep(name, f); err != nil {
				return err
			}
			if enough != nil && f.digest != "" && enough(name) {
				return nil
			}
		}
	}
}

func (c *contents) count(name, link string) error {
	c.entries++
	c.names += len(name) + len(link)
	switch {
	case len(name) > maxPath || len(link) > maxPath:
		return flawf(Excessive, "a name in it is longer than %d bytes", maxPath)
	case c.entries > maxEntries || c.names > maxNames:
		return flawf(Excessive, "more entries than any image archive has: stopped after %d", c.entries)
	}
	if top, _, _ := strings.Cut(name, "/"); len(c.dirs) < 100 {
		c.dirs[top] = true
	}
	return nil
}

// readFile reads a file as far as needed: documents wholly, others only to verify or to copy them.
func (c *contents) readFile(name string, r io.Reader, size int64) (*file, error) {
	if size > maxFile {
		return nil, flawf(Excessive, "it is said to have %d bytes", size)
	}
	f := &file{size: size}
	c.buffer.Reset(r)
	head, err := c.buffer.Peek(int(min(size, 64)))
	if err != nil {
		return nil, readError(err)
	}
	f.how = compressionOf(head)
	first := bytes.TrimLeft(head, " \t\r\n")
	isJSON := len(first) > 0 && (first[0] == '{' || first[0] == '[')
	wanted := c.pour.wants(name)
	switch {
	case isJSON && size <= maxDocument && !wanted:
		err = c.readDocument(f)
	case isJSON && !wanted:
		f.err = flawf(Excessive, "longer than %d bytes", maxDocument)
		fallthrough
	default:
		if wanted {
			err = c.pour.layer(name, f, func(raw, clear io.Writer) error { return c.digest(f, raw, clear) })
		} else if c.verify && c.pour == nil {
			err = c.digest(f, io.Discard, io.Discard)
		}
	}
	return f, readError(err)
}

// readError says of a file that ends before its size that it is truncated.
func readError(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *contents) readDocument(f *file) error {
	c.text.Reset()
	if _, err := c.text.ReadFrom(c.buffer); err != nil {
		return err
	}
	sum := sha256.Sum256(c.text.Bytes())
	f.digest = "sha256:" + hex.EncodeToString(sum[:])
	f.diffID = f.digest
	f.doc, f.err = parse(c.text.Bytes())
	return c.pour.document(f, c.text.Bytes())
}

// digest takes the digests of a file, in one pass for both. What is read goes to raw, what that is in clear to clear.
func (c *contents) digest(f *file, raw, clear io.Writer) error {
	sum := sha256.New()
	if f.how == Plain {
		n, err := io.Copy(io.MultiWriter(sum, raw, clear), c.buffer)
		if err != nil {
			return err
		}
		f.digest, f.clear = "sha256:"+hex.EncodeToString(sum.Sum(nil)), n
		f.diffID = f.digest
		return nil
	}
	source := &keeper{r: io.TeeReader(c.buffer, io.MultiWriter(sum, raw))}
	if c.inner == nil {
		c.inner = bufio.NewReaderSize(nil, 32<<10)
	}
	c.inner.Reset(source)
	decoded, close, err := c.memory.decompress(c.inner, f.how)
	defer close()
	diff := sha256.New()
	if err == nil {
		f.clear, err = io.Copy(io.MultiWriter(diff, clear), decoded)
	}
	if source.err != nil {
		return source.err // the archive can't be read; what the decoder makes of that is nothing new
	}
	if err == nil {
		f.diffID = "sha256:" + hex.EncodeToString(diff.Sum(nil))
	} else {
		f.err = flawf(faultOf(err), "%w", err)
	}
	if _, err := io.Copy(io.Discard, source); err != nil {
		return err
	}
	f.digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return nil
}

// keeper keeps the error, other than the end, that reading gave, so that it can be told from a decoder's own.
type keeper struct {
	r   io.Reader
	err error
}

func (k *keeper) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	if err != nil && err != io.EOF {
		k.err = err
	}
	return n, err
}

// keep remembers a file. A second one of the same name must be the same: which of two counts depends on who reads.
func (c *contents) keep(name string, f *file) error {
	if old := c.files[name]; old != nil && (old.size != f.size || old.digest != f.digest) {
		return flawf(Corrupt, "two different files are named %q", name)
	}
	c.files[name] = f
	if f.doc != nil {
		if c.kept += f.doc.weight(); c.kept > maxKept {
			return flawf(Excessive, "more manifests and configurations than any archive needs")
		}
	}
	return nil
}

// lookup finds a file by the name that a document gives, through links.
func (c *contents) lookup(name string) *file { return c.files[c.locate(name)] }

// locate is the file's own name behind the one that a document gives.
func (c *contents) locate(name string) string {
	name = clean(name)
	for hops := 0; hops < 10 && c.files[name] == nil; hops++ {
		target, ok := c.links[name]
		if !ok {
			break
		}
		name = target
	}
	return name
}

// absent says that a document is not in the archive, or not yet.
type absent struct {
	name string
}

func (a *absent) Error() string { return fmt.Sprintf("%q is not in the archive", a.name) }

// document finds a document by its name.
func (c *contents) document(name string) (*file, error) {
	f := c.lookup(name)
	switch {
	case f == nil:
		return nil, &absent{clean(name)}
	case f.err != nil:
		return nil, fmt.Errorf("in %q: %w", clean(name), f.err)
	case f.doc == nil:
		return nil, flawf(Corrupt, "%q is not the description of an image that it should be", clean(name))
	}
	return f, nil
}

// blob finds what a descriptor points to in an OCI layout, which must be what the digest says.
func (c *contents) blob(d descriptor) (*file, error) {
	name, err := blobName(d.Digest)
	if err != nil {
		return nil, err
	}
	f, err := c.document(name)
	if err != nil {
		return nil, err
	}
	return f, f.is(name, d.Digest, d.Size)
}

// is compares a file with what refers to it. size 0 is unknown, and so are digests other than SHA-256's.
func (f *file) is(name, digest string, size int64) error {
	switch {
	case size != 0 && size != f.size:
		return flawf(Corrupt, "%q has %d bytes, not the %d that it should", name, f.size, size)
	case f.digest != "" && isDigest(digest) && f.digest != digest:
		return flawf(Corrupt, "%q does not have the digest that it is named by", name)
	}
	return nil
}

// blobName is where an OCI layout keeps a blob. Source: OCI image-spec, image-layout.
func blobName(digest string) (string, error) {
	algorithm, digits, ok := strings.Cut(digest, ":")
	if _, err := hex.DecodeString(digits); !ok || err != nil || digits == "" || len(digest) > 256 || strings.ContainsAny(algorithm, "/.") {
		return "", flawf(Corrupt, "%.300q is no digest", digest)
	}
	return "blobs/" + algorithm + "/" + digits, nil
}
