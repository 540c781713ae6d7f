package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"galley/compose"
)

// printFinding prints a finding of check on standard output, as compilers do, and on a terminal the line that it is about.
func (c *cli) printFinding(d compose.Diagnostic) {
	look := map[compose.Severity]style{compose.Error: red, compose.Warning: yellow, compose.Note: cyan}[d.Severity]
	position := ""
	if p := d.Position(); p != "" {
		position = paint(c.ui.outColor, bold, p+":") + " "
	}
	fmt.Fprintf(c.out, "%s%s %s\n", position, paint(c.ui.outColor, look, string(d.Severity)+":"), sanitize(d.Message)+
		paint(c.ui.outColor, dim, " ["+d.Code+"]"))
	if isTerminal(c.out) {
		c.printExcerpt(d, look)
	}
	if d.Hint != "" {
		fmt.Fprintf(c.out, "%s %s\n", paint(c.ui.outColor, cyan, "  hint:"), sanitize(d.Hint))
	}
}

// printExcerpt prints the line that a finding is about with a caret under its column. A line that may hold a secret is not
// repeated: terminals are recorded.
func (c *cli) printExcerpt(d compose.Diagnostic, look style) {
	line, ok := c.sourceLine(d)
	if !ok || secretive().MatchString(line) || strings.Contains(d.Path, "environment") {
		return
	}
	line = sanitize(strings.TrimRight(line, "\r"))
	fmt.Fprintf(c.out, "%5d | %s\n", d.Line, strings.ReplaceAll(line, "\t", " "))
	if d.Column > 0 && d.Column <= len(line)+1 {
		fmt.Fprintf(c.out, "%5s | %s%s\n", "", strings.Repeat(" ", d.Column-1), paint(c.ui.outColor, look, "^"))
	}
}

// secretive matches lines whose value is perhaps not for everybody's eyes.
func secretive() *regexp.Regexp {
	return regexp.MustCompile(`(?i)passw|secret|token|credential|private|api_?key`)
}

// sourceLine reads the line that a finding is about.
func (c *cli) sourceLine(d compose.Diagnostic) (string, bool) {
	if d.Line == 0 {
		return "", false
	}
	var r io.Reader = bytes.NewReader(c.stdinText)
	if d.File != "-" {
		file, err := os.Open(c.absolute(d.File))
		if err != nil {
			return "", false
		}
		defer file.Close()
		r = file
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if n == d.Line {
			return lines.Text(), true
		}
	}
	return "", false
}

func (c *cli) absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.dir, path)
}

// relative is a path as seen from the working directory, where it lies below it.
func (c *cli) relative(path string) string {
	if rel, err := filepath.Rel(c.dir, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
