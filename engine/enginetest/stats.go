package enginetest

import (
	"encoding/json"
	"time"

	"github.com/docker/docker/api/types/container"
)

// containerStats answers GET /containers/*/stats: once, or each second as long as somebody reads. What does not run uses nothing.
// All that the numbers have in common with a kernel's is that they grow.
func (e *Engine) containerStats(r *request) error {
	stream := r.query.Get("stream") != "0" && r.query.Get("stream") != "false"
	var before, now container.StatsResponse
	measure := func(c *ctr) error {
		before, now = now, container.StatsResponse{ID: c.id, Name: "/" + c.name}
		if !c.running {
			return nil
		}
		lived := uint64(time.Since(c.started))
		now.CPUStats.CPUUsage.TotalUsage, now.CPUStats.SystemUsage, now.CPUStats.OnlineCPUs = lived/100, lived, 1
		now.PreCPUStats = before.CPUStats
		now.PidsStats.Current = 1
		now.MemoryStats.Usage, now.MemoryStats.Limit = 1<<20, 1<<30
		if c.host.Memory > 0 {
			now.MemoryStats.Limit = uint64(c.host.Memory)
		}
		return nil
	}
	if err := e.with(r, measure); err != nil {
		return err
	}
	out := r.stream("application/json")
	for {
		if err := json.NewEncoder(out).Encode(now); err != nil || !stream {
			return gone(err)
		}
		select {
		case <-time.After(e.scaled(time.Second)):
		case <-r.Context().Done():
			return nil
		}
		if err := e.with(r, measure); err != nil {
			return nil // removed meanwhile: that ends the answer
		}
	}
}
