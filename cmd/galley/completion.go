package main

import (
	"strings"

	"github.com/spf13/cobra"

	"galley/compose"
)

// completeServices completes the names of the recipe's services in the shell.
func (c *cli) completeServices(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	project, _, err := compose.Load(cmd.Context(), c.source())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, s := range project.Services {
		if strings.HasPrefix(s.Name, begun) {
			names = append(names, s.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
