package compose

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

// registerRaw teaches the loader `format: raw` of env_file, which it leaves to its callers.
var registerRaw = sync.OnceFunc(func() { dotenv.RegisterFormat("raw", parseRaw) })

// parseRaw reads an env file as `docker run --env-file` does: every line is KEY=VALUE, taken to the letter, with neither
// quotes nor interpolation; a bare KEY takes its value from lookup and is left out if that has none; lines that begin with
// "#" are comments (compose-spec, services: env_file, format).
func parseRaw(r io.Reader, filename string, vars map[string]string, lookup func(string) (string, bool)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimLeftFunc(strings.TrimPrefix(lines.Text(), "\ufeff"), unicode.IsSpace)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, set := strings.Cut(line, "=")
		switch {
		case key == "":
			return fmt.Errorf("failed to read %s: line %d: no variable name", filename, n)
		case strings.ContainsFunc(key, unicode.IsSpace):
			return fmt.Errorf("failed to read %s: line %d: variable name %q contains white space", filename, n, key)
		case set:
			vars[key] = value
		default:
			if value, ok := lookup(key); ok {
				vars[key] = value
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("failed to read %s: %w", filename, err)
	}
	return nil
}
