package imports

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"runtime"
	"slices"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"
)

// Scan tells what is in the archives that patterns name, for the machine that it runs on; see [Scanner.Scan].
func Scan(patterns ...string) ([]Archive, error) {
	return Scanner{}.Scan(context.Background(), patterns...)
}

// Scanner reads archives. Its zero value reads them for the machine that it runs on.
type Scanner struct {
	// Platform is that of the machine which is to run the images.
	Platform Platform
	// Verify reads every archive to its end and compares each layer with its digests. Without it a compressed archive is
	// read only until it is known what is in it, and a plain one by its headers: what is wrong in a layer remains unseen.
	Verify bool
	// Root is taken for "/" by absolute paths in lists; "" is the machine's own.
	Root string
	// Record, if set, saves reading archives that did not change since they were scanned.
	Record *Record
	// Memory, if set, bounds what decoders take, those of all that this scanner reads at the same time.
	Memory *Memory
}

// Scan expands patterns as the shell does, and reads what they match: lists of archives, whose names end in .lst, and
// archives. A list names paths, separated by white space; after a path may stand the checksum that its file must have, as
// "sha256:…"; a word that begins with "#" begins a comment.
//
// The archives that could be read are returned in that order, each once. The error joins an [*Error] for each of the
// others, and for each image that this machine does not run. It is the context's if that ended before.
func (s Scanner) Scan(ctx context.Context, patterns ...string) ([]Archive, error) {
	s.Platform = s.machine()
	entries := collect(s.Root, patterns)
	archives, faults := make([]*Archive, len(entries)), make([]error, len(entries))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, e := range entries {
		group.Go(func() error {
			archives[i], faults[i] = s.scanEntry(ctx, e)
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, context.Cause(ctx)
	}
	all := []Archive{}
	for _, a := range archives {
		if a != nil {
			all = append(all, *a)
		}
	}
	return all, errors.Join(faults...)
}

// machine is the platform that is scanned for.
func (s Scanner) machine() Platform {
	if s.Platform == (Platform{}) {
		return ThisMachine()
	}
	return s.Platform
}

// scanEntry reads an archive. Both results may be there: one image of several may be for other machines.
func (s Scanner) scanEntry(ctx context.Context, e *entry) (*Archive, error) {
	if e.err != nil || ctx.Err() != nil {
		return nil, e.err
	}
	first := Position{}
	a := &Archive{Path: e.path}
	for _, m := range e.mentions {
		a.Listed = append(a.Listed, m.place)
		first = a.Listed[0]
	}
	if err := s.scanFile(ctx, a, e.mentions); err != nil {
		var sum *checksumError
		if errors.As(err, &sum) {
			first = sum.place
		}
		return nil, &Error{Fault: faultOf(err), Listed: first, Path: e.path, Err: inWords(err)}
	}
	var foreign []error
	for _, image := range a.Images {
		if !image.Runs {
			err := &platformError{image: image, machine: s.Platform}
			foreign = append(foreign, &Error{Fault: WrongPlatform, Listed: first, Path: e.path, Err: err})
		}
	}
	return a, errors.Join(foreign...)
}

// scanFile reads an archive's file. A wrong checksum explains whatever else is wrong.
func (s Scanner) scanFile(ctx context.Context, a *Archive, mentions []mention) error {
	file, err := openRegular(a.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fileError(err)
	}
	a.Size, a.Modified = info.Size(), info.ModTime().UTC()
	if a.Size == 0 {
		return flawf(Empty, "the file is empty")
	}
	summed := s.Verify || slices.ContainsFunc(mentions, func(m mention) bool { return m.sum != "" })
	if known := s.Record.find(a.Path, info, s.Platform, s.Verify, summed); known != nil {
		known.Path, known.Listed = a.Path, a.Listed
		*a = *known
		return checkSum(a.Digest, mentions)
	}
	source := &source{ctx: ctx, file: file}
	var sum hash.Hash
	if summed {
		sum = sha256.New()
	}
	err = s.read(a, source, sum)
	if sum != nil && source.err == nil {
		_, reading := io.CopyBuffer(io.Discard, io.TeeReader(source, sum), make([]byte, 64<<10))
		if reading == nil {
			a.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
			if wrong := checkSum(a.Digest, mentions); wrong != nil {
				return wrong
			}
		}
	}
	if source.err != nil {
		return source.err
	}
	if err == nil {
		s.Record.keep(*a, info, s.Platform, s.Verify)
	}
	return err
}

// read finds out what is in an archive's file. sum, if any, takes in what was read of it.
func (s Scanner) read(a *Archive, source *source, sum hash.Hash) error {
	head := make([]byte, max(magicSize, strangerSize))
	n, _ := source.file.ReadAt(head, 0)
	if what := stranger(head[:n]); what != "" {
		return flawf(NotImage, "%s", what)
	}
	a.Compression = compressionOf(head[:n])
	c := newContents(s.Verify, &share{ctx: source.ctx, memory: s.Memory})
	if a.Compression == Plain && sum == nil {
		if err := c.read(tar.NewReader(source), nil); err != nil { // it seeks over layers
			return c.judge(err)
		}
	} else if err := s.decode(c, a.Compression, source, sum); err != nil {
		return err
	}
	var err error
	a.Format, a.Images, err = c.finish(s.Platform)
	return err
}

// decode reads an archive from front to back, until all is known of it.
func (s Scanner) decode(c *contents, how Compression, r io.Reader, sum hash.Hash) error {
	if sum != nil {
		r = io.TeeReader(r, sum)
	}
	clear, close, err := c.memory.decompress(bufio.NewReaderSize(r, 64<<10), how)
	defer close()
	if err != nil {
		return err
	}
	decoded := &keeper{r: clear}
	enough := c.enough(s.Platform)
	if s.Verify || how == Plain {
		enough = nil
	}
	err = c.read(tar.NewReader(decoded), enough)
	if err != nil && decoded.err == nil {
		return c.judge(err)
	}
	if err == nil && c.ended && how != Plain {
		_, err = io.Copy(io.Discard, decoded) // up to the compressed stream's own checksum
		if errors.Is(err, gzip.ErrHeader) {
			err = nil // padding behind it, which gzip ignores too
		}
	}
	return err
}

// openRegular opens a file without waiting for a writer, should it be a pipe, and refuses what is no file.
func openRegular(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fileError(err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
		err = fileError(err)
	case info.IsDir():
		err = flawf(Unreadable, "%s", directoryWords(path))
	case !info.Mode().IsRegular():
		err = flawf(Unreadable, "it is not a regular file")
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// content is what is asked of a file.
type content interface {
	io.ReadSeeker
	io.ReaderAt
}

// source is an archive's file. It ends with its context, and keeps its own errors apart from those of what decodes it.
type source struct {
	ctx  context.Context // of one scan; its reader lives no longer
	file content
	err  error
	// progress, if set, is told how much of the file was passed.
	progress func(int64)
	passed   int64
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, err
	}
	n, err := s.file.Read(p)
	if err != nil && err != io.EOF {
		s.err = fileError(err)
	}
	s.pass(s.passed + int64(n))
	return n, err
}

func (s *source) pass(to int64) {
	if s.passed = to; s.progress != nil {
		s.progress(to)
	}
}

// Seek lets a plain archive's layers be passed over.
func (s *source) Seek(offset int64, whence int) (int64, error) {
	at, err := s.file.Seek(offset, whence)
	if err == nil {
		s.pass(at)
	}
	return at, err
}
