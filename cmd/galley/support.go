package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"galley/compose"
)

// printSupport prints what becomes of each attribute of the compose-spec.
func (c *cli) printSupport(format string) error {
	table := compose.SupportTable()
	if format == "json" {
		encoder := json.NewEncoder(c.out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(table)
	}
	w := tabwriter.NewWriter(c.out, 0, 1, 3, ' ', 0)
	fmt.Fprintln(w, "ATTRIBUTE\tSTANDING\tENGINE API\tREMARKS")
	for _, s := range table {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Path, s.Standing, s.APIText(), s.Remark())
	}
	return w.Flush()
}
