package imports

import (
	"context"

	"github.com/docker/go-units"
	"golang.org/x/sync/semaphore"
)

// The memory that decoders take for their windows: what they remember of their output, which later text refers to. No
// decoder does with less than the window that the file was packed with; the first bytes of the file tell how large it is.
const (
	// usualMemory is for all windows together, as long as no single one is larger: three of xz -6 or zstd -19.
	usualMemory = 24 << 20
	// maxWindow bounds those of one archive, and of the layers in it. It is what `zstd --long`, `zstd --ultra -22` and twice
	// `xz -9` need; the zstd command too refuses more unless told otherwise.
	maxWindow = 128 << 20
	// bzip2Memory is what its decoder takes at most. Source: Go's compress/bzip2, four bytes for each of a block's 900 kB.
	bzip2Memory = 4 << 20
)

// Memory is what the decoders of all archives that are read side by side take together. A reading waits until there is enough
// for its window; one with a larger window than all of it is read alone.
type Memory struct {
	bytes int64
	free  *semaphore.Weighted
	// beyond is held by the one reading that takes more while it already has some: if it waited, each could wait for another.
	beyond *semaphore.Weighted
}

// NewMemory returns memory for windows of 24 MB in all.
func NewMemory() *Memory { return newMemory(usualMemory) }

func newMemory(bytes int64) *Memory {
	return &Memory{bytes: bytes, free: semaphore.NewWeighted(bytes), beyond: semaphore.NewWeighted(1)}
}

// share is what one reading of an archive takes of memory that others take of too; nil memory is boundless.
type share struct {
	ctx    context.Context // of the reading; it lives no longer
	memory *Memory
	held   int64
}

// take waits until a window can be had, and returns the function that gives it back. A window that is too large is a flaw.
func (s *share) take(how Compression, window int64) (give func(), err error) {
	if window > maxWindow-s.held {
		return nil, flawf(Excessive, "unpacking its %s takes %s of memory, more than the %s that are allowed", how,
			units.BytesSize(float64(s.held+window)), units.BytesSize(maxWindow))
	}
	back := func() {}
	if s.memory != nil && window > 0 {
		if back, err = s.memory.take(s.ctx, window, s.held > 0); err != nil {
			return nil, err
		}
	}
	s.held += window
	return func() { s.held -= window; back() }, nil
}

// take waits for bytes. Whoever has some already waits only for the one other that has taken beyond the bound.
func (m *Memory) take(ctx context.Context, bytes int64, more bool) (back func(), err error) {
	bytes = min(bytes, m.bytes)
	switch {
	case !more:
		err = m.free.Acquire(ctx, bytes)
	case !m.free.TryAcquire(bytes):
		return func() { m.beyond.Release(1) }, m.beyond.Acquire(ctx, 1)
	}
	return func() { m.free.Release(bytes) }, err
}
