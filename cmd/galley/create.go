package main

import "github.com/spf13/cobra"

// createCommand creates containers without starting them.
func (c *cli) createCommand() *cobra.Command {
	var u upFlags
	cmd := &cobra.Command{
		Use:               "create [flags] [SERVICE...]",
		Short:             "Create what the recipe says, and start nothing",
		Long:              "Create what is missing and replace what differs, as up --no-start does, and start nothing.",
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			u.noStart = true
			return c.bringUp(cmd, &u, services)
		},
	}
	u.addCreating(cmd.Flags(), c)
	cmd.Flags().Lookup("no-start").Hidden = true // it is what create does
	return cmd
}
