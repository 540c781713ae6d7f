package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/text/width"

	"galley/compose"
)

// printFinding prints a finding of check on standard output, as compilers do, and on a terminal, or with --ansi
// always, the line that it is about.
func (c *cli) printFinding(d compose.Diagnostic) {
	look := map[compose.Severity]style{compose.Error: red, compose.Warning: yellow, compose.Note: cyan}[d.Severity]
	position := ""
	if p := d.Position(); p != "" {
		position = paint(c.ui.outColor, bold, p+":") + " "
	}
	fmt.Fprintf(c.out, "%s%s %s\n", position, paint(c.ui.outColor, look, string(d.Severity)+":"), sanitize(d.Message)+
		paint(c.ui.outColor, dim, " ["+d.Code+"]"))
	if isTerminal(c.out) || c.global.ansi == "always" {
		c.printExcerpt(d, look)
	}
	if d.Hint != "" {
		fmt.Fprintf(c.out, "%s %s\n", paint(c.ui.outColor, cyan, "  hint:"), sanitize(d.Hint))
	}
}

// printExcerpt prints the line that a finding is about with a caret under its column.
func (c *cli) printExcerpt(d compose.Diagnostic, look style) {
	line, ok := c.sourceLine(d)
	if !ok {
		return
	}
	line = strings.ReplaceAll(line, "\t", " ")
	hidden := secretive().MatchString(line) || strings.Contains(d.Path, "environment")
	if hidden {
		line = withoutValue(line)
	}
	fmt.Fprintf(c.out, "%5d | %s\n", d.Line, sanitize(line))
	before := []rune(line)
	if d.Column == 0 || d.Column > len(before)+1 {
		return
	}
	fmt.Fprintf(c.out, "%5s | %s%s\n", "", blank(before[:d.Column-1]), paint(c.ui.outColor, look, "^"))
}

// withoutValue is a line less the value that may be a secret: terminals are recorded. Of a line that has no key, nothing
// is left.
func withoutValue(line string) string {
	return regexp.MustCompile(`^(\s*(?:- +)?["']?[\w.-]+["']? *[:=] *["']?)?(.*)$`).ReplaceAllString(line, "$1…")
}

// blank is as wide on a terminal as some text.
func blank(text []rune) string {
	var b strings.Builder
	for _, r := range text {
		switch width.LookupRune(r).Kind() {
		case width.EastAsianWide, width.EastAsianFullwidth:
			b.WriteString("  ")
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// secretive matches lines whose value is perhaps not for everybody's eyes.
func secretive() *regexp.Regexp {
	return regexp.MustCompile(`(?i)pass|secret|token|credential|private|api_?key|://[^/@\s]*:[^/@\s]*@`)
}

// sourceLine reads the line that a finding is about.
func (c *cli) sourceLine(d compose.Diagnostic) (string, bool) {
	if d.Line == 0 {
		return "", false
	}
	text := c.stdinText
	if d.File != "-" {
		read, err := os.ReadFile(c.absolute(d.File))
		if err != nil {
			return "", false
		}
		text = read
	}
	line := compose.Line(string(text), d.Line)
	return line, line != ""
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
