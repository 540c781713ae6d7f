package engine

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/DeRuina/timberjack"
)

// logFile is one file of logs, which the containers that take each other's place write one after the other.
type logFile struct {
	path string
	LogFiles

	mu   sync.Mutex
	file *os.File
	// size is what the file has, as far as is known; looked is when it was last looked at.
	size   int64
	looked time.Time
	// born is the stamp of the first line.
	born time.Time
	line []byte
	// seen are the last lines that the file had when it was opened, as often as they stood there; since is the time from which
	// on they are complete, last that of the latest.
	seed        maphash.Seed
	seen        map[uint64]int
	since, last time.Time
}

func newLogFile(path string, files LogFiles) *logFile {
	return &logFile{path: path, LogFiles: files, seed: maphash.MakeSeed()}
}

// stampFormat is RFC 3339 with nine digits always, so that lines can be sorted as text.
const stampFormat = "2006-01-02T15:04:05.000000000Z07:00"

// tailBytes is how much of a file's end is compared with what the Engine gives again.
const tailBytes = 256 << 10

// open opens the file, unless it is open, and returns the time from which on the log must be read; zero: from its beginning.
// A file that can't be opened is tried again until ctx ends.
func (f *logFile) open(ctx context.Context) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil && f.insist(ctx, f.reopen) {
		f.remember()
	}
	return f.since
}

// insist does something until it succeeds or ctx ends, and tells once of what hinders it.
func (f *logFile) insist(ctx context.Context, do func() error) bool {
	for pause := minPause; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		err := do()
		if err == nil {
			return true
		}
		if pause == minPause {
			f.Trouble(fmt.Errorf("keeping a log: %w", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return false
}

// reopen opens the file for appending, whatever else it may be open for: whoever cuts it off at its beginning does no harm. A
// line that an interruption left without its end is taken away; it comes again.
func (f *logFile) reopen() error {
	if f.file != nil {
		_ = f.file.Close() // what was written was written
		f.file = nil
	}
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o640)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil {
		f.size, err = trimmed(file, info.Size())
	}
	if err != nil {
		_ = file.Close()
		return err
	}
	f.file, f.looked, f.born = file, time.Now(), time.Time{}
	return nil
}

// trimmed cuts off what stands behind the last line's end, and returns the size then.
func trimmed(file *os.File, size int64) (int64, error) {
	for at := size; at > 0; {
		from := max(0, at-tailBytes)
		part := make([]byte, at-from)
		if _, err := file.ReadAt(part, from); err != nil {
			return 0, err
		}
		if end := bytes.LastIndexByte(part, '\n'); end >= 0 {
			at = from + int64(end) + 1
			if at == size {
				return size, nil
			}
			return at, file.Truncate(at)
		}
		at = from
	}
	if size == 0 {
		return 0, nil
	}
	return 0, file.Truncate(0)
}

// remember reads the last lines of the file, and, where it is short, those of the one that was put aside before.
func (f *logFile) remember() {
	lines, complete := lastOf(f.file), f.size <= tailBytes
	if before := f.putAside(); complete && before != "" {
		lines, complete = append(lastOfPath(before), lines...), false
	}
	f.seen = map[uint64]int{}
	var first time.Time
	for _, line := range lines {
		at, ok := stampOf(line)
		if !ok {
			continue
		}
		if first.IsZero() {
			first = at
		}
		if at.After(f.last) {
			f.last = at
		}
		f.seen[maphash.Bytes(f.seed, line)]++
	}
	f.since = first
	if !complete && !first.IsZero() {
		f.since = first.Add(time.Nanosecond) // of the first stamp, a line may stand before those that were read
	}
	if recent := f.last.Add(-disorder); recent.After(f.since) {
		f.since = recent
	}
}

// putAside finds the newest of the files that the log was put aside to: by this program, or by logrotate.
func (f *logFile) putAside() string {
	base := strings.TrimSuffix(f.path, ".log")
	own := regexp.MustCompile(`^` + regexp.QuoteMeta(base) + `(-\d{4}-\d\d-\d\dT[^/]*\.log|\.log[-.]\d[^/]*)(\.gz)?$`)
	paths, _ := filepath.Glob(escapeGlob(base) + "*") // the pattern is well-formed
	newest, at := "", time.Time{}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err == nil && own.MatchString(path) && info.Size() > 0 && info.ModTime().After(at) {
			newest, at = path, info.ModTime()
		}
	}
	return newest
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// lastOfPath is lastOf for a file by its name, which may be compressed. What can't be read has no lines: at worst some are
// written twice.
func lastOfPath(path string) [][]byte {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	if !strings.HasSuffix(path, ".gz") {
		return lastOf(file)
	}
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return nil
	}
	end := tail{limit: tailBytes}
	_, _ = io.Copy(&end, unpacked)
	return whole(end.Bytes(), true)
}

// lastOf reads the last whole lines of a file, at least one if there is any.
func lastOf(file *os.File) [][]byte {
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	for size := int64(tailBytes); ; size *= 2 {
		from := max(0, info.Size()-size)
		part := make([]byte, info.Size()-from)
		if n, err := file.ReadAt(part, from); err != nil && n == 0 {
			return nil
		}
		if lines := whole(part, from > 0); len(lines) > 0 || from == 0 {
			return lines
		}
	}
}

// whole parts a text into its lines, less the first if that may have begun before, and what stands behind the last end.
func whole(text []byte, cut bool) [][]byte {
	lines := bytes.Split(text, []byte("\n"))
	lines = lines[:len(lines)-1]
	if cut && len(lines) > 0 {
		lines = lines[1:]
	}
	return lines
}

func stampOf(line []byte) (time.Time, bool) {
	stamp, _, _ := bytes.Cut(line, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	return at, err == nil
}

// write writes a line, unless the file had it. It returns when the line is written, or when ctx has ended: then the line is
// written by whoever goes on.
func (f *logFile) write(ctx context.Context, l LogLine) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.line = l.Time.UTC().AppendFormat(f.line[:0], stampFormat)
	f.line = append(append(append(f.line, ' '), l.Text...), '\n')
	if f.had(l.Time) || !f.insist(ctx, func() error { return f.turn(l.Time) }) {
		return
	}
	for rest := f.line; len(rest) > 0; {
		if !f.insist(ctx, func() error {
			n, err := f.file.Write(rest)
			rest, f.size = rest[n:], f.size+int64(n)
			return err
		}) {
			return
		}
	}
}

// had tells whether the line under way stood in the file when it was opened.
func (f *logFile) had(at time.Time) bool {
	if f.seen == nil {
		return false
	}
	key := maphash.Bytes(f.seed, f.line[:len(f.line)-1])
	if f.seen[key] > 0 {
		f.seen[key]--
		return true
	}
	if at.After(f.last.Add(disorder)) {
		f.seen = nil // all that comes is new
	}
	return false
}

// lookAgain is how often a file is looked at while it is written: somebody may have cut it off, moved it, or removed it.
const lookAgain = time.Second

// turn puts the file aside if the line under way would make it too big, or is too much later than its first one.
func (f *logFile) turn(at time.Time) error {
	if f.file == nil {
		if err := f.reopen(); err != nil {
			return err
		}
	}
	big := f.size > 0 && f.size+int64(len(f.line)) > f.MaxSize
	if big || time.Since(f.looked) > lookAgain {
		if err := f.look(); err != nil {
			return err
		}
		big = f.size > 0 && f.size+int64(len(f.line)) > f.MaxSize
	}
	if f.born.IsZero() {
		f.born = f.firstStamp(at)
	}
	old := f.size > 0 && at.Sub(f.born) > f.MaxAge
	if !big && !old {
		return nil
	}
	reason := "size"
	if old {
		reason = "time"
	}
	shift := &timberjack.Logger{Filename: f.path, MaxBackups: f.Keep, Compression: "gzip", FileMode: 0o640}
	if err := shift.RotateWithReason(reason); err != nil {
		return err
	}
	if err := shift.Close(); err != nil {
		return err
	}
	return f.reopen()
}

// look finds out what others did to the file.
func (f *logFile) look() error {
	f.looked = time.Now()
	mine, err := f.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(f.path)
	if err != nil || !os.SameFile(mine, there) {
		return f.reopen()
	}
	if there.Size() < f.size {
		f.born = time.Time{}
	}
	f.size = there.Size()
	return nil
}

// firstStamp is that of the file's first line, or of the one to come where it has none.
func (f *logFile) firstStamp(coming time.Time) time.Time {
	head := make([]byte, len(stampFormat)+1)
	if n, _ := f.file.ReadAt(head, 0); n > 0 {
		if at, ok := stampOf(head[:n]); ok {
			return at
		}
	}
	return coming
}

func (f *logFile) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil {
		_ = f.file.Close() // each line was written as it came
		f.file = nil
	}
}
