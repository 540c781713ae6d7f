package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/docker/docker/pkg/stdcopy"
)

func TestFramesAreTakenApart(t *testing.T) {
	var log bytes.Buffer
	long := strings.Repeat("x", 40000)
	for _, text := range []string{"one", "", long, "two"} {
		fmt.Fprint(stdcopy.NewStdWriter(&log, stdcopy.Stdout), text)
		fmt.Fprint(stdcopy.NewStdWriter(&log, stdcopy.Stderr), "e"+text)
	}
	whole := log.String()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		from        io.Reader
		out, errout string
		err         string
	}{
		"whole":         {strings.NewReader(whole), "one" + long + "two", "eoneee" + long + "etwo", ""},
		"byte by byte":  {iotest.OneByteReader(strings.NewReader(whole)), "one" + long + "two", "eoneee" + long + "etwo", ""},
		"cut off":       {strings.NewReader(whole[:len(whole)-1]), "one" + long + "two", "eoneee" + long, ""},
		"cut in a head": {strings.NewReader(whole[:14]), "one", "", ""},
		"broken":        {io.MultiReader(strings.NewReader(whole[:11]), iotest.ErrReader(broken)), "one", "", "broken"},
		"said":          {strings.NewReader("\x03\x00\x00\x00\x00\x00\x00\x02no"), "", "", "the engine says: no"},
		"another type":  {strings.NewReader("\x09\x00\x00\x00\x00\x00\x00\x00"), "", "", "unknown stream 9"},
		"too long":      {strings.NewReader("\x01\x00\x00\x00\xff\x00\x00\x00"), "", "", "a frame of 4278190080 bytes"},
	} {
		var out, errout bytes.Buffer
		err := copyFrames(&out, &errout, c.from)
		if said := fmt.Sprint(err); err == nil && c.err != "" || err != nil && (c.err == "" || !strings.Contains(said, c.err)) {
			t.Errorf("%s: the error is %q, want %q", name, said, c.err)
		}
		if out.String() != c.out || errout.String() != c.errout {
			t.Errorf("%s: got %d and %d bytes, want %d and %d", name, out.Len(), errout.Len(), len(c.out), len(c.errout))
		}
	}
}
