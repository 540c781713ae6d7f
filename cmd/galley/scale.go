package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// scaleCommand changes the number of replicas.
func (c *cli) scaleCommand() *cobra.Command {
	u := upFlags{detach: true}
	u.pull = "policy"
	cmd := &cobra.Command{
		Use:   "scale [flags] SERVICE=REPLICAS...",
		Short: "Run that many replicas of services",
		Long: `Bring services to that many replicas, as up --scale does, until the next up without it.
What they need is brought up too, unless --no-deps. A supervisor holds that number
until such an up, or until it loads the recipe again (SIGHUP).`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var services []string
			for _, arg := range args {
				if err := u.scale.Set(arg); err != nil {
					return &usageError{err: err}
				}
				name, _, _ := strings.Cut(arg, "=")
				services = append(services, name)
			}
			return c.bringUp(cmd, &u, services)
		},
	}
	cmd.Flags().BoolVar(&u.noDeps, "no-deps", false, "leave out what the services need")
	cmd.Flags().BoolVar(&u.waitLock, "wait-lock", false, "wait while another process changes the project")
	return cmd
}
