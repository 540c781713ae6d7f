package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-units"

	"galley/compose"
	"galley/engine"
)

// containerObject is a container as `docker compose ps --format json` prints it: the same fields, in the same order, with
// the same values. Source: docker/compose cmd/formatter/container.go, which documents each.
type containerObject struct {
	Command      string
	CreatedAt    string
	ExitCode     int
	Health       string
	ID           string
	Image        string
	Labels       string
	LocalVolumes string
	Mounts       string
	Name         string
	Names        string
	Networks     string
	Ports        string
	Project      string
	Publishers   []publisher
	RunningFor   string
	Service      string
	Size         string
	State        string
	Status       string

	labels map[string]string
}

// publisher is a port of a container and where it is published, if it is.
type publisher struct {
	URL           string
	TargetPort    uint16
	PublishedPort uint16
	Protocol      string
}

// describe gives a container's fields; short shortens them as docker compose does unless --no-trunc.
func describe(c *engine.Container, short bool) containerObject {
	s := c.Summary
	created := time.Unix(s.Created, 0)
	o := containerObject{
		Command:      quoted(s.Command, short),
		CreatedAt:    created.String(),
		ExitCode:     c.ExitCode,
		Health:       c.Health,
		ID:           c.ID,
		Image:        s.Image,
		Labels:       labels(s.Labels),
		LocalVolumes: strconv.Itoa(localVolumes(s.Mounts)),
		Mounts:       mounts(s.Mounts, short),
		Name:         c.Name,
		Names:        names(s.Names, short),
		Networks:     networks(s.NetworkSettings),
		Ports:        ports(s.Ports),
		Project:      s.Labels[compose.LabelProject],
		Publishers:   publishers(s.Ports),
		RunningFor:   units.HumanDuration(time.Since(created)) + " ago",
		Service:      c.Service,
		Size:         units.HumanSizeWithPrecision(float64(s.SizeRw), 3),
		State:        s.State,
		Status:       s.Status,
		labels:       s.Labels,
	}
	if short {
		o.ID = shortID(c.ID)
		if shortID(s.ImageID) == shortID(s.Image) {
			o.Image = shortID(s.Image) // created from an image without a tag
		}
	}
	return o
}

// Label is a single label of the container, for templates.
func (o containerObject) Label(name string) string { return o.labels[name] }

// writeContainers prints as --format says; a table has the columns of `docker compose ps`.
func writeContainers(w io.Writer, format string, shown []*engine.Container, short bool) error {
	rows := make([]containerObject, 0, len(shown))
	for _, c := range shown {
		rows = append(rows, describe(c, short))
	}
	const usual = "{{.Name}}\t{{.Image}}\t{{.Command}}\t{{.Service}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}"
	return writeFormatted(w, format, usual, headings{
		"Command": "COMMAND", "CreatedAt": "CREATED AT", "ExitCode": "EXIT CODE", "Health": "HEALTH", "ID": "CONTAINER ID",
		"Image": "IMAGE", "Labels": "LABELS", "LocalVolumes": "LOCAL VOLUMES", "Mounts": "MOUNTS", "Name": "NAME", "Names": "NAMES",
		"Networks": "NETWORKS", "Ports": "PORTS", "Project": "PROJECT", "Publishers": "PUBLISHERS", "RunningFor": "CREATED",
		"Service": "SERVICE", "Size": "SIZE", "State": "STATE", "Status": "STATUS",
	}, rows)
}

func quoted(command string, short bool) string {
	if short {
		command = ellipsis(command, 20)
	}
	return strconv.Quote(command)
}

// ellipsis shortens text to n characters, the last being "…".
func ellipsis(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}

func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

func labels(all map[string]string) string {
	var entries []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		entries = append(entries, key+"="+all[key])
	}
	return strings.Join(entries, ",")
}

func localVolumes(all []container.MountPoint) int {
	n := 0
	for _, m := range all {
		if m.Driver == "local" {
			n++
		}
	}
	return n
}

func mounts(all []container.MountPoint, short bool) string {
	var entries []string
	for _, m := range all {
		name := either(m.Name, m.Source)
		if short {
			name = ellipsis(name, 15)
		}
		entries = append(entries, name)
	}
	return strings.Join(entries, ",")
}

// names leaves out, when short, those that legacy links give: they have a second slash.
func names(all []string, short bool) string {
	var entries []string
	for _, name := range all {
		name = strings.TrimPrefix(name, "/")
		if !short || !strings.Contains(name, "/") {
			entries = append(entries, name)
		}
	}
	return strings.Join(entries, ",")
}

func networks(settings *container.NetworkSettingsSummary) string {
	if settings == nil {
		return ""
	}
	return strings.Join(slices.Sorted(maps.Keys(settings.Networks)), ",")
}

func publishers(all []container.Port) []publisher {
	list := []publisher{}
	for _, p := range sortedPorts(all) {
		list = append(list, publisher{URL: p.IP, TargetPort: p.PrivatePort, PublishedPort: p.PublicPort, Protocol: p.Type})
	}
	return list
}

func sortedPorts(all []container.Port) []container.Port {
	return slices.SortedFunc(slices.Values(all), func(a, b container.Port) int {
		return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), cmp.Compare(a.IP, b.IP),
			cmp.Compare(a.PublicPort, b.PublicPort), cmp.Compare(a.Type, b.Type))
	})
}

// ports joins ports as the docker CLI does: runs of ports that are exposed, or published under their own numbers, become
// ranges and stand first.
func ports(all []container.Port) string {
	type run struct {
		first, last uint16
	}
	var shown, mapped, keys []string
	runs := map[[2]string]*run{} // by address and protocol
	var order [][2]string
	for _, p := range sortedPorts(all) {
		if p.IP != "" && p.PublicPort != p.PrivatePort {
			host := net.JoinHostPort(p.IP, strconv.Itoa(int(p.PublicPort)))
			mapped = append(mapped, fmt.Sprintf("%s->%d/%s", host, p.PrivatePort, p.Type))
			continue
		}
		key := [2]string{p.IP, p.Type}
		switch r := runs[key]; {
		case r == nil:
			runs[key] = &run{p.PrivatePort, p.PrivatePort}
			order = append(order, key)
		case p.PrivatePort == r.last+1:
			r.last = p.PrivatePort
		default:
			shown = append(shown, portRun(key, r.first, r.last))
			*r = run{p.PrivatePort, p.PrivatePort}
		}
	}
	for _, key := range order {
		keys = append(keys, portRun(key, runs[key].first, runs[key].last))
	}
	return strings.Join(slices.Concat(shown, keys, mapped), ", ")
}

func portRun(key [2]string, first, last uint16) string {
	text := strconv.Itoa(int(first))
	if first != last {
		text += "-" + strconv.Itoa(int(last))
	}
	if ip := key[0]; ip != "" {
		text = net.JoinHostPort(ip, text) + "->" + text
	}
	return text + "/" + key[1]
}
