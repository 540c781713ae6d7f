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
			return c.printVersion(format, short)
		},
	}
	cmd.Flags().VarP(newChoice(&format, "pretty", "pretty", "json"), "format", "f", "pretty or json")
	cmd.Flags().BoolVar(&short, "short", false, "the bare version")
	return cmd
}

func (c *cli) printVersion(format string, short bool) error {
	var err error
	switch {
	case short:
		_, err = fmt.Fprintln(c.out, c.version)
	case format == "json":
		err = json.NewEncoder(c.out).Encode(map[string]string{"version": c.version})
	default:
		_, err = fmt.Fprintln(c.out, "galley version "+c.version)
	}
	return err
}
