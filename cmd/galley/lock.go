package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"galley/bosh"
	"galley/compose"
	"galley/engine"
)

// lockCommand writes down which image each tag means.
func (c *cli) lockCommand() *cobra.Command {
	var update bool
	cmd := &cobra.Command{
		Use:   "lock [flags] [SERVICE...]",
		Short: "Write down which image each tag means",
		Long: `Write into a file beside the recipe which image each tag means, by digest: beside
compose.yaml it is compose.lock.yaml. check, plan, up, pull and run honour it: they take
the images that it names, whatever the tags mean by then. Keep it with the recipe.

What is locked already stays as it is; images that no service uses any more are taken out.
With --update the tags of the services named, or of all, are looked up anew. Services of
inactive profiles are locked too.

A digest comes from what the Engine has pulled or, if it has nothing or with --update,
from the registry. An image that is in no registry has none; with pull_policy never or
build it is left out.
Containers are not replaced by a lock for what they run.

While there is a lock, an image that is not in it is a warning (not-locked), and so is an
entry that no service uses (stale-lock). Without the file, tags mean what they mean.`,
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, services []string) error {
			return c.lock(cmd.Context(), update, services)
		},
	}
	cmd.Flags().BoolVarP(&update, "update", "u", false, "look the tags up anew, in the registries")
	return cmd
}

func (c *cli) lock(ctx context.Context, update bool, services []string) error {
	source := c.source()
	path, err := compose.LockOf(source)
	if err != nil {
		return c.unreadable(err)
	}
	if path == "" {
		return &usageError{err: errors.New("a recipe from standard input or in a manifest has no file beside which a lock could be"), hint: "name the recipe's file with -f"}
	}
	source.Unlocked, source.Profiles = true, []string{"*"}
	project, _, err := compose.Load(ctx, source)
	if err != nil {
		return c.unreadable(err)
	}
	for _, name := range services {
		if err := knownService(project, name); err != nil {
			return err
		}
	}
	old, err := compose.ReadLock(path)
	if err != nil {
		return c.unreadable(err)
	}
	lock, err := c.newLock(ctx, project, old, update, services)
	if err != nil {
		return err
	}
	return c.writeLock(path, old, lock)
}

// newLock is the lock as it shall be: what is known stays, what is asked for or missing is looked up.
func (c *cli) newLock(ctx context.Context, p *compose.Project, old *compose.Lock, update bool, services []string) (*compose.Lock, error) {
	lock := &compose.Lock{Images: map[string]string{}}
	refs := map[string]string{} // to look up, by key
	asked := chosenImages(p, services)
	for _, ref := range p.Images() {
		key, ok := compose.LockKey(ref)
		if !ok {
			continue
		}
		if old != nil && old.Images[key] != "" {
			lock.Images[key] = old.Images[key]
		}
		if asked[ref] && (update || lock.Images[key] == "") {
			refs[key] = ref
		}
	}
	if len(refs) == 0 {
		return lock, nil
	}
	e, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	var have *engine.State
	if !update {
		if have, err = e.State(ctx, p.Name); err != nil {
			return nil, err
		}
	}
	digests, err := e.Digests(ctx, have, slices.Sorted(maps.Values(refs)))
	for key, ref := range refs {
		lock.Images[key] = digests[ref]
	}
	return lock, err
}

// chosenImages are the references that the services named use; without names, all. What is never pulled may have come from
// no registry, and is left out.
func chosenImages(p *compose.Project, services []string) map[string]bool {
	chosen := *p
	chosen.Services = slices.DeleteFunc(slices.Clone(p.Services), func(s *compose.Service) bool {
		return s.Pull.Policy == compose.PullNever || len(services) > 0 && !slices.Contains(services, s.Name)
	})
	asked := map[string]bool{}
	for _, ref := range chosen.Images() {
		asked[ref] = true
	}
	return asked
}

// writeLock writes the lock, unless it is as it was, and says what changed.
func (c *cli) writeLock(path string, old, lock *compose.Lock) error {
	if old == nil {
		old = &compose.Lock{}
	} else if maps.Equal(old.Images, lock.Images) {
		c.ui.say("%s: nothing to change", c.relative(path))
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(lock.Images)) {
		if lock.Images[key] != old.Images[key] {
			fmt.Fprintf(c.out, "+ %s %s\n", key, lock.Images[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(old.Images)) {
		if lock.Images[key] == "" {
			fmt.Fprintf(c.out, "- %s\n", key)
		}
	}
	if c.global.dryRun {
		return nil
	}
	if err := bosh.WriteFile(path, lock.Text()); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o644); err != nil { // it is no secret, and lies among the recipe's files
		return fmt.Errorf("writing the lock: %w", err)
	}
	return nil
}

// digestOf is a function that looks up the digest of an image, for what asks for one after the other.
func (c *cli) digestOf(ctx context.Context, project string) (lookUp func(ref string) (string, error), done func(), err error) {
	o, err := c.observe(ctx, project)
	if err != nil {
		return nil, nil, err
	}
	return func(ref string) (string, error) {
		digests, err := o.engine.Digests(ctx, o.state, []string{ref})
		return digests[ref], err
	}, func() { o.engine.Close() }, nil
}
