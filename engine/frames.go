package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/docker/docker/pkg/stdcopy"
)

// The head of a frame: which stream it is of, and as its last four bytes its length (Engine API, "Stream format" of attach).
const (
	frameHead   = 8
	frameLength = 4
	// longestFrame is far above what an Engine sends: a piece of a line, with its stamp.
	longestFrame = 1 << 20
)

// copyFrames takes the two streams of a log apart, a write for each frame, as [stdcopy.StdCopy] does, but with a buffer of the
// longest frame's size instead of one of 32 KiB: who follows many quiet logs would hold that for each.
func copyFrames(stdout, stderr io.Writer, from io.Reader) error {
	var buffer []byte
	head := make([]byte, frameHead)
	for {
		switch _, err := io.ReadFull(from, head); {
		case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
			return nil // what was cut off is read again by whoever goes on
		case err != nil:
			return err
		}
		size := binary.BigEndian.Uint32(head[frameLength:])
		if size > longestFrame {
			return fmt.Errorf("a frame of %d bytes: this is no log", size)
		}
		if uint32(cap(buffer)) < size {
			buffer = make([]byte, size)
		}
		switch _, err := io.ReadFull(from, buffer[:size]); {
		case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
		var err error
		switch stream := stdcopy.StdType(head[0]); stream {
		case stdcopy.Stdin, stdcopy.Stdout:
			_, err = stdout.Write(buffer[:size])
		case stdcopy.Stderr:
			_, err = stderr.Write(buffer[:size])
		case stdcopy.Systemerr:
			err = fmt.Errorf("the engine says: %s", buffer[:size])
		default:
			err = fmt.Errorf("unknown stream %d: this is no log", stream)
		}
		if err != nil {
			return err
		}
	}
}
