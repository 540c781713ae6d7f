package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// builtin is a command: it gets its arguments, and returns its exit code and whether the script goes on.
type builtin func(*shell, []string) (int, outcome)

// commands are all that a container can run besides its own files.
func commands() map[string]builtin {
	return map[string]builtin{
		"true": yes, ":": yes, "false": no, "exit": exit, "return": exit, "break": breaks, "continue": continues,
		"echo": echo, "printf": printf, "cat": cat, "sleep": sleep, "sh": sh, "ash": sh, "bash": sh, "exec": execIn, "busybox": busybox,
		"test": test, "[": bracket, "touch": touch, "rm": remove, "mkdir": mkdir, "ls": ls, "cd": cd, "pwd": pwd,
		"env": env, "printenv": printenv, "export": export, "set": set_, "trap": trap, "wait": wait, "kill": kill, "read": read,
		"id": id, "hostname": hostname, "tail": tail, "grep": grep, "date": date, "httpd": forever, "nc": forever, "wget": no,
	}
}

// isCommand tells whether a container can run it without a file of its own. What only a shell knows is none.
func isCommand(name string) bool {
	if slices.Contains([]string{":", "exit", "return", "break", "continue", "cd", "export", "set", "trap", "wait", "read", "exec"}, name) {
		return false
	}
	return commands()[name] != nil
}

func yes(*shell, []string) (int, outcome) { return 0, goOn }
func no(*shell, []string) (int, outcome)  { return 1, goOn }

func breaks(*shell, []string) (int, outcome)    { return 0, breakLoop }
func continues(*shell, []string) (int, outcome) { return 0, continueLoop }

func exit(s *shell, args []string) (int, outcome) {
	if len(args) == 0 {
		return s.last, leave
	}
	code, err := strconv.Atoi(args[0])
	if err != nil {
		fmt.Fprintf(s.stderr, "sh: Illegal number: %s\n", args[0])
		return 2, leave
	}
	return code & 0xff, leave
}

func echo(s *shell, args []string) (int, outcome) {
	end := "\n"
	for len(args) > 0 && (args[0] == "-n" || args[0] == "-e") {
		if args[0] == "-n" {
			end = ""
		}
		args = args[1:]
	}
	_, err := io.WriteString(s.stdout, strings.Join(args, " ")+end)
	return failed(err)
}

func failed(err error) (int, outcome) {
	if err != nil {
		return 1, goOn
	}
	return 0, goOn
}

func printf(s *shell, args []string) (int, outcome) {
	if len(args) == 0 {
		return 2, goOn
	}
	format := strings.NewReplacer(`\n`, "\n", `\t`, "\t", `%%`, "%").Replace(args[0])
	for _, arg := range args[1:] {
		format = strings.Replace(strings.Replace(format, "%d", "%s", 1), "%s", arg, 1)
	}
	_, err := io.WriteString(s.stdout, strings.ReplaceAll(format, "%s", ""))
	return failed(err)
}

// input is the standard input, which ends with the container.
func (s *shell) input() io.Reader {
	if pipe, ok := s.stdin.(*stdinPipe); ok {
		return readerFunc(func(p []byte) (int, error) { return pipe.readOr(s.ctx, p) })
	}
	return s.stdin
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// sleepTime adds up sleep's arguments; negative is for ever.
func sleepTime(args []string) (time.Duration, error) {
	if len(args) == 0 {
		return 0, fmt.Errorf("missing operand")
	}
	var total time.Duration
	for _, arg := range args {
		if arg == "inf" || arg == "infinity" {
			return -1, nil
		}
		if !strings.ContainsAny(arg[max(0, len(arg)-1):], "smhd") {
			arg += "s"
		}
		days := strings.HasSuffix(arg, "d")
		if days {
			arg = strings.TrimSuffix(arg, "d") + "h"
		}
		d, err := time.ParseDuration(arg)
		if err != nil {
			return 0, fmt.Errorf("invalid number '%s'", arg)
		}
		if days {
			d *= 24
		}
		total += d
	}
	return total, nil
}

func sleep(s *shell, args []string) (int, outcome) {
	d, err := sleepTime(args)
	if err != nil {
		fmt.Fprintf(s.stderr, "sleep: %s\n", err)
		return 1, goOn
	}
	if d < 0 {
		return forever(s, nil)
	}
	if !rest(s.ctx, s.e.scaled(d)) {
		return 128 + sigKill, leave
	}
	if s.process != nil {
		s.process.thaw()
	}
	return 0, goOn
}

func forever(s *shell, _ []string) (int, outcome) {
	<-s.ctx.Done()
	return 128 + sigKill, leave
}

func sh(s *shell, args []string) (int, outcome) {
	sub := s.clone()
	sub.process, sub.depth = s.process, s.depth+1
	if sub.depth > maxDepth {
		return 2, goOn
	}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		flags := args[0]
		args = args[1:]
		sub.exitOnError = sub.exitOnError || strings.Contains(flags, "e")
		if strings.Contains(flags, "c") && len(args) > 0 {
			sub.args = args[1:]
			if len(sub.args) == 0 {
				sub.args = []string{"sh"}
			}
			code, _ := sub.script(args[0])
			return code, goOn
		}
	}
	if len(args) == 0 {
		text, err := io.ReadAll(sub.input())
		if err != nil {
			return 1, goOn
		}
		sub.stdin = bytes.NewReader(nil)
		code, _ := sub.script(string(text))
		return code, goOn
	}
	f := s.c.files.get(s.path(args[0]))
	if f == nil {
		fmt.Fprintf(s.stderr, "sh: can't open '%s': No such file or directory\n", args[0])
		return 2, goOn
	}
	return sub.file(f, args)
}

func busybox(s *shell, args []string) (int, outcome) {
	if len(args) == 0 {
		return 0, goOn
	}
	return s.call(args)
}

// execIn is exec: the command takes the shell's place, and with it loses the shell's traps.
func execIn(s *shell, args []string) (int, outcome) {
	if len(args) == 0 {
		return 0, goOn
	}
	if s.process != nil {
		s.e.mu.Lock()
		for number, command := range s.process.traps {
			if command != "" { // what is ignored stays ignored
				delete(s.process.traps, number)
			}
		}
		s.e.mu.Unlock()
	}
	code, _ := s.call(args)
	return code, leave
}

func cd(s *shell, args []string) (int, outcome) {
	to := "/root"
	if len(args) > 0 {
		to = s.path(args[0])
	}
	if !s.c.files.isDir(to) {
		fmt.Fprintf(s.stderr, "sh: cd: line 0: can't cd to %s: No such file or directory\n", to)
		return 2, goOn
	}
	s.dir = to
	return 0, goOn
}

func pwd(s *shell, _ []string) (int, outcome) {
	fmt.Fprintln(s.stdout, s.dir)
	return 0, goOn
}

func env(s *shell, args []string) (int, outcome) {
	sub := s.clone()
	sub.process = s.process
	for len(args) > 0 && strings.Contains(args[0], "=") {
		name, value, _ := strings.Cut(args[0], "=")
		sub.env[name] = value
		args = args[1:]
	}
	if len(args) > 0 {
		return sub.call(args)
	}
	for _, name := range sortedKeys(sub.env) {
		fmt.Fprintf(s.stdout, "%s=%s\n", name, sub.env[name])
	}
	return 0, goOn
}

func printenv(s *shell, args []string) (int, outcome) {
	if len(args) == 0 {
		return env(s, nil)
	}
	value, ok := s.env[args[0]]
	if !ok {
		return 1, goOn
	}
	fmt.Fprintln(s.stdout, value)
	return 0, goOn
}

func export(s *shell, args []string) (int, outcome) {
	for _, arg := range args {
		if name, value, ok := strings.Cut(arg, "="); ok {
			s.env[name] = value
		}
	}
	return 0, goOn
}

func set_(s *shell, args []string) (int, outcome) {
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") && strings.Contains(arg, "e") {
			s.exitOnError = true
		}
	}
	return 0, goOn
}

// trap sets what signals do: "trap ” TERM", "trap 'exit 0' TERM INT", "trap - TERM".
func trap(s *shell, args []string) (int, outcome) {
	if len(args) < 2 || s.process == nil {
		return 0, goOn
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	for _, name := range args[1:] {
		number, err := parseSignal(name)
		if err != nil {
			if name != "EXIT" && name != "0" {
				fmt.Fprintf(s.stderr, "sh: trap: %s: invalid signal specification\n", name)
				return 1, goOn
			}
			continue
		}
		if args[0] == "-" {
			delete(s.process.traps, number)
		} else {
			s.process.traps[number] = args[0]
		}
	}
	return 0, goOn
}

// trapped runs the commands of signals that came while something else ran.
func (s *shell) trapped(code int) (int, outcome) {
	if s.process == nil {
		return code, goOn
	}
	for {
		select {
		case number := <-s.process.pending:
			if result, how := s.handle(number); how != goOn {
				return result, how
			}
		default:
			return code, goOn
		}
	}
}

func (s *shell) handle(number int) (int, outcome) {
	s.e.mu.Lock()
	command := s.process.traps[number]
	s.e.mu.Unlock()
	s.last = 128 + number
	return s.script(command)
}

// wait waits for the jobs. A signal with a trap ends the wait, as in every shell.
func wait(s *shell, _ []string) (int, outcome) {
	done, cancel := context.WithCancel(s.ctx)
	s.e.task(func() {
		s.jobs.Wait()
		cancel()
	})
	var signals chan int
	if s.process != nil {
		signals = s.process.pending
	}
	select {
	case <-done.Done():
		cancel()
		if s.ctx.Err() != nil {
			return 128 + sigKill, leave
		}
		return 0, goOn
	case number := <-signals:
		if code, how := s.handle(number); how != goOn {
			return code, how
		}
		return 128 + number, goOn
	}
}

// kill sends a signal to the container's first process.
func kill(s *shell, args []string) (int, outcome) {
	number := sigTerm
	if len(args) > 1 && strings.HasPrefix(args[0], "-") {
		n, err := parseSignal(strings.TrimPrefix(args[0], "-"))
		if err != nil {
			fmt.Fprintf(s.stderr, "sh: invalid signal '%s'\n", args[0])
			return 1, goOn
		}
		number, args = n, args[1:]
	}
	if len(args) == 0 || args[0] != "1" {
		fmt.Fprintln(s.stderr, "sh: can't kill pid: No such process")
		return 1, goOn
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if p := s.c.proc; p != nil && (number != sigKill || !p.isFirst()) {
		p.deliver(number)
	}
	return 0, goOn
}

func read(s *shell, args []string) (int, outcome) {
	var line []byte
	one := make([]byte, 1)
	in := s.input()
	for {
		n, err := in.Read(one)
		if n == 1 && one[0] == '\n' {
			break
		}
		line = append(line, one[:n]...)
		if err != nil {
			if len(args) > 0 {
				s.env[args[len(args)-1]] = string(line)
			}
			return 1, goOn
		}
	}
	if len(args) > 0 {
		s.env[args[len(args)-1]] = strings.TrimSpace(string(line))
	}
	return 0, goOn
}

func id(s *shell, args []string) (int, outcome) {
	user := s.c.config.User
	name, _, _ := strings.Cut(user, ":")
	if name == "" || name == "root" {
		name = "0"
	}
	if slices.Contains(args, "-u") {
		fmt.Fprintln(s.stdout, name)
	} else {
		fmt.Fprintf(s.stdout, "uid=%s gid=%s\n", name, name)
	}
	return 0, goOn
}

func hostname(s *shell, _ []string) (int, outcome) {
	fmt.Fprintln(s.stdout, s.c.config.Hostname)
	return 0, goOn
}

func tail(s *shell, args []string) (int, outcome) {
	if slices.Contains(args, "-f") || slices.Contains(args, "-F") {
		return forever(s, nil)
	}
	return cat(s, args)
}

func date(s *shell, args []string) (int, outcome) {
	now := time.Now().UTC()
	if slices.Contains(args, "+%s") {
		fmt.Fprintln(s.stdout, now.Unix())
	} else {
		fmt.Fprintln(s.stdout, now.Format(time.UnixDate))
	}
	return 0, goOn
}
