package main

import (
	"github.com/spf13/cobra"

	"galley/engine"
)

// stopCommand stops a project's containers.
func (c *cli) stopCommand() *cobra.Command {
	var t takingDown
	cmd := &cobra.Command{
		Use:   "stop [flags] [SERVICE...]",
		Short: "Stop the project's containers",
		Long: `Stop the project's containers, dependents first, and leave them where they are: up
starts them again.

What belongs to the project is known from labels: no readable recipe is needed, only
the project's name.`,
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			return c.takeDown(cmd, &t, services, engine.Down{StopOnly: true})
		},
	}
	t.addTo(cmd)
	return cmd
}
