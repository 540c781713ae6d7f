package imports

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Compression is how a file is compressed, as its first bytes tell; names don't count.
type Compression string

// The compressions.
const (
	Plain Compression = "none"
	Gzip  Compression = "gzip"
	Bzip2 Compression = "bzip2"
	Xz    Compression = "xz"
	Zstd  Compression = "zstd"
)

// maxWindow bounds what a decoder remembers of its output. It is what `zstd --long` and `xz -9e` with a doubled dictionary
// need; the zstd command too refuses more unless told otherwise. Only a file that asks for it takes that much.
const maxWindow = 128 << 20

// magicSize is how many bytes tell the compression.
const magicSize = 6

// compressionOf tells the compression by a file's first bytes.
func compressionOf(head []byte) Compression {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return Gzip
	case bytes.HasPrefix(head, []byte("BZh")):
		return Bzip2
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return Xz
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return Zstd // a skippable frame, as pzstd and the seekable format write them
	}
	return Plain
}

// decompress returns what r holds, in clear. close frees what the decoder holds; it is never nil.
func decompress(r *bufio.Reader, how Compression) (clear io.Reader, close func(), err error) {
	close = func() {}
	switch how {
	case Gzip:
		clear, err = gzip.NewReader(r)
	case Bzip2:
		clear = bzip2.NewReader(r)
	case Xz:
		if err := checkXz(r); err != nil {
			return nil, close, err
		}
		clear, err = xz.NewReader(r)
	case Zstd:
		// One goroutine, that of the caller, and buffers no larger than the window: archives are read side by side already.
		var decoder *zstd.Decoder
		decoder, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err == nil {
			clear, close = decoder, decoder.Close
		}
	default:
		clear = r
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // within a header
	}
	if err != nil {
		return nil, close, fmt.Errorf("decompressing %s: %w", how, err)
	}
	return clear, close, nil
}

// checkXz refuses a dictionary that is too large before the decoder allocates it. It looks at the first block: xz gives the
// further ones the same, and what forges them gets no more memory than the text it makes.
// Source: the .xz file format 1.2.1, sections 2.1.1 (stream header), 3.1 (block header) and 5.3.1 (LZMA2).
func checkXz(r *bufio.Reader) error {
	const streamHeader, lzma2 = 12, 0x21
	head, _ := r.Peek(streamHeader + 1024)
	if len(head) < streamHeader+2 || head[streamHeader] == 0 {
		return nil // truncated, or without blocks: the decoder tells
	}
	block := head[streamHeader:]
	block = block[:min(len(block), (int(block[0])+1)*4)]
	flags, block := block[1], block[2:]
	skipped := int(flags&0x40>>6 + flags&0x80>>7) // the compressed and the uncompressed size
	for i := 0; i < skipped; i++ {
		_, n := binary.Uvarint(block)
		block = block[max(n, 0):]
	}
	if len(block) < 3 || block[0] != lzma2 || block[1] != 1 {
		return nil // other filters, which the decoder refuses
	}
	bits := uint64(block[2])
	if size := (2 | bits&1) << (bits/2 + 11); bits > 40 || size > maxWindow {
		return flawf(Excessive, "decompressing xz takes more memory than %d bytes", maxWindow)
	}
	return nil
}
