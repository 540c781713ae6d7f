package imports

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/sync/errgroup"
)

// zstdOf compresses with a window of that size, of which the header tells nothing else.
func zstdOf(t testing.TB, window int, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Flush() // so that it does not know that this is all
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func xzOf(t testing.TB, dictionary int, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := xz.WriterConfig{DictCap: dictionary}.NewWriter(&out)
	if err == nil {
		_, err = w.Write(content)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWindowIsKnownFromTheFirstBytes(t *testing.T) {
	content := bytes.Repeat([]byte("text"), 1000)
	encoder, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	whole := encoder.EncodeAll(content, nil)
	skipped := []byte("\x52\x2a\x4d\x18\x03\x00\x00\x00abc")
	endless := append([]byte("\x50\x2a\x4d\x18\x00\x00\x01\x00"), make([]byte, 1<<16)...)
	for _, tt := range []struct {
		name    string
		how     Compression
		content []byte
		want    int64
	}{
		{"gzip", Gzip, packed(t, Gzip, content), 0},
		{"zstd of a stream", Zstd, zstdOf(t, 16<<20, content), 16 << 20},
		{"zstd of what was known to be small", Zstd, whole, 4000},
		{"zstd behind what is skipped", Zstd, append(skipped, whole...), 4000},
		{"zstd too far behind what is skipped", Zstd, append(endless, whole...), maxWindow},
		{"zstd cut in its header", Zstd, whole[:5], 0},
		{"zstd cut in what is skipped", Zstd, skipped[:10], 0},
		{"xz", Xz, xzOf(t, 64<<20, content), 64 << 20},
		{"xz cut in its header", Xz, xzOf(t, 64<<20, content)[:13], 0},
		{"bzip2", Bzip2, []byte("BZh9"), bzip2Memory},
	} {
		r := bufio.NewReaderSize(bytes.NewReader(tt.content), 32<<10)
		if got := windowOf(r, tt.how); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
		if rest, err := io.ReadAll(r); err != nil || !bytes.Equal(rest, tt.content) {
			t.Errorf("%s: %d bytes are left of %d, error %v", tt.name, len(rest), len(tt.content), err)
		}
	}
}

// wanting is a window that is waited for.
type wanting struct {
	give  func()
	taken bool
}

// want takes a window as soon as it can be had.
func want(t *testing.T, s *share, window int64) *wanting {
	s.ctx = t.Context()
	w := &wanting{}
	go func() {
		give, err := s.take(Zstd, window)
		if err != nil {
			t.Error(err)
			return
		}
		w.give, w.taken = give, true
	}()
	synctest.Wait()
	return w
}

func TestLargeWindowIsHeldAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(24)
		large := &share{memory: m}
		one, two := want(t, &share{memory: m}, 8), want(t, &share{memory: m}, 16)
		if !one.taken || !two.taken {
			t.Fatal("what fits together is not read together")
		}
		alone := want(t, large, 64)
		one.give()
		if synctest.Wait(); alone.taken {
			t.Error("a large window is taken beside another")
		}
		two.give()
		if synctest.Wait(); !alone.taken {
			t.Fatal("a large window can't be taken alone")
		}
		inner, three := want(t, large, 8), want(t, &share{memory: m}, 1)
		if !inner.taken {
			t.Error("the layers of what is read alone can't be read")
		}
		if three.taken {
			t.Error("another window is taken beside a large one")
		}
		inner.give()
		alone.give()
		if synctest.Wait(); !three.taken || large.held != 0 {
			t.Error("what was taken was not given back")
		}
	})
}

// TestReadingsDoNotWaitForEachOther has readings take windows while they hold some, more than there is.
func TestReadingsDoNotWaitForEachOther(t *testing.T) {
	m := newMemory(24)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var readings errgroup.Group
	for range 8 {
		readings.Go(func() error {
			for i := range 200 {
				s := &share{ctx: ctx, memory: m}
				outer, err := s.take(Xz, int64(8+i%20))
				if err != nil {
					return err
				}
				inner, err := s.take(Zstd, 20)
				if err != nil {
					return err
				}
				inner()
				outer()
			}
			return nil
		})
	}
	if err := readings.Wait(); err != nil {
		t.Fatal(err)
	}
	if !m.free.TryAcquire(24) || !m.beyond.TryAcquire(1) {
		t.Error("not all was given back")
	}
}

// TestArchivesShareLittleMemory reads many archives at once, some compressed twice.
func TestArchivesShareLittleMemory(t *testing.T) {
	dir := t.TempDir()
	var l layout
	layer := tarOf(t, part{name: "file", content: "text"})
	image := sample{tags: []string{"web:1"}, layers: []string{string(layer)}}
	config := image.configJSON()
	l.name(l.blob("application/vnd.oci.image.manifest.v1+json", asJSON(object{
		"config": l.blob("application/vnd.oci.image.config.v1+json", config),
		"layers": []object{l.blob("application/vnd.oci.image.layer.v1.tar+zstd", string(zstdOf(t, 16<<20, layer)))},
	})), "docker.io/library/web:1")
	content := tarOf(t, l.ociParts()...)
	zst, xz := zstdOf(t, 16<<20, content), xzOf(t, 1<<20, content)
	for _, name := range strings.Fields("a b c d e f") {
		write(t, dir, name+".zst", zst)
		write(t, dir, name+".xz", xz)
	}
	s := onAMD64()
	s.Verify, s.Memory = true, newMemory(20<<20)
	archives, err := s.Scan(t.Context(), dir+"/*")
	if err != nil || len(archives) != 12 {
		t.Errorf("got %d archives, error %v", len(archives), err)
	}
}

func TestWindowThatIsTooLargeIsRefused(t *testing.T) {
	content := tarOf(t, dockerParts(web())...)
	_, err := onAMD64().Scan(t.Context(), write(t, t.TempDir(), "large", zstdOf(t, 256<<20, content)))
	wantFault(t, err, Excessive, "unpacking its zstd takes 256MiB of memory, more than the 128MiB that are allowed")
}
