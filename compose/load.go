package compose

import "context"

// Load reads one recipe.
func Load(ctx context.Context, src Source) (*Project, []Diagnostic, error) { panic("being written") }

// LoadAll reads every recipe of the source: one, or those of a BOSH manifest.
func LoadAll(ctx context.Context, src Source) ([]*Project, []Diagnostic, error) {
	panic("being written")
}

// ProjectName finds the project's name without needing a readable recipe.
func ProjectName(src Source) (string, error) { panic("being written") }
