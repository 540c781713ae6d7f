package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"

	"galley/bosh"
	"galley/compose"
	"galley/engine"
)

// source is where the recipe is, as the global flags say.
func (c *cli) source() compose.Source {
	g := c.global
	return compose.Source{
		Files:         g.files,
		Stdin:         c.standardInput(),
		Dir:           c.dir,
		ProjectDir:    g.projectDir,
		Name:          g.projectName,
		Profiles:      g.profiles,
		Services:      c.named,
		EnvFiles:      g.envFiles,
		Key:           c.paths().Key,
		Environ:       c.environ,
		Recipe:        g.recipe,
		Compatibility: g.compatibility,
	}
}

// standardInput is read once and handed out as often as it is asked for: the name and the recipe are read side by side.
func (c *cli) standardInput() io.Reader {
	if !slices.Contains(c.global.files, "-") && c.getenv("COMPOSE_FILE") != "-" {
		return nil
	}
	if !c.stdinIsRead {
		// A broken standard input shows as a broken recipe.
		c.stdinText, _ = io.ReadAll(c.stdin)
		c.stdinIsRead = true
	}
	return bytes.NewReader(c.stdinText)
}

// load reads the recipe and prints its warnings.
func (c *cli) load(ctx context.Context) (*compose.Project, error) {
	project, diagnostics, err := compose.Load(ctx, c.source())
	if err != nil {
		return nil, c.unreadable(err)
	}
	c.warnOf(diagnostics)
	return project, nil
}

// warnOf prints the warnings among findings.
func (c *cli) warnOf(diagnostics []compose.Diagnostic) {
	for _, d := range c.nearby(diagnostics) {
		if d.Severity == compose.Warning {
			c.ui.warn(located(d))
			c.ui.hint(d.Hint)
		}
	}
}

// unreadable is the error of a recipe that there is no going on with.
func (c *cli) unreadable(err error) error {
	if invalid := (*compose.InvalidError)(nil); errors.As(err, &invalid) {
		err = &compose.InvalidError{Diagnostics: c.nearby(invalid.Diagnostics)}
	}
	return &recipeError{err}
}

// nearby gives findings with their files as seen from the working directory.
func (c *cli) nearby(diagnostics []compose.Diagnostic) []compose.Diagnostic {
	near := slices.Clone(diagnostics)
	for i := range near {
		near[i].File = c.relative(near[i].File)
	}
	return near
}

// connect reaches the Engine.
func (c *cli) connect(ctx context.Context) (*engine.Engine, error) {
	opts, err := c.engineOptions()
	if err != nil {
		return nil, err
	}
	return engine.Connect(ctx, opts)
}

// engineOptions say which Engine to talk to, as the global flags do, and where Galley's own files for it are.
func (c *cli) engineOptions() (engine.Options, error) {
	at, err := c.address()
	if err != nil {
		return engine.Options{}, err
	}
	files, inMemory := c.paths().Files(os.Getuid())
	return engine.Options{
		Host:        at.Host,
		TLS:         at.TLS,
		Version:     c.version,
		Parallel:    c.global.parallel,
		PullRoom:    c.global.pullRoom.bytes,
		FilesDir:    files,
		FilesOnDisk: !inMemory,
		Memory:      &memoryFile{c},
		Credentials: c.registryCredentials,
	}, nil
}

// survey is the recipe beside what the Engine has: all that a plan is made of.
type survey struct {
	project *compose.Project
	observed
}

// observed is a connected Engine and what it has of a project.
type observed struct {
	engine *engine.Engine
	state  *engine.State
}

func (c *cli) observe(ctx context.Context, project string) (observed, error) {
	e, err := c.connect(ctx)
	if err != nil {
		return observed{}, err
	}
	state, err := e.State(ctx, project)
	if err != nil {
		e.Close()
		return observed{}, err
	}
	return observed{e, state}, nil
}

// survey reads the recipe and asks the Engine at the same time: either takes about as long as the other. An invalid recipe
// is reported whatever the Engine says. guard is called with the project's name before the Engine is asked.
func (c *cli) survey(ctx context.Context, guard func(project string) error) (*survey, error) {
	name, err := compose.ProjectName(c.source())
	if err != nil {
		return c.surveyLate(ctx, guard)
	}
	if err := guard(name); err != nil {
		return nil, err
	}
	type answer struct {
		observed
		err error
	}
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, 1)
	go func() {
		o, err := c.observe(asking, name)
		answers <- answer{o, err}
	}()
	project, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	a := <-answers
	if a.err != nil {
		return nil, a.err
	}
	if project.Name == name {
		return &survey{project, a.observed}, nil
	}
	if err := guard(project.Name); err != nil {
		return nil, err
	}
	a.state, err = a.engine.State(ctx, project.Name)
	return &survey{project, a.observed}, err
}

// surveyLate asks the Engine after the recipe was read, since only the recipe knows the project's name.
func (c *cli) surveyLate(ctx context.Context, guard func(project string) error) (*survey, error) {
	project, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	if err := guard(project.Name); err != nil {
		return nil, err
	}
	o, err := c.observe(ctx, project.Name)
	return &survey{project, o}, err
}

// beside completes a plan's options: where the project's supervisor restarts the containers itself, the recipe's restart
// policies are its own affair, and a plan that gave them to the Engine would fight it.
func (c *cli) beside(project string, opts engine.DiffOptions) engine.DiffOptions {
	status, err := bosh.ReadStatus(c.statusPath(project))
	opts.OwnRestarts = err == nil && status.OwnRestarts && status.Alive()
	return opts
}

// unguarded is the guard of what changes nothing.
func unguarded(string) error { return nil }

// locks are those that a command holds, given back together.
type locks struct {
	cli   *cli
	held  map[string]*bosh.Lock
	turns []*turn
}

// guard returns the guard of a command that changes a project: nobody else may change it at the same time, and its
// supervisor, where there is one, lets the command have its turn. With wait the command waits for others. With --dry-run
// nothing is changed, so that nobody is kept out.
func (c *cli) guard(ctx context.Context, command string, wait bool) (func(project string) error, *locks) {
	l := locks{cli: c, held: map[string]*bosh.Lock{}}
	if c.global.dryRun {
		return unguarded, &l
	}
	return func(project string) error {
		turn, err := c.takeTurn(ctx, project, command, wait)
		if err != nil {
			return err
		}
		l.turns = append(l.turns, turn)
		lock, err := bosh.Acquire(ctx, c.lockPath(project), "galley "+command, wait)
		if err == nil {
			l.held[project] = lock
			c.locked.Store(project, true)
		}
		return err
	}, &l
}

// release gives the locks back; more than once does no harm.
func (l *locks) release() {
	for project, lock := range l.held {
		l.cli.locked.Delete(project)
		// The kernel gives a lock back with its file in any case.
		_ = lock.Release()
	}
	clear(l.held)
	for _, turn := range l.turns {
		turn.end()
	}
	l.turns = nil
}

// tell lets the supervisor, where there is one, know what the command is about to do.
func (l *locks) tell(w engine.Wish) error {
	for _, turn := range l.turns {
		if err := turn.tell(w); err != nil {
			return err
		}
	}
	return nil
}

// paths are where the few files of Galley's own are.
func (c *cli) paths() bosh.Paths { return bosh.UserPaths(os.Getuid(), c.getenv) }

// lockPath names the lock of a project on an Engine.
func (c *cli) lockPath(project string) string { return c.paths().Lock(c.onEngine(project)) }

// onEngine tells projects of one name on two Engines apart.
func (c *cli) onEngine(project string) string {
	at, err := c.address()
	if err != nil || at.Host == "" { // without an address nothing is done that needs to be told apart
		return project
	}
	sum := fnv.New64a()
	io.WriteString(sum, at.Host)
	return fmt.Sprintf("%s@%x", project, sum.Sum64())
}
