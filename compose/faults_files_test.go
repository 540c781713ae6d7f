package compose

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNoMistakeHidesAnotherOfAnotherFile plants mistakes in two files that are put together.
func TestNoMistakeHidesAnotherOfAnotherFile(t *testing.T) {
	t.Parallel()
	all := plantings()
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 11))
		dir := soundDir(t)
		order := random.Perm(len(all))
		src := Source{Dir: dir, Lint: true}
		var want, got []string
		texts := map[string]string{}
		for i, name := range []string{"a.yml", "b.yml"} {
			var chosen []planted
			for _, at := range order[i*10 : i*10+1+random.IntN(9)] {
				chosen = append(chosen, all[at])
			}
			text, planted := grown(random, chosen)
			for _, p := range planted {
				want = append(want, name+":"+p)
			}
			texts[name] = text
			src.Files = append(src.Files, name)
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, found, err := LoadAll(context.Background(), src)
		if refused := new(InvalidError); err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
		for _, d := range found {
			if d.Severity == Error {
				name := filepath.Base(d.File)
				got = append(got, fmt.Sprintf("%s:%d %s: %s", name, d.Line, d.Code, strings.TrimSpace(Line(texts[name], d.Line))))
			}
		}
		if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
			t.Fatalf("errors of seed %d (-want +got):\n%s\n%s\n---\n%s", seed, diff, texts["a.yml"], texts["b.yml"])
		}
	}
}
