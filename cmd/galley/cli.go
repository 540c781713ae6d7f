package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"galley/compose"
)

// cli is the program: its surroundings, its global flags, and what the commands share.
type cli struct {
	stdin       io.Reader
	out, err    io.Writer
	environ     []string
	dir         string
	version     string
	global      globals
	ui          *ui
	stdinText   []byte
	stdinIsRead bool
	// locked are the projects that this process may change.
	locked sync.Map
	// named are the services that the command line names.
	named []string
	at    at
}

// globals are the flags that stand before the command, by the names that docker compose gives them.
type globals struct {
	files, profiles, envFiles      []string
	projectName, projectDir        string
	host, context                  string
	recipe, authFile               string
	ansi, progress                 string
	parallel                       int
	pullRoom                       room
	compatibility, dryRun, version bool
}

// newCLI takes the surroundings from the process.
func newCLI() *cli {
	c := &cli{stdin: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ(), version: buildVersion()}
	// Getwd fails only in a directory that was removed; then every relative path fails, with its own message.
	c.dir, _ = os.Getwd()
	c.environ = append(c.environ, "PWD="+cmp.Or(c.getenv("GALLEY_PWD"), c.getenv("PWD"), c.dir))
	c.ui = newUI(c.out, c.err, "auto", "auto", c.getenv)
	return c
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// getenv reads the environment that the program was given. As everywhere, the last entry of a name counts.
func (c *cli) getenv(key string) string {
	for _, entry := range slices.Backward(c.environ) {
		if value, ok := strings.CutPrefix(entry, key+"="); ok {
			return value
		}
	}
	return ""
}

// execute runs the command line and returns the exit code.
func (c *cli) execute(ctx context.Context, args []string) int {
	err := c.run(ctx, args)
	if is[interruption](context.Cause(ctx)) && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted") // not by what was asked at that moment
	}
	if err != nil {
		c.report(err)
	}
	return exitCode(ctx, err)
}

func (c *cli) run(ctx context.Context, args []string) error {
	begun := false
	root := c.root(func() { begun = true })
	root.SetArgs(args)
	root.SetIn(c.stdin)
	root.SetOut(c.out)
	root.SetErr(c.err)
	err := root.ExecuteContext(ctx)
	var usage *usageError
	if err != nil && !begun && !errors.As(err, &usage) {
		err = &usageError{err: err, hint: "`galley help` lists commands and flags"}
	}
	return err
}

// commands are all there are; a further one is a file with its constructor, and a line here.
func (c *cli) commands() []*cobra.Command {
	return []*cobra.Command{
		c.checkCommand(),
		c.configCommand(),
		c.planCommand(),
		c.upCommand(),
		c.createCommand(),
		c.cpCommand(),
		c.runCommand(),
		c.rollbackCommand(),
		c.waitCommand(),
		c.statusCommand(),
		c.psCommand(),
		c.logsCommand(),
		c.execCommand(),
		c.attachCommand(),
		c.eventsCommand(),
		c.topCommand(),
		c.statsCommand(),
		c.portCommand(),
		c.lsCommand(),
		c.volumesCommand(),
		c.imagesCommand(),
		c.pruneCommand(),
		c.importCommand(),
		c.exportCommand(),
		c.startCommand(),
		c.restartCommand(),
		c.scaleCommand(),
		c.pullCommand(),
		c.lockCommand(),
		c.loginCommand(),
		c.logoutCommand(),
		c.daemonConfigCommand(),
		c.stopCommand(),
		c.killCommand(),
		c.pauseCommand(),
		c.unpauseCommand(),
		c.rmCommand(),
		c.downCommand(),
		c.boshCommand(),
		c.versionCommand(),
		exitCodesHelp(),
		environmentHelp(),
		codesHelp(),
		extensionsHelp(),
	}
}

// root builds the tree of commands. begun is called when the command line was understood.
func (c *cli) root(begun func()) *cobra.Command {
	root := &cobra.Command{
		Use:   "galley",
		Short: "Run Docker Compose recipes on one machine's Docker Engine",
		Long: `Galley runs Docker Compose recipes on one machine's Docker Engine.

It reads a recipe, compares it with what the Engine has, and does what is missing:
check reads, plan compares and shows, up compares and does.`,
		SilenceErrors:    true,
		SilenceUsage:     true,
		TraverseChildren: true,
		Args:             c.onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.global.version {
				return c.printVersion("pretty", false)
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.readEnvFile(cmd); err != nil {
				return err
			}
			if err := checkDefaults(cmd.Root().Flags()); err != nil {
				return err
			}
			c.ui = newUI(c.out, c.err, c.global.ansi, c.global.progress, c.getenv)
			begun()
			return nil
		},
	}
	c.addGlobals(root.Flags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err: err, hint: fmt.Sprintf("`%s --help` lists its flags", cmd.CommandPath())}
	})
	root.Flags().BoolVarP(&c.global.version, "version", "v", false, "show Galley's version")
	for _, cmd := range c.commands() {
		lendFlags(root.Flags(), cmd.Flags())
		root.AddCommand(cmd)
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// onlyCommands refuses what is no command, with the one that was perhaps meant.
func (c *cli) onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := &usageError{err: fmt.Errorf("unknown command: %q", args[0]), hint: "`galley help` lists the commands"}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err.hint = fmt.Sprintf("did you mean `galley %s`?", near[0])
	}
	return err
}

// refuseDryRun lets commands that change something, and are more than a plan, say so instead of doing it.
func (c *cli) refuseDryRun(hint string, commands ...*cobra.Command) {
	for _, cmd := range commands {
		do := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if c.global.dryRun {
				return &usageError{err: fmt.Errorf("%s has no plan to show, so it takes no --dry-run", cmd.CommandPath()), hint: hint}
			}
			return do(cmd, args)
		}
	}
}

// readEnvFile takes the settings that the env files hold for flags that were not given and whose variables are not set, as
// docker compose does. Files that can't be read are told of by whoever needs them.
func (c *cli) readEnvFile(cmd *cobra.Command) error {
	g := c.global
	env, err := compose.Environment(compose.Source{
		Files: slices.DeleteFunc(slices.Clone(g.files), func(file string) bool { return file == "-" }),
		Dir:   c.dir, ProjectDir: g.projectDir, EnvFiles: g.envFiles, Environ: c.environ,
	})
	if err != nil {
		return nil
	}
	for flag, variable := range map[string]string{
		"ansi": "COMPOSE_ANSI", "progress": "COMPOSE_PROGRESS", "parallel": "COMPOSE_PARALLEL_LIMIT",
		"compatibility": "COMPOSE_COMPATIBILITY", "remove-orphans": "COMPOSE_REMOVE_ORPHANS", "ignore-orphans": "COMPOSE_IGNORE_ORPHANS",
	} {
		f, value := cmd.Flags().Lookup(flag), env[variable]
		if f == nil || value == "" || c.getenv(variable) != "" || f.Changed || cmd.Root().Flags().Changed(flag) {
			continue
		}
		if f.Value.Type() == "bool" {
			value = strconv.FormatBool(envBool(value))
		}
		if err := f.Value.Set(value); err != nil {
			return &usageError{err: fmt.Errorf("the env file's value %q for --%s: %w", value, flag, err)}
		}
	}
	return nil
}

// addGlobals declares the flags that every command has. Their defaults come from the variables that docker compose reads.
func (c *cli) addGlobals(f *pflag.FlagSet) {
	g := &c.global
	f.StringArrayVarP(&g.files, "file", "f", nil, "recipe `FILE`, \"-\" for standard input, or a BOSH manifest; several are merged (COMPOSE_FILE)")
	f.StringVarP(&g.projectName, "project-name", "p", "", "project `NAME` (COMPOSE_PROJECT_NAME)")
	f.StringVar(&g.projectDir, "project-directory", "", "`DIR` that the recipe's relative paths start from (default: the first file's)")
	f.StringArrayVar(&g.profiles, "profile", nil, "`PROFILE` to enable; repeatable (COMPOSE_PROFILES)")
	f.StringArrayVar(&g.envFiles, "env-file", nil, "environment `FILE` for interpolation; repeatable (default: .env)")
	f.StringVarP(&g.host, "host", "H", "", "`ADDRESS` of the Engine (DOCKER_HOST; default: the local socket)")
	f.StringVar(&g.context, "context", "", "`NAME` of the docker command line's context whose Engine it is (DOCKER_CONTEXT; default: the one in use)")
	f.StringVar(&g.authFile, "registry-auth-file", "", "`FILE` with the credentials of registries (default: config.json in DOCKER_CONFIG or ~/.docker)")
	f.StringVar(&g.recipe, "recipe", "", "recipe `GROUP/JOB` of a BOSH manifest that holds several")
	f.Var(newChoice(&g.ansi, either(c.getenv("COMPOSE_ANSI"), "auto"), "auto", "never", "always"), "ansi", "print colours and control characters: auto, never, always (COMPOSE_ANSI)")
	f.Var(newChoice(&g.progress, either(c.getenv("COMPOSE_PROGRESS"), "auto"), "auto", "tty", "plain", "quiet", "json"), "progress", "how to show progress: auto, tty, plain, quiet, json (COMPOSE_PROGRESS)")
	f.IntVar(&g.parallel, "parallel", envInt(c.getenv("COMPOSE_PARALLEL_LIMIT"), -1), "`NUMBER` of Engine calls at a time; -1 is Galley's own choice (COMPOSE_PARALLEL_LIMIT)")
	f.BoolVar(&g.compatibility, "compatibility", envBool(c.getenv("COMPOSE_COMPATIBILITY")), "join container names with \"_\" (COMPOSE_COMPATIBILITY)")
	f.Var(&g.pullRoom, "pull-room", "`SIZE` that must be free on the engine's disk before a pull or an import; 0 does not look (default: 256MB)")
	f.BoolVar(&g.dryRun, "dry-run", false, "show the plan and change nothing")
}

// lendFlags lets the global flags stand behind the command too, hidden from its help. Where the command has a flag of that
// name it keeps it, and where only the letter is taken the long name remains.
func lendFlags(global, own *pflag.FlagSet) {
	global.VisitAll(func(f *pflag.Flag) {
		if own.Lookup(f.Name) != nil || f.Name == "version" {
			return
		}
		lent := *f
		lent.Hidden = true
		if f.Shorthand != "" && own.ShorthandLookup(f.Shorthand) != nil {
			lent.Shorthand = ""
		}
		own.AddFlag(&lent)
	})
}

// choice is a flag's value out of a few.
type choice struct {
	value   *string
	options []string
}

// newChoice sets the value to its default, which may come from the environment and be wrong: see [checkDefaults].
func newChoice(value *string, initial string, options ...string) *choice {
	*value = initial
	return &choice{value, options}
}

// checkDefaults refuses a default that is none of a choice's options.
func checkDefaults(f *pflag.FlagSet) (err error) {
	f.VisitAll(func(flag *pflag.Flag) {
		if c, ok := flag.Value.(*choice); ok && c.Set(c.String()) != nil {
			err = &usageError{err: fmt.Errorf("the environment's value %q for --%s: %w", c.String(), flag.Name, c.Set(c.String()))}
		}
	})
	return err
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return "WHEN" }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.options, s) {
		words := slices.DeleteFunc(slices.Clone(c.options), func(o string) bool { return o == "" })
		return fmt.Errorf("must be one of %s", strings.Join(words, ", "))
	}
	*c.value = s
	return nil
}

// room is a flag's value of a size, of which 0 means that it isn't looked at.
type room struct {
	bytes int64
}

func (*room) Type() string   { return "SIZE" }
func (*room) String() string { return "" }

func (r *room) Set(text string) error {
	bytes, err := units.FromHumanSize(text)
	if err != nil {
		return fmt.Errorf("must be a size, as 500MB: %w", err)
	}
	if r.bytes = bytes; bytes == 0 {
		r.bytes = -1
	}
	return nil
}

// either is a, or b where a is empty.
func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// envBool reads a switch as docker compose does: what can't be understood is off.
func envBool(value string) bool {
	on, _ := strconv.ParseBool(strings.ToLower(value))
	return on || value == "y" || value == "yes" || value == "on"
}

func envInt(value string, otherwise int) int {
	if n, err := strconv.Atoi(value); err == nil {
		return n
	}
	return otherwise
}
