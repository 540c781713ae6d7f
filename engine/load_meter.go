package engine

import (
	"context"
	"sync"
	"time"
)

// meter tells how far a load is, often enough for people to watch: first how much of the archive's file was read, then how
// much the Engine has unpacked.
type meter struct {
	total int64
	tell  func(detail string, a Amount)

	mu sync.Mutex // an Engine that refuses an archive answers while it is still read
	// begun is when the stage began, last when something was told.
	stage       string
	begun, last time.Time
	// layers is what the Engine unpacked before the layer under way, layer the size of that one, reached how far it is.
	layers, layer, reached int64
}

// tellEvery is how often progress by bytes is told at most.
const tellEvery = 200 * time.Millisecond

func newMeter(total int64, tell func(detail string, a Amount)) *meter {
	return &meter{total: total, tell: tell}
}

// passed tells how much of the archive's file was passed.
func (m *meter) passed(done int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("reading", done, m.total)
}

// unpacked tells what the Engine says of the layer under way.
func (m *meter) unpacked(done, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if total != m.layer || done < m.reached {
		m.layers += m.layer
		m.layer = total
	}
	m.reached = done
	m.note("unpacking", m.layers+done, 0)
}

// packed tells how much of a new archive was written.
func (m *meter) packed(done, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("packing", done, total)
}

func (m *meter) note(stage string, done, total int64) {
	now := time.Now()
	if m.stage != stage {
		m.stage, m.begun, m.last = stage, now, now
	}
	if now.Sub(m.last) < tellEvery {
		return
	}
	m.last = now
	m.tell(stage, Amount{Done: done, Total: total, Rate: int64(float64(done) / now.Sub(m.begun).Seconds())})
}

// patience ends a context when nothing has moved for too long.
type patience struct {
	span   time.Duration
	cancel context.CancelFunc

	mu sync.Mutex
	// timer is nil until patience begins.
	timer *time.Timer
}

// newPatience returns a context that ends when nothing has moved for a span of time after begin.
func newPatience(ctx context.Context, span time.Duration) (context.Context, *patience) {
	ctx, cancel := context.WithCancel(ctx)
	return ctx, &patience{span: span, cancel: cancel}
}

func (p *patience) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(p.span, p.cancel)
}

func (p *patience) renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Reset(p.span)
	}
}

func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.cancel()
}
