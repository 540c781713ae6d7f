package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"galley/engine"
)

// confirmLoss asks, before anything is changed, whether the data in the volumes that are made anew may go. Where there is no
// terminal to ask on, only yes will do.
func (c *cli) confirmLoss(ctx context.Context, s *survey, opts engine.DiffOptions, yes bool) error {
	if len(opts.RecreateVolumes) == 0 || yes {
		return nil
	}
	if err := s.engine.Complete(ctx, s.project, s.state, opts); err != nil {
		return err
	}
	plan, err := engine.Diff(s.project, s.state, opts)
	if err != nil {
		return err
	}
	var volumes []string
	for _, step := range plan.Steps {
		if step.LosesData() {
			volumes = append(volumes, step.Action.Target().Name)
		}
	}
	lost := strings.Join(volumes, ", ")
	switch {
	case lost == "":
		return nil
	case c.inputTerminal() == nil:
		return &usageError{fmt.Errorf("--recreate-volumes: all data in volume %s would be lost", lost), "--yes says that this is meant"}
	}
	fmt.Fprintf(c.err, "all data in volume %s will be lost; type \"yes\" to go on: ", lost)
	// The end of the input is an answer too.
	answer, _ := bufio.NewReader(c.stdin).ReadString('\n')
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("not confirmed; nothing was changed")
	}
	return nil
}
