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

// decompress returns what r holds, in clear, once there is memory for it. close frees what the decoder holds; it is never nil.
func (s *share) decompress(r *bufio.Reader, how Compression) (clear io.Reader, close func(), err error) {
	window := windowOf(r, how)
	close, err = s.take(how, window)
	if err != nil {
		return nil, func() {}, err
	}
	switch how {
	case Gzip:
		clear, err = gzip.NewReader(r)
	case Bzip2:
		clear = bzip2.NewReader(r)
	case Xz:
		clear, err = xz.NewReader(r)
	case Zstd:
		// One goroutine, that of the caller, and buffers no larger than the window: archives are read side by side already.
		// Frames that follow the first one may ask for what most files do.
		var decoder *zstd.Decoder
		decoder, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(max(window, usualWindow))))
		if err == nil {
			give := close
			clear, close = decoder, func() { decoder.Close(); give() }
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

// usualWindow is what zstd asks for up to -19, and what its format recommends that every decoder has. Source: RFC 8878, 3.1.1.1.2.
const usualWindow = 8 << 20

// windowOf is how many bytes a decoder will remember of its output, as the file's first bytes tell, which stay in r. It is 0
// where they tell nothing: what is broken there, the decoder will say.
func windowOf(r *bufio.Reader, how Compression) int64 {
	switch how {
	case Bzip2:
		return bzip2Memory
	case Xz:
		return xzWindow(r)
	case Zstd:
		return zstdWindow(r)
	}
	return 0
}

// zstdWindow looks at the first frame that has content. Where that lies too far behind others, everything is possible.
func zstdWindow(r *bufio.Reader) int64 {
	for at := 0; ; {
		head, err := r.Peek(at + zstd.HeaderMaxSize)
		var frame zstd.Header
		switch {
		case err == bufio.ErrBufferFull:
			return maxWindow
		case at > len(head) || frame.Decode(head[at:]) != nil:
			return 0
		case frame.SingleSegment:
			return bounded(frame.FrameContentSize)
		case !frame.Skippable:
			return bounded(frame.WindowSize)
		}
		at += frame.HeaderSize + int(frame.SkippableSize)
	}
}

// bounded is a size that a header claims, which may be more than any number of bytes.
func bounded(size uint64) int64 { return int64(min(size, 1<<62)) }

// xzWindow looks at the first block: xz gives the further ones the same, and what forges them gets no more memory than the
// text it makes.
// Source: the .xz file format 1.2.1, sections 2.1.1 (stream header), 3.1 (block header) and 5.3.1 (LZMA2).
func xzWindow(r *bufio.Reader) int64 {
	const streamHeader, lzma2 = 12, 0x21
	head, _ := r.Peek(streamHeader + 1024)
	if len(head) < streamHeader+2 || head[streamHeader] == 0 {
		return 0 // truncated, or without blocks
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
		return 0 // other filters, which the decoder refuses
	}
	bits := uint64(block[2])
	if bits > 40 {
		return 0 // no size at all
	}
	return bounded((2 | bits&1) << (bits/2 + 11))
}
