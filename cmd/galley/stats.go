package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"galley/engine"
)

// statsFlags are the flags of stats.
type statsFlags struct {
	all, once, whole bool
	format           string
}

// statsCommand shows what containers use.
func (c *cli) statsCommand() *cobra.Command {
	var s statsFlags
	cmd := &cobra.Command{
		Use:   "stats [flags] [SERVICE...]",
		Short: "Show what the containers use of CPU, memory, network and disk",
		Long: `Show what the running containers use of CPU, memory, network and disk, about once a
second until interrupted; containers that start meanwhile join. No readable recipe is
needed, only the project's name.`,
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			return c.stats(cmd.Context(), &s, services)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&s.all, "all", "a", false, "containers that do not run, too")
	f.StringVar(&s.format, "format", "table", formatHelp)
	f.BoolVar(&s.once, "no-stream", false, "show it once")
	f.BoolVar(&s.whole, "no-trunc", false, "whole ids")
	return cmd
}

func (c *cli) stats(ctx context.Context, s *statsFlags, services []string) error {
	p, err := c.present(ctx, services)
	if err != nil {
		return err
	}
	defer p.engine.Close()
	wanted := func(have *engine.Container) bool {
		return (s.all || have.Running()) && (len(services) == 0 || slices.Contains(services, have.Service))
	}
	if s.once {
		chosen := slices.DeleteFunc(p.containers, func(have *engine.Container) bool { return !wanted(have) })
		usages, err := p.engine.Usages(ctx, chosen)
		if err != nil {
			return err
		}
		return c.showUsages(s, usages)
	}
	err = p.engine.FollowUsages(ctx, p.project, wanted, func(usages []engine.Usage) error { return c.showUsages(s, usages) })
	if ctx.Err() != nil {
		return context.Cause(ctx) // that is how following ends: nothing to be said
	}
	return err
}

// showUsages prints the numbers of one moment; on a terminal in place of those before.
func (c *cli) showUsages(s *statsFlags, usages []engine.Usage) error {
	rows := []usageObject{}
	for _, u := range usages {
		if s.all || u.Processes > 0 {
			rows = append(rows, describeUsage(u, !s.whole))
		}
	}
	const usual = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"
	var screen bytes.Buffer
	if !s.once {
		screen.WriteString(c.home())
	}
	if err := writeFormatted(&screen, s.format, usual, headings{
		"Container": "CONTAINER", "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT",
		"MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
	}, rows); err != nil {
		return err
	}
	_, err := c.out.Write(screen.Bytes())
	return err
}

// usageObject is what a container uses as `docker stats --format json` prints it.
type usageObject struct {
	BlockIO, CPUPerc, Container, ID, MemPerc, MemUsage, Name, NetIO, PIDs string
}

func describeUsage(u engine.Usage, short bool) usageObject {
	id := u.Container.ID
	if short {
		id = shortID(id)
	}
	o := usageObject{Container: id, ID: id, Name: u.Container.Name}
	if u.Processes == 0 {
		o.CPUPerc, o.MemPerc, o.NetIO, o.BlockIO, o.PIDs, o.MemUsage = "--", "--", "--", "--", "--", "-- / --"
		return o
	}
	pair := func(a, b uint64) string {
		return units.HumanSizeWithPrecision(float64(a), 3) + " / " + units.HumanSizeWithPrecision(float64(b), 3)
	}
	o.CPUPerc = fmt.Sprintf("%.2f%%", u.CPU)
	o.MemUsage = units.BytesSize(float64(u.Memory)) + " / " + units.BytesSize(float64(u.Limit))
	o.MemPerc = fmt.Sprintf("%.2f%%", 100*float64(u.Memory)/max(1, float64(u.Limit)))
	o.NetIO, o.BlockIO, o.PIDs = pair(u.Received, u.Sent), pair(u.Read, u.Written), strconv.FormatUint(u.Processes, 10)
	return o
}
