package compose

import "strings"

// Line returns a line of a YAML text, by its number from 1, without its end; "" if the text has no such line.
func Line(text string, number int) string {
	lines := lines(text)
	if number < 1 || number > len(lines) {
		return ""
	}
	return lines[number-1]
}

// lines parts a YAML text into lines as its parser counts them: not line feeds alone end one.
// Source: YAML 1.1, "Line Break Characters"; go.yaml.in/yaml/v4, internal/libyaml/yamlprivate.go.
func lines(text string) []string {
	for _, end := range []string{"\r\n", "\r", "\u0085", "\u2028", "\u2029"} {
		text = strings.ReplaceAll(text, end, "\n") // which is free where there is none
	}
	return strings.Split(text, "\n")
}
