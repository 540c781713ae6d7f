package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

// versionCommand prints the version. It asks no Engine: it must work where there is none.
func (c *cli) versionCommand() *cobra.Command {
	var format string
	var short bool
	cmd := &cobra.Command{
		Use:   "version [flags]",
		Short: "Show Galley's version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			switch {
			case short:
				fmt.Fprintln(c.out, c.version)
			case format == "json":
				return json.NewEncoder(c.out).Encode(map[string]string{"version": c.version})
			default:
				fmt.Fprintln(c.out, "galley version "+c.version)
			}
			return nil
		},
	}
	cmd.Flags().VarP(newChoice(&format, "pretty", "pretty", "json"), "format", "f", "pretty or json")
	cmd.Flags().BoolVar(&short, "short", false, "the bare version")
	return cmd
}
