package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"galley/compose"
	"galley/engine"
)

// portCommand tells where a port of a container is published.
func (c *cli) portCommand() *cobra.Command {
	var protocol string
	var index int
	cmd := &cobra.Command{
		Use:               "port [flags] SERVICE PRIVATE_PORT",
		Short:             "Tell where a port of a service is published",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := strconv.ParseUint(args[1], 10, 16)
			if err != nil {
				return &usageError{err: fmt.Errorf("not a port: %q", args[1])}
			}
			p, err := c.present(cmd.Context(), args[:1])
			if err != nil {
				return err
			}
			defer p.engine.Close()
			have, err := p.running(args[0], index)
			if err != nil {
				return err
			}
			for _, port := range sortedPorts(have.Summary.Ports) {
				if port.PublicPort != 0 && uint64(port.PrivatePort) == number && port.Type == strings.ToLower(protocol) {
					_, err := fmt.Fprintln(c.out, net.JoinHostPort(port.IP, strconv.Itoa(int(port.PublicPort))))
					return err
				}
			}
			return fmt.Errorf("port %d/%s of container %s is not published", number, protocol, have.Name)
		},
	}
	cmd.Flags().StringVar(&protocol, "protocol", "tcp", "`PROTOCOL` of the port: tcp, udp, sctp")
	cmd.Flags().IntVar(&index, "index", 0, "`NUMBER` of the container, where a service has several")
	return cmd
}

// topCommand lists processes.
func (c *cli) topCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "top [SERVICE...]",
		Short:             "List the processes of the running containers",
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			p, err := c.present(cmd.Context(), services)
			if err != nil {
				return err
			}
			defer p.engine.Close()
			table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
			headed := false
			for _, have := range p.containers {
				if !have.Running() || len(services) > 0 && !slices.Contains(services, have.Service) {
					continue
				}
				titles, rows, err := p.engine.Top(cmd.Context(), have)
				if err != nil {
					return err
				}
				if !headed {
					fmt.Fprintln(table, strings.Join(append([]string{"SERVICE", "#"}, titles...), "\t"))
					headed = true
				}
				for _, row := range rows {
					fmt.Fprintln(table, sanitize(strings.Join(append([]string{have.Service, strconv.Itoa(have.Number)}, row...), "\t")))
				}
			}
			return table.Flush()
		},
	}
}

// lsCommand lists projects.
func (c *cli) lsCommand() *cobra.Command {
	var all, quiet bool
	var format, filter string
	cmd := &cobra.Command{
		Use:   "ls [flags]",
		Short: "List the projects on the Engine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, pattern, _ := strings.Cut(filter, "=")
			if filter != "" && key != "name" {
				return &usageError{err: fmt.Errorf("unknown filter: %q", filter), hint: "--filter knows name=NAME"}
			}
			e, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer e.Close()
			containers, err := e.AllContainers(cmd.Context(), all)
			if err != nil {
				return err
			}
			projects := projectsOf(containers)
			projects = slices.DeleteFunc(projects, func(p projectObject) bool { return !strings.Contains(p.Name, pattern) })
			switch {
			case quiet:
				for _, p := range projects {
					fmt.Fprintln(c.out, p.Name)
				}
				return nil
			case format == "json":
				return json.NewEncoder(c.out).Encode(projects)
			}
			return writeProjects(c.out, projects)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&all, "all", "a", false, "projects of which nothing runs, too")
	f.StringVar(&filter, "filter", "", "`name=NAME`: projects with that in their names")
	f.Var(newChoice(&format, "table", "table", "json"), "format", "table or json")
	f.BoolVarP(&quiet, "quiet", "q", false, "names alone")
	return cmd
}

// projectObject is a project as `docker compose ls --format json` prints it.
type projectObject struct {
	Name, Status, ConfigFiles string
}

// projectsOf gathers projects by their containers' labels, sorted by name.
func projectsOf(containers []*engine.Container) []projectObject {
	states, files := map[string]map[string]int{}, map[string]string{}
	for _, have := range containers {
		name := have.Summary.Labels[compose.LabelProject]
		if have.OneOff {
			continue
		}
		if states[name] == nil {
			states[name] = map[string]int{}
		}
		states[name][have.Phase]++
		files[name] = either(files[name], have.Summary.Labels[compose.LabelConfigFiles])
	}
	all := []projectObject{}
	for _, name := range slices.Sorted(maps.Keys(states)) {
		var status []string
		for _, state := range slices.Sorted(maps.Keys(states[name])) {
			status = append(status, fmt.Sprintf("%s(%d)", state, states[name][state]))
		}
		all = append(all, projectObject{name, strings.Join(status, ", "), either(files[name], "N/A")})
	}
	return all
}

func writeProjects(w io.Writer, projects []projectObject) error {
	table := tabwriter.NewWriter(w, 20, 1, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tSTATUS\tCONFIG FILES")
	for _, p := range projects {
		fmt.Fprintf(table, "%s\t%s\t%s\n", p.Name, p.Status, sanitize(p.ConfigFiles))
	}
	return table.Flush()
}

// volumesCommand lists the project's volumes.
func (c *cli) volumesCommand() *cobra.Command {
	var quiet bool
	var format string
	cmd := &cobra.Command{
		Use:               "volumes [flags] [SERVICE...]",
		Short:             "List the project's volumes",
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			p, err := c.present(cmd.Context(), services)
			if err != nil {
				return err
			}
			defer p.engine.Close()
			volumes, err := p.engine.Volumes(cmd.Context(), p.project)
			if err != nil {
				return err
			}
			rows := []volumeObject{}
			for _, v := range volumes {
				if len(services) == 0 || p.mounts(services, v.Name) {
					rows = append(rows, describeVolume(v))
				}
			}
			slices.SortFunc(rows, func(a, b volumeObject) int { return strings.Compare(a.Name, b.Name) })
			if quiet {
				format = "{{.Name}}"
			}
			head := headings{"Name": "VOLUME NAME", "Driver": "DRIVER", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS"}
			return writeFormatted(c.out, format, "{{.Driver}}\t{{.Name}}", head, rows)
		},
	}
	cmd.Flags().StringVar(&format, "format", "table", formatHelp)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "names alone")
	return cmd
}

// mounts tells whether a container of one of the services mounts the volume.
func (p *present) mounts(services []string, name string) bool {
	return slices.ContainsFunc(p.containers, func(have *engine.Container) bool {
		if !slices.Contains(services, have.Service) {
			return false
		}
		for _, m := range have.Summary.Mounts {
			if m.Name == name {
				return true
			}
		}
		return false
	})
}

// volumeObject is a volume as `docker compose volumes --format json` prints it.
type volumeObject struct {
	Availability, Driver, Group, Labels, Links, Mountpoint, Name, Scope, Size, Status string
}

func describeVolume(v *volume.Volume) volumeObject {
	const none = "N/A"
	return volumeObject{none, v.Driver, none, labels(v.Labels), none, v.Mountpoint, v.Name, v.Scope, none, none}
}

// imageObject is an image as `docker compose images --format json` prints it.
type imageObject struct {
	ID, ContainerName, Repository, Tag, Platform string
	Size                                         int64
	LastTagTime                                  time.Time
}

// listImages lists the images that containers were created from.
func (c *cli) listImages(cmd *cobra.Command, flags *imagesFlags, services []string) error {
	p, err := c.present(cmd.Context(), services)
	if err != nil {
		return err
	}
	defer p.engine.Close()
	chosen := slices.DeleteFunc(p.containers, func(have *engine.Container) bool {
		return have.OneOff || len(services) > 0 && !slices.Contains(services, have.Service)
	})
	slices.SortFunc(chosen, func(a, b *engine.Container) int { return strings.Compare(a.Name, b.Name) })
	images, err := p.engine.Images(cmd.Context(), chosen)
	if err != nil {
		return err
	}
	rows := []imageObject{}
	for _, have := range chosen {
		row := imageObject{ID: have.ImageID, ContainerName: have.Name}
		if named, err := reference.ParseNormalizedNamed(have.Summary.Image); err == nil && !strings.HasPrefix(have.Summary.Image, "sha256:") {
			row.Repository = reference.FamiliarName(named)
			if tagged, ok := reference.TagNameOnly(named).(reference.Tagged); ok {
				row.Tag = tagged.Tag()
			}
		}
		if img, ok := images[have.ImageID]; ok {
			row.Platform = strings.TrimSuffix(strings.Join([]string{img.Os, img.Architecture, img.Variant}, "/"), "/")
			row.Size, row.LastTagTime = img.Size, img.Metadata.LastTagTime
		}
		rows = append(rows, row)
	}
	switch {
	case flags.quiet:
		var ids []string
		for _, row := range rows {
			ids = append(ids, strings.TrimPrefix(row.ID, "sha256:"))
		}
		slices.Sort(ids)
		for _, id := range slices.Compact(ids) {
			fmt.Fprintln(c.out, id)
		}
		return nil
	case flags.format == "json":
		return json.NewEncoder(c.out).Encode(rows)
	}
	return writeImages(c.out, rows)
}

func writeImages(w io.Writer, rows []imageObject) error {
	table := tabwriter.NewWriter(w, 20, 1, 3, ' ', 0)
	fmt.Fprintln(table, "CONTAINER\tREPOSITORY\tTAG\tPLATFORM\tIMAGE ID\tSIZE\tCREATED")
	for _, row := range rows {
		created := "N/A"
		if row.LastTagTime.Unix() > 0 {
			created = units.HumanDuration(time.Since(row.LastTagTime)) + " ago"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.ContainerName, either(row.Repository, "<none>"), either(row.Tag, "<none>"),
			row.Platform, shortID(row.ID), units.HumanSizeWithPrecision(float64(row.Size), 3), created)
	}
	return table.Flush()
}
