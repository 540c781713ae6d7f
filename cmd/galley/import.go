package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"galley/compose"
	"galley/engine"
	"galley/imports"
)

// importFlags say which tarballs to import; up, run and check have them as --import.
type importFlags struct {
	globs    []string
	root     string
	parallel int
}

// importLists is where the lists of BOSH jobs are, as seen from the root.
const importLists = "/var/vcap/jobs/*/docker-bosh-release-import/*.lst"

// importCommand loads exported images.
func (c *cli) importCommand() *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "import [flags] [GLOB...]",
		Short: "Load exported images that the Engine lacks",
		Long: `Load the images in tarballs that the Engine lacks, several at a time, and give them
their tags. What is there already is told by its digests, without loading it; tarballs
that did not change since they were last read are not read again.

Each GLOB names tarballs, or, if they end in .lst, lists of tarballs, as
"galley images --tarballs" reads them; one that matches nothing is an error. Without GLOB
they are those of BOSH jobs, if there are any:
` + importLists + `

A tarball is compared with its digests while it is loaded, and what its images are
called is told to the Engine last: one that is broken leaves nothing behind, and what
another one holds too is loaded from that. Every tarball that can't be used is told, with
the line that lists it; the others are loaded, and the exit code is 1.

It takes less than 50 MB of memory, however large the tarballs are. Unpacking xz and zstd
takes as much as they were packed with: 8 MB after xz -6 or zstd -19, but 64 MB after
xz -9 and 128 MB after zstd --ultra -22. What was packed with more than 24 MB is loaded
alone, and that much comes on top; more than 128 MB, as after zstd --long=31, is refused.

An image that the recipe names by a registry's digest, NAME@sha256:..., itself or by its
lock, is recognised by that digest in tarballs that hold its manifest, as OCI archives of
skopeo, podman and buildx do, whatever they call it: "up --import" finds it so, and import
with -f RECIPE.

Of several tarballs that give the same tag to different images the last one counts.`,
		RunE: func(cmd *cobra.Command, globs []string) error {
			flags.globs = globs
			return c.importOnly(cmd.Context(), &flags)
		},
	}
	flags.addRoot(cmd.Flags())
	cmd.Flags().IntVar(&flags.parallel, "import-parallel", 0, "load `NUMBER` tarballs at once (default: one for each CPU)")
	return cmd
}

func (i *importFlags) addRoot(f *pflag.FlagSet) {
	f.StringVar(&i.root, "root", "", "`DIR` to take for / in the default GLOB and in lists")
}

// addTo declares --import for commands that import before they do something else.
func (i *importFlags) addTo(f *pflag.FlagSet) {
	f.StringArrayVar(&i.globs, "import", nil, "load the tarballs that `GLOB` names before; repeatable (without GLOB: those of BOSH jobs)")
	f.Lookup("import").NoOptDefVal = importLists
	f.IntVar(&i.parallel, "import-parallel", 0, "import `NUMBER` tarballs at once (default: one for each CPU)")
}

// patterns are the GLOBs, or the default one.
func (i *importFlags) patterns() []string {
	if len(i.globs) == 0 {
		return []string{filepath.Join(either(i.root, "/"), importLists)}
	}
	return i.globs
}

// unmatched tells of each GLOB that somebody wrote and that matches nothing.
func (i *importFlags) unmatched() (errs []error) {
	for _, glob := range imports.Unmatched(i.globs...) {
		if glob != importLists {
			errs = append(errs, fmt.Errorf("%q matches no file", glob))
		}
	}
	return errs
}

// thriftyScanner reads tarballs in little memory. It has garbage collected early, of which each decoder of xz leaves as much
// as it has taken; the collector would leave several times that. It is no hard limit.
func thriftyScanner() imports.Scanner {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(32 << 20)
	}
	return imports.Scanner{Memory: imports.NewMemory()}
}

// scanner is one that remembers tarballs from one time to the next.
func (c *cli) scanner(root string) imports.Scanner {
	s := thriftyScanner()
	s.Root, s.Record = root, imports.OpenRecord(filepath.Join(c.paths().State, "tarballs"))
	return s
}

// importer loads what tarballs hold and an Engine lacks, and tells of it in its caller's way.
type importer struct {
	scanner  imports.Scanner
	patterns []string
	parallel int
	// refs are what the recipe calls its images.
	refs  []string
	apply func(context.Context, *engine.Engine, *engine.Plan) error
	warn  func(text string)
	say   func(text string)
}

// importer shows its progress on the terminal.
func (c *cli) importer(flags *importFlags) *importer {
	return &importer{
		scanner: c.scanner(flags.root), patterns: flags.patterns(), parallel: flags.parallel,
		warn: c.ui.warn,
		say: func(text string) {
			if !c.global.dryRun {
				c.ui.say("%s", text)
			}
		},
		apply: func(ctx context.Context, e *engine.Engine, plan *engine.Plan) error {
			if c.global.dryRun {
				return c.printPlan(plan, "text")
			}
			show := c.follow(ctx, e, "import", len(plan.Steps))
			defer show.close()
			return e.Apply(ctx, plan)
		},
	}
}

func (c *cli) importOnly(ctx context.Context, flags *importFlags) error {
	i := c.importer(flags)
	if len(c.global.files) > 0 {
		project, err := c.load(ctx)
		if err != nil {
			return err
		}
		i.refs = project.Images()
	}
	archives, faults := i.scanner.Scan(ctx, i.patterns...)
	faults = errors.Join(append(flags.unmatched(), faults)...)
	if ctx.Err() != nil || len(archives) == 0 && faults != nil {
		return faults
	}
	e, err := c.connect(ctx)
	if err != nil {
		return errors.Join(faults, err)
	}
	defer e.Close()
	return i.load(ctx, e, archives, faults)
}

// importFirst imports before up does anything else, if that was asked for; see [importer.before].
func (c *cli) importFirst(ctx context.Context, s *survey, flags *importFlags) (faults, err error) {
	if len(flags.globs) == 0 {
		return nil, nil
	}
	for _, err := range flags.unmatched() {
		c.ui.warn("import: " + err.Error())
	}
	faults, err = c.importer(flags).before(ctx, s.engine, s.project)
	if c.global.dryRun {
		return errors.Join(faults, err), nil // the recipe's plan is shown in any case
	}
	if err == nil {
		s.state, err = s.engine.State(ctx, s.project.Name)
	}
	return faults, err
}

// before imports before a recipe is brought up. What went wrong ends it, before anything is touched, as long as the Engine
// lacks an image of the recipe. Where it has them all, as after a reboot, the recipe does not suffer from a tarball: faults
// are what is to be told then.
func (i *importer) before(ctx context.Context, e *engine.Engine, project *compose.Project) (faults, err error) {
	i.refs = project.Images()
	archives, faults := i.scanner.Scan(ctx, i.patterns...)
	if ctx.Err() != nil {
		return nil, faults
	}
	if faults = i.load(ctx, e, archives, faults); faults == nil {
		return nil, nil
	}
	state, err := e.State(ctx, project.Name)
	if err != nil {
		return nil, errors.Join(faults, err)
	}
	if missing := state.MissingImages(project); len(missing) > 0 {
		return nil, errors.Join(faults, fmt.Errorf("the engine lacks %s: nothing was changed", quotedList(missing)))
	}
	return faults, nil
}

// quotedList joins quoted texts.
func quotedList(texts []string) string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = strconv.Quote(text)
	}
	return strings.Join(all, ", ")
}

// load has the Engine load what it lacks of archives, and adds what goes wrong to the faults of their scan.
func (i *importer) load(ctx context.Context, e *engine.Engine, archives []imports.Archive, faults error) error {
	options := engine.LoadOptions{Scanner: i.scanner, Parallel: i.parallel, Refs: i.refs}
	plan, err := e.PlanLoad(ctx, archives, options)
	if err != nil {
		return errors.Join(faults, err)
	}
	for _, warning := range plan.Warnings {
		i.warn(warning)
	}
	plan.Warnings = nil
	if !plan.Empty() {
		err = i.apply(ctx, e, plan)
	}
	for broken := tarballsIn(err); len(broken) > 0 && ctx.Err() == nil; {
		options.Broken = append(options.Broken, broken...)
		var again error
		broken, again = i.loadElsewhere(ctx, e, archives, options)
		err = errors.Join(err, again)
	}
	if saving := i.scanner.Record.Save(); saving != nil {
		i.warn(saving.Error())
	}
	if err == nil && (faults == nil || imagesHere(archives) > 0) {
		i.say("import: " + importSummary(archives, plan))
	}
	return errors.Join(faults, err)
}

// loadElsewhere loads the images of broken tarballs that others hold too, and returns which of those are broken as well.
func (i *importer) loadElsewhere(ctx context.Context, e *engine.Engine, archives []imports.Archive, options engine.LoadOptions) (broken []string, err error) {
	plan, err := e.PlanLoad(ctx, archives, options)
	if err != nil || plan.Empty() {
		return nil, err
	}
	plan.Warnings = nil // they were told
	err = i.apply(ctx, e, plan)
	return tarballsIn(err), err
}

// tarballsIn are the paths of the tarballs that an error tells of.
func tarballsIn(err error) []string {
	var one *imports.Error
	joined, several := err.(interface{ Unwrap() []error })
	switch {
	case several:
		var all []string
		for _, err := range joined.Unwrap() {
			all = append(all, tarballsIn(err)...)
		}
		return all
	case errors.As(err, &one):
		return []string{one.Path}
	}
	return nil
}

// importSummary counts images: "3 images loaded, 17 there already".
func importSummary(archives []imports.Archive, plan *engine.Plan) string {
	all, loaded := imagesHere(archives), len(plan.Loads())
	switch {
	case len(archives) == 0:
		return "there are no tarballs"
	case plan.Empty():
		return fmt.Sprintf("nothing to do, %s there already", plural(all, "image"))
	}
	return fmt.Sprintf("%s loaded, %d there already", plural(loaded, "image"), all-loaded)
}

// imagesHere is how many images of archives this machine runs.
func imagesHere(archives []imports.Archive) int {
	images := map[string]bool{}
	for _, a := range archives {
		for _, img := range a.Images {
			if img.Runs {
				images[img.ID] = true
			}
		}
	}
	return len(images)
}
