package compose

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestQuotedTextsAreTakenApartAsByTheParser makes quoted texts of pieces by chance: what the parser reads as a text must be
// taken apart into the same one, and the place of each letter must hold that letter, or an escape.
func TestQuotedTextsAreTakenApartAsByTheParser(t *testing.T) {
	pieces := map[string][]string{
		`"`: {"a", "é", "'", " ", "\t", "\n   ", "\n\n  ", "\r\n  ", " \\\n  ", "\\\n\n  \\ ", "\\n", "\\\"", "\\\\", "\\x41", "\\u00e9", "\\U0001f600",
			"\\0", "\\r", "\\r\\n", "\\N", "\\L", "\\_", "\\ ", "\\\t", "\u2028  ", "\u0085  ", "#", ": ", "-"},
		`'`: {"a", "é", "''", "\"", "\\", " ", "\t", "\n   ", "\n\n  ", "\r\n  ", "\u2028  ", "\u0085  ", "#", ": ", "-"},
	}
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 3))
		quote := []string{`"`, `'`}[random.IntN(2)]
		text := "key:\r\n  - é\u2028\n  - " + []string{"", "&a ", "!!str "}[random.IntN(3)] + quote
		for range random.IntN(12) {
			text += pieces[quote][random.IntN(len(pieces[quote]))]
		}
		text += quote + "\n"
		var node yaml.Node
		if err := yaml.Unmarshal([]byte(text), &node); err != nil {
			t.Fatalf("seed %d: %q: %v", seed, text, err)
		}
		n := node.Content[0].Content[1].Content[1]
		shift := quotedShift(n, []byte(text))
		if shift == nil {
			t.Fatalf("seed %d: %q is not taken apart: %q", seed, text, n.Value)
		}
		for i, line := range lines(n.Value) {
			for j, r := range []rune(line) {
				at, column := shift(i+1, j+1)
				if there := []rune(Line(text, at) + "\n")[column-1]; there != r && !strings.ContainsRune("\\\n", there) {
					t.Fatalf("seed %d: %q: %q of %q stands at %s, where %q is", seed, text, r, n.Value, fmt.Sprint(at, ":", column), there)
				}
			}
		}
	}
}
