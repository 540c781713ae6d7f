package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"galley/bosh"
)

// task is what the errand run-task is to run, as its template renders it.
type task struct {
	Service string            `json:"service"`
	Command []string          `json:"command"`
	Env     map[string]string `json:"env"`
}

// boshRunTask runs a command in a new container of a service.
func (c *cli) boshRunTask(vm *bosh.VM) *cobra.Command {
	return &cobra.Command{
		Use:   "run-task FILE",
		Short: "Run the task that FILE describes, in a container of a service",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("reading the task: %w", err)
			}
			var t task
			if err := json.Unmarshal(text, &t); err != nil {
				return fmt.Errorf("reading the task %q: %w", args[0], err)
			}
			settings, err := vm.ReadSettings()
			if err != nil {
				return err
			}
			once := []string{"run", "--rm", "--no-tty", "--no-deps"}
			for _, name := range slices.Sorted(maps.Keys(t.Env)) {
				once = append(once, "--env", name+"="+t.Env[name])
			}
			once = append(append(once, "--", t.Service), t.Command...)
			run, err := command(cmd.Context(), vm, settings, once...)
			if err != nil {
				return err
			}
			return bosh.Become(run)
		},
	}
}
