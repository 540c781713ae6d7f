package compose

import (
	"bytes"
	"fmt"
)

// maxDepth is how many blocks of YAML may stand in one another. No recipe comes near it, and the loader's time grows with
// the square of the depth.
const maxDepth = 200

// tooDeep finds the first line that stands in more than maxDepth blocks, by its indentation.
func (f *file) tooDeep() *Diagnostic {
	var open []int // the indentations of the blocks around the line
	number := 0
	for line := range bytes.Lines(f.text) {
		number++
		text := bytes.TrimLeft(line, " ")
		if len(bytes.TrimSpace(text)) == 0 || text[0] == '#' {
			continue
		}
		indent := len(line) - len(text)
		for len(open) > 0 && open[len(open)-1] >= indent {
			open = open[:len(open)-1]
		}
		if open = append(open, indent); len(open) > maxDepth {
			return &Diagnostic{
				Severity: Error, Code: "too-large", File: f.name, Line: number, Column: indent + 1,
				Message: fmt.Sprintf("the recipe is nested more than %d levels deep", maxDepth),
			}
		}
	}
	return nil
}
