package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"galley/bosh"
	"galley/compose"
	"galley/engine"
)

// runFlags are the flags of the supervisor.
type runFlags struct {
	pidFile, logFile, logFormat, statusFile, onStop, socket, listen string
	logDir                                                          string
	ownRestarts, restartExited, noRepair, removeOrphans             bool
	resync                                                          time.Duration
	rollBackAfter                                                   time.Duration
	imports                                                         importFlags
}

// runCommand holds a project as its recipe wants it.
func (c *cli) runCommand() *cobra.Command {
	var r runFlags
	var o oneOffFlags
	var oneOff []string
	cmd := &cobra.Command{
		Use:   "run [flags] [SERVICE [COMMAND...]]",
		Short: "Supervise the project, or run a command once in a service's container",
		Long: `Bring the project up, and keep it as the recipe wants it until SIGTERM or SIGINT,
which leave the containers as they are. What died, was removed, renamed, detached or
changed by hand is put right, in the order of the recipe, with a growing pause between
one attempt and the next. It waits for events and never polls; every --resync
everything is read again.

SIGHUP loads the recipe again, and opens the log anew. Other commands work beside it:
what they change while they have their turn is understood. What galley stop or down
took away stays so until up or start, or until the supervisor starts anew.

Restarts are the Engine's, by the recipe's policies, and run sees to what the Engine
does not restart. With --own-restarts the Engine restarts nothing, and run applies the
policies itself: then nothing starts after a reboot before what it depends on. What
has no restart policy and ended by itself is left and reported; --restart-exited
starts it again. A one-shot that completed is never run again. With --log-dir the logs
of the containers are kept as files, DIR/SERVICE-NUMBER.log, without a gap.

An update that fails is put back, and stays so until the recipe is loaded again; but one
that fails because a disk is full or a registry can't be reached is tried again.

With a SERVICE, run is docker compose's: it brings up what the service needs, runs one
more container of it, with the COMMAND in place of the service's own, and returns its
exit code. Such a container is no replica; its ports are not published unless asked for.`,
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkRunFlags(cmd, oneOff, len(args) > 0); err != nil {
				return err
			}
			if len(args) > 0 {
				return c.runOnce(cmd.Context(), &o, r.removeOrphans, args[0], args[1:])
			}
			if c.global.dryRun {
				return c.foreseeHold(cmd.Context(), &r)
			}
			return c.hold(cmd.Context(), &r)
		},
	}
	cmd.Flags().SetInterspersed(false) // behind the service all belongs to the command
	oneOff = o.addTo(cmd.Flags())
	r.addTo(cmd.Flags(), c)
	return cmd
}

func (r *runFlags) addTo(f *pflag.FlagSet, c *cli) {
	f.StringVar(&r.pidFile, "pidfile", "", "write the process's id to `FILE`, at once")
	f.StringVar(&r.logFile, "log-file", "", "log to `FILE`, opened anew on SIGHUP (default: standard output)")
	f.Var(newChoice(&r.logFormat, "text", "text", "json"), "log-format", "form of the log: text, json")
	f.StringVar(&r.statusFile, "status", "", "write the status to `FILE` too; `galley help status` says what is in it")
	f.StringVar(&r.socket, "socket", "", "serve health, metrics and the status page on the unix socket `FILE`; while a service has failed it is at FILE.failing")
	f.StringVar(&r.listen, "listen", "", "serve them on the TCP `ADDRESS` too")
	f.BoolVar(&r.ownRestarts, "own-restarts", false, "restart containers by the recipe's policies, in place of the Engine")
	f.BoolVar(&r.restartExited, "restart-exited", false, "start also what ended by itself and has no restart policy")
	f.BoolVar(&r.noRepair, "no-repair", false, "report what is not as wanted, and change it only when a recipe is loaded")
	f.BoolVar(&r.removeOrphans, "remove-orphans", envBool(c.getenv("COMPOSE_REMOVE_ORPHANS")), "remove containers and networks of the project that the recipe does not define (COMPOSE_REMOVE_ORPHANS)")
	f.DurationVar(&r.rollBackAfter, "rollback-on-failure", 0, "put the last good project in the place of a recipe that is not up after `DURATION`")
	f.Lookup("rollback-on-failure").NoOptDefVal = "10m"
	f.Var(newChoice(&r.onStop, "leave", "leave"), "on-stop", "what becomes of the containers at the end: leave")
	r.imports.addTo(f)
	f.StringVar(&r.logDir, "log-dir", "", "keep the containers' logs in `DIR`, a file for each, put aside by size and age")
	f.DurationVar(&r.resync, "resync", 5*time.Minute, "`DURATION` after which everything is read again though nothing was heard")
}

// diff are the options of the plans that hold makes.
func (r *runFlags) diff() engine.DiffOptions {
	return engine.DiffOptions{RemoveOrphans: r.removeOrphans, OwnRestarts: r.ownRestarts}
}

// foreseeHold shows what hold would do at its beginning.
func (c *cli) foreseeHold(ctx context.Context, r *runFlags) error {
	s, err := c.survey(ctx, unguarded)
	if err != nil {
		return err
	}
	defer s.engine.Close()
	faults, err := c.importFirst(ctx, s, &r.imports)
	if err != nil {
		return err
	}
	_, err = c.showPlan(ctx, s, r.diff(), "text")
	return errors.Join(faults, err)
}

// hold runs the loop, with all that stands around it.
func (c *cli) hold(ctx context.Context, r *runFlags) error {
	if r.resync <= 0 {
		return &usageError{err: fmt.Errorf("--resync %s: must be positive", r.resync)}
	}
	if r.pidFile != "" {
		pid, err := bosh.WritePIDFile(r.pidFile)
		if err != nil {
			return err
		}
		defer func() { _ = pid.Remove() }() // a pidfile that stays is stale, and known to be
	}
	options, err := c.engineOptions()
	if err != nil {
		return err
	}
	log, reopen, err := c.openJournal(r)
	if err != nil {
		return err
	}
	name, err := compose.ProjectName(c.source())
	if err != nil {
		return c.unreadable(err)
	}
	lock, err := bosh.Acquire(ctx, c.paths().Supervisor(c.onEngine(name)), "galley run", false)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	turns, err := listenForTurns(c.paths().Control(c.onEngine(name)))
	if err != nil {
		return err
	}
	go turns.serve(ctx)
	s := &supervision{cli: c, flags: r, log: log, name: name, engine: options, thrift: newThrift()}
	defer s.thrift.end()
	if err := s.openStatus(); err != nil {
		return err
	}
	defer s.status.withdraw()
	keeping, err := s.keepLogs(ctx, name)
	if err != nil {
		return err
	}
	defer func() { stop(); keeping.Wait() }()
	end, err := s.serveHealth(ctx)
	if err != nil {
		return err
	}
	defer end()
	log.Info("supervising", "project", name, "pid", os.Getpid(), "version", c.version)
	err = engine.Run(ctx, s.options(s.onHangup(ctx, reopen), turns.requests))
	if err != nil {
		journal{log}.note(engine.Note{Kind: engine.NoteFailed, Err: err})
	}
	log.Info("ending; the containers are left as they are")
	return err
}

// keepLogs has the containers' logs kept as files, where that is asked for, until ctx ends. An Engine that is not there yet
// is waited for.
func (s *supervision) keepLogs(ctx context.Context, project string) (*sync.WaitGroup, error) {
	var keeping sync.WaitGroup
	if s.flags.logDir == "" {
		return &keeping, nil
	}
	files := engine.LogFiles{Dir: s.flags.logDir, Trouble: func(err error) { s.log.Error("a container's log is not kept", "error", err, "hint", hintFor(err)) }}
	if err := files.Usable(); err != nil {
		return nil, err
	}
	keeping.Go(func() {
		if err := engine.KeepLogs(ctx, s.engine, project, files); err != nil {
			files.Trouble(err)
		}
	})
	return &keeping, nil
}

// openJournal opens the log; reopen opens its file anew.
func (c *cli) openJournal(r *runFlags) (log *slog.Logger, reopen func() error, err error) {
	var to io.Writer = c.out
	reopen = func() error { return nil }
	if r.logFile != "" {
		file, err := openLog(r.logFile)
		if err != nil {
			return nil, nil, err
		}
		to, reopen = file, file.reopen
	}
	return newLogger(to, r.logFormat), reopen, nil
}

// supervision is what the loop is given: a command line's view of it.
type supervision struct {
	cli   *cli
	flags *runFlags
	log   *slog.Logger
	name  string
	// engine says which one it is.
	engine engine.Options
	// status is written at each change.
	status  *statusWriter
	metrics *metrics
	thrift  *thrift
}

// openStatus begins to say how the project is. A place where that can't be written is told before anything is touched.
func (s *supervision) openStatus() error {
	paths := []string{s.cli.statusPath(s.name)}
	if s.flags.statusFile != "" {
		paths = append(paths, s.flags.statusFile)
	}
	s.status = newStatusWriter(func(err error) { s.log.Error("the status can't be written", "error", err, "hint", hintFor(err)) }, paths...)
	s.status.ownRestarts = s.flags.ownRestarts
	return s.status.begin(s.name)
}

// onHangup opens the log anew and has the recipe loaded again at each SIGHUP. Several at once are one.
func (s *supervision) onHangup(ctx context.Context, reopen func() error) <-chan struct{} {
	hangups, reload := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hangups)
		for {
			select {
			case <-hangups:
			case <-ctx.Done():
				return
			}
			if err := reopen(); err != nil {
				s.log.Error("the log goes on in the old file", "error", err)
			}
			select {
			case reload <- struct{}{}:
			default:
			}
		}
	}()
	return reload
}

// options are the loop's.
func (s *supervision) options(reload <-chan struct{}, turns <-chan engine.Turn) engine.RunOptions {
	j := journal{s.log}
	return engine.RunOptions{
		Engine:        s.engine,
		Load:          s.load,
		Lock:          s.lock,
		Reload:        reload,
		Turns:         turns,
		Diff:          s.flags.diff(),
		Resync:        s.flags.resync,
		RestartExited: s.flags.restartExited,
		NoRepair:      s.flags.noRepair,
		Step:          j.step,
		Note: func(n engine.Note) {
			j.note(n)
			s.metrics.note(n)
			s.thrift.noticed()
		},
		Publish: func(r engine.Report) {
			s.status.publish(r)
			s.thrift.noticed()
		},
		Prepare:       s.prepare,
		LastGood:      s.lastGood,
		Save:          s.keep,
		RollBackAfter: s.flags.rollBackAfter,
	}
}

// load reads the recipe and logs its warnings.
func (s *supervision) load(ctx context.Context) (*compose.Project, error) {
	project, diagnostics, err := compose.Load(ctx, s.cli.source())
	if err != nil {
		return nil, s.cli.unreadable(err)
	}
	for _, d := range s.cli.nearby(diagnostics) {
		if d.Severity == compose.Warning {
			s.log.Warn(located(d), "hint", d.Hint)
		}
	}
	return project, nil
}

// lock takes the project's lock for a change, once whoever has it gives it back.
func (s *supervision) lock(ctx context.Context, project string) (func(), error) {
	lock, err := bosh.Acquire(ctx, s.cli.lockPath(project), "galley run", true)
	if err != nil {
		if held := (*bosh.HeldError)(nil); errors.As(err, &held) && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	s.cli.locked.Store(project, true)
	return func() {
		s.cli.locked.Delete(project)
		_ = lock.Release() // the kernel gives a lock back with its file in any case
	}, nil
}
