package compose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// sections are the top-level keys whose entries people name themselves.
func sections() []string {
	return []string{"services", "networks", "volumes", "configs", "secrets", "models", "jobs"}
}

// dotted writes a place as people read it: services.web.ports[0].
func dotted(at []string) string {
	path := ""
	for i, part := range at {
		named := i == 1 && slices.Contains(sections(), at[0])
		if _, err := strconv.Atoi(part); err == nil && i > 0 && !named {
			path += "[" + part + "]"
			continue
		}
		path = join(path, part)
	}
	return path
}

// subject is what a message calls a place: its key, with the index of a list's item.
func subject(at []string) string {
	for i := len(at) - 1; i >= 0; i-- {
		if _, err := strconv.Atoi(at[i]); err != nil || i == 0 {
			return strings.TrimPrefix(strings.TrimPrefix(dotted(at), dotted(at[:i])), ".")
		}
	}
	return "recipe"
}

// typeName is what people call a JSON type.
func typeName(jsonType string) string {
	switch jsonType {
	case "object":
		return "a mapping"
	case "array":
		return "a list"
	case "string":
		return "a text"
	case "boolean":
		return "true or false"
	case "integer":
		return "a whole number"
	case "number":
		return "a number"
	default:
		return jsonType
	}
}

func inQuotes[T any](values []T) []string {
	var all []string
	for _, v := range values {
		all = append(all, fmt.Sprintf("%q", fmt.Sprint(v)))
	}
	return all
}

func stringsOf(values []any) []string {
	var all []string
	for _, v := range values {
		all = append(all, fmt.Sprint(v))
	}
	return all
}

// didYouMean is the hint that names the nearest of some names, or "" if none is near.
func didYouMean(name string, names []string) string {
	best, limit := "", max(1, len(name)/3)
	for _, candidate := range slices.Sorted(slices.Values(names)) {
		if d := distance(name, candidate); d <= limit && (best == "" || d < distance(name, best)) {
			best = candidate
		}
	}
	for _, candidate := range names {
		// What is cut short names what it starts, unless that might be several.
		if best == "" && len(name) > 2 && strings.HasPrefix(candidate, name) && !slices.ContainsFunc(names, func(other string) bool {
			return other != candidate && strings.HasPrefix(other, name)
		}) {
			best = candidate
		}
	}
	if best == "" || best == name {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// nearest is the hint that names the nearest of some words, or else a general one.
func nearest(name, words, otherwise string) string {
	return orElse(didYouMean(name, strings.Fields(words)), otherwise)
}

// distance counts the letters that have to be added, removed, changed or swapped with their neighbour to make b of a.
func distance(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
