package enginetest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

func cat(s *shell, args []string) (int, outcome) {
	if len(args) == 0 || args[0] == "-" {
		_, err := io.Copy(s.stdout, s.input())
		return failed(err)
	}
	code := 0
	for _, name := range args {
		f := s.c.files.get(s.path(name))
		switch {
		case f == nil && name == "/etc/hostname":
			fmt.Fprintln(s.stdout, s.c.config.Hostname)
		case f == nil:
			fmt.Fprintf(s.stderr, "cat: can't open '%s': No such file or directory\n", name)
			code = 1
		case f.mode.IsDir():
			fmt.Fprintf(s.stderr, "cat: read error: Is a directory\n")
			code = 1
		default:
			_, _ = s.stdout.Write(f.data) // a broken pipe ends nothing else
		}
	}
	return code, goOn
}

func test(s *shell, args []string) (int, outcome) {
	if s.holds(args) {
		return 0, goOn
	}
	return 1, goOn
}

func bracket(s *shell, args []string) (int, outcome) {
	if len(args) == 0 || args[len(args)-1] != "]" {
		fmt.Fprintln(s.stderr, "sh: missing ]")
		return 2, goOn
	}
	return test(s, args[:len(args)-1])
}

// holds evaluates a test's expression.
func (s *shell) holds(args []string) bool {
	for _, op := range []string{"-o", "-a"} {
		if i := slices.Index(args, op); i > 0 && i < len(args)-1 {
			left, right := s.holds(args[:i]), s.holds(args[i+1:])
			return left && right || op == "-o" && (left || right)
		}
	}
	switch len(args) {
	case 0:
		return false
	case 1:
		return args[0] != ""
	case 2:
		return s.unary(args[0], args[1])
	}
	if args[0] == "!" {
		return !s.holds(args[1:])
	}
	return compare(args[0], args[1], args[2])
}

func (s *shell) unary(op, arg string) bool {
	f := s.c.files.get(s.path(arg))
	switch op {
	case "!":
		return arg == ""
	case "-n":
		return arg != ""
	case "-z":
		return arg == ""
	case "-e", "-r", "-w":
		return f != nil
	case "-f":
		return f != nil && f.mode.IsRegular()
	case "-d":
		return f != nil && f.mode.IsDir()
	case "-s":
		return f != nil && len(f.data) > 0
	case "-x":
		return f != nil && f.mode&0o111 != 0
	}
	return false
}

func compare(left, op, right string) bool {
	a, _ := strconv.Atoi(left) // what is no number is 0
	b, _ := strconv.Atoi(right)
	switch op {
	case "=", "==":
		return left == right
	case "!=":
		return left != right
	case "-eq":
		return a == b
	case "-ne":
		return a != b
	case "-lt":
		return a < b
	case "-le":
		return a <= b
	case "-gt":
		return a > b
	case "-ge":
		return a >= b
	}
	return false
}

func touch(s *shell, args []string) (int, outcome) {
	for _, name := range args {
		f := s.c.files.get(s.path(name))
		if f == nil {
			f = &file{mode: 0o644}
		}
		if why := s.c.files.put(s.path(name), f); why != "" && !f.mode.IsDir() {
			fmt.Fprintf(s.stderr, "touch: %s: %s\n", name, strings.Replace(why, "nonexistent directory", "No such file or directory", 1))
			return 1, goOn
		}
	}
	return 0, goOn
}

func remove(s *shell, args []string) (int, outcome) {
	force := false
	code := 0
	for _, name := range args {
		if strings.HasPrefix(name, "-") {
			force = force || strings.Contains(name, "f")
			continue
		}
		if !s.c.files.remove(s.path(name)) && !force {
			fmt.Fprintf(s.stderr, "rm: can't remove '%s': No such file or directory\n", name)
			code = 1
		}
	}
	return code, goOn
}

func mkdir(s *shell, args []string) (int, outcome) {
	parents := slices.Contains(args, "-p")
	for _, name := range args {
		if strings.HasPrefix(name, "-") {
			continue
		}
		full := s.path(name)
		if s.c.files.exists(full) {
			if parents {
				continue
			}
			fmt.Fprintf(s.stderr, "mkdir: can't create directory '%s': File exists\n", name)
			return 1, goOn
		}
		if parents && !s.c.files.isDir(path.Dir(full)) {
			mkdir(s, []string{"-p", path.Dir(full)})
		}
		if why := s.c.files.put(full, &file{mode: fs.ModeDir | 0o755}); why != "" {
			fmt.Fprintf(s.stderr, "mkdir: can't create directory '%s': No such file or directory\n", name)
			return 1, goOn
		}
	}
	return 0, goOn
}

func ls(s *shell, args []string) (int, outcome) {
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasPrefix(a, "-") })
	if len(args) == 0 {
		args = []string{"."}
	}
	for _, name := range args {
		full := s.path(name)
		f := s.c.files.get(full)
		if f == nil {
			fmt.Fprintf(s.stderr, "ls: %s: No such file or directory\n", name)
			return 1, goOn
		}
		if !f.mode.IsDir() {
			fmt.Fprintln(s.stdout, name)
			continue
		}
		var names []string
		for _, below := range s.c.files.below(full) {
			first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(below, full), "/"), "/")
			names = append(names, first)
		}
		for _, entry := range slices.Compact(names) {
			fmt.Fprintln(s.stdout, entry)
		}
	}
	return 0, goOn
}

// grep looks for a fixed string.
func grep(s *shell, args []string) (int, outcome) {
	quiet := false
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		quiet = quiet || strings.Contains(args[0], "q")
		args = args[1:]
	}
	if len(args) == 0 {
		return 2, goOn
	}
	in := s.input()
	if len(args) > 1 {
		f := s.c.files.get(s.path(args[1]))
		if f == nil {
			fmt.Fprintf(s.stderr, "grep: %s: No such file or directory\n", args[1])
			return 2, goOn
		}
		in = bytes.NewReader(f.data)
	}
	code := 1
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if strings.Contains(lines.Text(), args[0]) {
			code = 0
			if !quiet {
				fmt.Fprintln(s.stdout, lines.Text())
			}
		}
	}
	return code, goOn
}
