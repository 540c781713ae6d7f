package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/spf13/cobra"

	"galley/compose"
)

// eventRow is an event as `docker compose events --json` prints it.
type eventRow struct {
	Action     string            `json:"action"`
	Attributes map[string]string `json:"attributes"`
	ID         string            `json:"id"`
	Service    string            `json:"service"`
	Time       time.Time         `json:"time"`
	Type       string            `json:"type"`
}

// eventsCommand prints what happens to containers.
func (c *cli) eventsCommand() *cobra.Command {
	var asJSON bool
	var since, until string
	cmd := &cobra.Command{
		Use:   "events [flags] [SERVICE...]",
		Short: "Print what happens to the containers, as it happens",
		Long: `Print what happens to the project's containers, as it happens: as a line each, or with
--json as an object each. No readable recipe is needed, only the project's name.`,
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			name, err := compose.ProjectName(c.source())
			if err != nil {
				return err
			}
			e, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer e.Close()
			return e.Events(cmd.Context(), name, since, until, func(m events.Message) {
				row, ok := describeEvent(m)
				if !ok || len(services) > 0 && !slices.Contains(services, row.Service) {
					return
				}
				c.printEvent(row, asJSON)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "an object a line")
	f.StringVar(&since, "since", "", "events since this `TIME`: 2026-01-02T13:23:37Z, or 42m for 42 minutes ago")
	f.StringVar(&until, "until", "", "events until this `TIME`, and no longer")
	return cmd
}

// describeEvent leaves out one-off containers, and docker compose's own labels, as docker compose does.
func describeEvent(m events.Message) (eventRow, bool) {
	attributes := map[string]string{}
	for key, value := range m.Actor.Attributes {
		if !strings.HasPrefix(key, "com.docker.compose.") {
			attributes[key] = value
		}
	}
	row := eventRow{
		Action: string(m.Action), Attributes: attributes, ID: m.Actor.ID, Service: m.Actor.Attributes[compose.LabelService],
		Time: time.Unix(0, m.TimeNano), Type: string(m.Type),
	}
	return row, row.Service != "" && !strings.EqualFold(m.Actor.Attributes[compose.LabelOneOff], "true")
}

func (c *cli) printEvent(row eventRow, asJSON bool) {
	if asJSON {
		// A reader that is gone ends the process by SIGPIPE.
		_ = json.NewEncoder(c.out).Encode(row)
		return
	}
	var attributes []string
	for _, key := range slices.Sorted(maps.Keys(row.Attributes)) {
		attributes = append(attributes, key+"="+row.Attributes[key])
	}
	fmt.Fprintf(c.out, "%s container %s %s (%s)\n", row.Time.Format("2006-01-02 15:04:05.000000"), sanitize(row.Action), row.ID,
		sanitize(strings.Join(attributes, ", ")))
}
