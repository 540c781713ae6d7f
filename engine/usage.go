package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"
	"golang.org/x/sync/errgroup"
)

// Usage is what a container uses at a moment, computed as the docker CLI does (cli/command/container/stats_helpers.go).
type Usage struct {
	Container *Container
	// CPU is in percent of one CPU, since the moment before.
	CPU float64
	// Memory is in bytes; Limit is the container's or the machine's.
	Memory, Limit uint64
	// Received and Sent count all networks, Read and Written all disks, in bytes since the start.
	Received, Sent, Read, Written uint64
	// Processes counts threads too; 0: the container does not run, and nothing else is known.
	Processes uint64
}

// Usages reads what containers use, all at a time; nothing for one that does not run. The Engine takes a second or two for that:
// a share of CPU is one of a time. Source: Engine API, GET /containers/{id}/stats.
func (e *Engine) Usages(ctx context.Context, containers []*Container) ([]Usage, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	all := make([]Usage, len(containers))
	calls, ctx := errgroup.WithContext(ctx)
	for i, c := range containers {
		all[i].Container = c
		if c.Running() {
			calls.Go(func() error { return e.usage(ctx, c, false, func(u Usage) { all[i] = u }) })
		}
	}
	return all, calls.Wait()
}

// FollowUsages tells what those of a project's containers use that are wanted, also those that start later, about once a second
// until ctx ends or told returns an error.
func (e *Engine) FollowUsages(ctx context.Context, project string, wanted func(*Container) bool, told func([]Usage) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := e.newWatch(project)
	defer watch.close()
	woken, done := watch.on(ctx, anyOther)
	defer done()
	f := &usages{Engine: e, project: project, wanted: wanted, now: map[string]Usage{}, reading: map[string]bool{}, news: make(chan usageNews)}
	if err := f.list(ctx); err != nil {
		return err
	}
	var complete <-chan time.Time
	if len(f.reading) == 0 {
		complete = time.After(0) // what does not run has no news
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-woken:
			err = f.list(ctx)
		case n := <-f.news:
			err = f.take(n)
		case <-complete:
			complete = nil
			if err := told(f.all()); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if complete == nil {
			complete = time.After(sampled)
		}
	}
}

// sampled is how long after one container's numbers those of the others are waited for: the Engine takes all at a time.
const sampled = 100 * time.Millisecond

// usages are the numbers of several containers.
type usages struct {
	*Engine
	project    string
	wanted     func(*Container) bool
	containers []*Container
	now        map[string]Usage // by container id
	reading    map[string]bool  // by container id
	news       chan usageNews
}

// usageNews is what a reader says: numbers, or nil when there will be no more.
type usageNews struct {
	id    string
	usage *Usage
	err   error
}

// list finds the containers, and begins to read those that run and are not read yet.
func (u *usages) list(ctx context.Context) error {
	all, err := u.Containers(ctx, u.project)
	if err != nil {
		return err
	}
	u.containers = nil
	for _, c := range all {
		if !u.wanted(c) {
			continue
		}
		u.containers = append(u.containers, c)
		if !c.Running() || u.reading[c.ID] {
			continue
		}
		u.reading[c.ID] = true
		go func() {
			err := u.usage(ctx, c, true, func(now Usage) { u.tell(ctx, usageNews{id: c.ID, usage: &now}) })
			u.tell(ctx, usageNews{id: c.ID, err: err})
		}()
	}
	return nil
}

func (u *usages) tell(ctx context.Context, n usageNews) {
	select {
	case u.news <- n:
	case <-ctx.Done():
	}
}

func (u *usages) take(n usageNews) error {
	if n.usage != nil {
		u.now[n.id] = *n.usage
		return nil
	}
	delete(u.now, n.id)
	delete(u.reading, n.id)
	return n.err
}

func (u *usages) all() []Usage {
	all := make([]Usage, 0, len(u.containers))
	for _, c := range u.containers {
		now := u.now[c.ID]
		now.Container = c
		all = append(all, now)
	}
	return all
}

// usage hands on a container's numbers, once or as long as it runs.
func (e *Engine) usage(ctx context.Context, c *Container, stream bool, told func(Usage)) error {
	what := "reading what container " + c.Name + " uses"
	answer, err := e.api.ContainerStats(ctx, c.ID, stream)
	if err != nil {
		return e.calling(ctx, what, gone(err))
	}
	if answer.Body == nil {
		return nil // it is gone
	}
	defer answer.Body.Close()
	decoder := json.NewDecoder(answer.Body)
	for {
		var s container.StatsResponse
		switch err := decoder.Decode(&s); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return e.calling(ctx, what, fmt.Errorf("the Engine's answer broke off: %w", err))
		case s.PidsStats.Current == 0:
			return nil // it does not run any more
		case stream && s.PreCPUStats.SystemUsage == 0:
			continue // the first of a stream has no moment before
		}
		told(computed(c, s))
	}
}

func computed(c *Container, s container.StatsResponse) Usage {
	u := Usage{Container: c, Memory: inUse(s.MemoryStats), Limit: s.MemoryStats.Limit, Processes: s.PidsStats.Current}
	used := float64(s.CPUStats.CPUUsage.TotalUsage) - float64(s.PreCPUStats.CPUUsage.TotalUsage)
	passed := float64(s.CPUStats.SystemUsage) - float64(s.PreCPUStats.SystemUsage)
	if used > 0 && passed > 0 {
		u.CPU = used / passed * float64(s.CPUStats.OnlineCPUs) * 100
	}
	for _, n := range s.Networks {
		u.Received += n.RxBytes
		u.Sent += n.TxBytes
	}
	for _, entry := range s.BlkioStats.IoServiceBytesRecursive {
		switch entry.Op {
		case "read", "Read":
			u.Read += entry.Value
		case "write", "Write":
			u.Written += entry.Value
		}
	}
	return u
}

// inUse is how much memory a container uses, in bytes, less the cache of files that the kernel takes back first.
func inUse(m container.MemoryStats) uint64 {
	cache, v1 := m.Stats["total_inactive_file"]
	if !v1 {
		cache = m.Stats["inactive_file"] // cgroup v2
	}
	return m.Usage - min(cache, m.Usage)
}
