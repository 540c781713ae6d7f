package imports

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Fault is what is wrong with a list or an archive, as a word that stays the same from release to release.
type Fault string

// The faults.
const (
	// BadList: a .lst file, or a line of it, makes no sense.
	BadList Fault = "bad-list"
	// Missing: the file is not there.
	Missing Fault = "missing"
	// Unreadable: it is there and can't be read, or is no file.
	Unreadable Fault = "unreadable"
	// Empty: it has no content, or no image.
	Empty Fault = "empty"
	// NotImage: it is something else than an exported image.
	NotImage Fault = "not-an-image"
	// Truncated: it ends before its end.
	Truncated Fault = "truncated"
	// Corrupt: its parts contradict each other, or can't be decoded.
	Corrupt Fault = "corrupt"
	// Excessive: reading it would take more memory than any image's description needs.
	Excessive Fault = "excessive"
	// WrongPlatform: an image in it is for other machines than this. The archive is among the results nevertheless.
	WrongPlatform Fault = "wrong-platform"
	// WrongChecksum: it is not the file that the list means.
	WrongChecksum Fault = "wrong-checksum"
)

// Error is a list or an archive that can't be used, and why. Unwrap gives the cause, which is an fs.ErrNotExist or
// fs.ErrPermission where the system said so.
type Error struct {
	Fault Fault
	// Listed is the line that names the archive; zero if it was given directly.
	Listed Position
	// Path is the archive's, or the list's.
	Path string
	Err  error
}

// Error returns `list:line: reading "path": what is wrong`.
func (e *Error) Error() string {
	text := fmt.Sprintf("reading %q: %v", e.Path, e.Err)
	if e.Fault == BadList && e.Listed.Line > 0 {
		text = e.Err.Error() // the place says all
	}
	if e.Listed.File != "" {
		return e.Listed.String() + ": " + text
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Position is a line of a .lst file; lines count from 1.
type Position struct {
	File string `json:"file"`
	Line int    `json:"line"`
}

// String returns "file:line".
func (p Position) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// flaw is a fault on its way to the archive's [Error].
type flaw struct {
	fault Fault
	err   error
}

func (f *flaw) Error() string { return f.err.Error() }
func (f *flaw) Unwrap() error { return f.err }

func flawf(fault Fault, format string, args ...any) error {
	return &flaw{fault, fmt.Errorf(format, args...)}
}

// faultOf ranks an error from reading an archive.
func faultOf(err error) Fault {
	var known *flaw
	switch {
	case errors.As(err, &known):
		return known.fault
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return Excessive
	case errors.Is(err, io.ErrUnexpectedEOF):
		return Truncated
	}
	return Corrupt
}

// inWords puts a decoder's error into context; a flaw says itself what it is.
func inWords(err error) error {
	var known *flaw
	if errors.As(err, &known) {
		return err
	}
	return fmt.Errorf("the archive is %s: %w", faultOf(err), err)
}

// fileError is the error of opening or reading a file, without the path, which [Error] tells.
func fileError(err error) error {
	fault := Unreadable
	if errors.Is(err, fs.ErrNotExist) {
		fault = Missing
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &flaw{fault, err}
}

// checksumError says that a file is not the one that a list means.
type checksumError struct {
	place      Position
	want, have string
}

func (e *checksumError) Error() string {
	return fmt.Sprintf("its checksum is %s, and not %s", e.have, e.want)
}

// checkSum compares a file's checksum with those that lists give.
func checkSum(have string, mentions []mention) error {
	for _, m := range mentions {
		if m.sum != "" && m.sum != have {
			return &flaw{WrongChecksum, &checksumError{m.place, m.sum, have}}
		}
	}
	return nil
}

// platformError says that an image does not run here.
type platformError struct {
	image   Image
	machine Platform
}

func (e *platformError) Error() string {
	names := make([]string, len(e.image.Platforms))
	for i, p := range e.image.Platforms {
		names[i] = p.String()
	}
	return fmt.Sprintf("image %q is for %s, and this machine is %s", e.image.Name(), strings.Join(names, ", "), e.machine)
}
