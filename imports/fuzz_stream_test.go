package imports

import (
	"bufio"
	"bytes"
	stdgzip "compress/gzip"
	"encoding/base64"
	"io"
	"strings"
	"testing"
)

// fuzzed is how much of a stream in clear is read; fuzzWindow how large its window may be, so that many fit a minute.
const (
	fuzzed     = 1 << 20
	fuzzWindow = 8 << 20
)

// FuzzDecompress feeds bytes to the decoders. Whatever they are, there is no panic, no window beyond the bound, and a fault
// for what can't be decoded; what gzip makes of them is what the standard library makes, which minds more what follows.
func FuzzDecompress(f *testing.F) {
	content := bytes.Repeat([]byte("a layer, or not"), 300)
	whole, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(bzipped, "\n", ""))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte("\x52\x2a\x4d\x18\x03\x00\x00\x00abc"))
	f.Add(append(packed(f, Gzip, content), 0, 0, 0))
	for _, how := range []Compression{Gzip, Zstd, Xz} {
		whole := packed(f, how, content)
		f.Add(whole)
		f.Add(whole[:len(whole)/2])
		f.Add(append(whole, whole...))
	}
	f.Add(xzOf(f, 1<<16, nil))
	f.Add(zstdOf(f, 64<<20, content))
	f.Fuzz(func(t *testing.T, data []byte) {
		how := compressionOf(data)
		s := &share{ctx: t.Context(), held: maxWindow - fuzzWindow}
		source := bufio.NewReaderSize(bytes.NewReader(data), 32<<10)
		clear, close, err := s.decompress(source, how)
		var text []byte
		if err == nil {
			text, err = io.ReadAll(io.LimitReader(clear, fuzzed))
		}
		close()
		if err != nil && (faultOf(err) == "" || err.Error() == "") {
			t.Errorf("error %#v", err)
		}
		if s.held != maxWindow-fuzzWindow {
			t.Errorf("%d bytes of windows were not given back", s.held-maxWindow+fuzzWindow)
		}
		if how == Plain && (err != nil || !bytes.Equal(text, data[:min(len(data), fuzzed)])) {
			t.Errorf("what is not compressed came out as %d bytes of %d, error %v", len(text), len(data), err)
		}
		if how == Gzip {
			expectSameGzip(t, data, text, err)
		}
	})
}

func expectSameGzip(t *testing.T, data, text []byte, failed error) {
	t.Helper()
	var want []byte
	r, err := stdgzip.NewReader(bytes.NewReader(data))
	if err == nil {
		want, err = io.ReadAll(io.LimitReader(r, fuzzed))
	}
	if err == nil && failed != nil || failed == nil && !bytes.Equal(text, want) {
		t.Errorf("got %d bytes and %v, the standard library gives %d and %v", len(text), failed, len(want), err)
	}
}
