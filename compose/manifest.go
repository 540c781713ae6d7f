package compose

import "errors"

func openManifest(src Source, f *file, p *place) ([]*recipe, error) {
	return nil, errors.New("manifest")
}
func manifestName(src Source, f *file) (string, error) { return "running", nil }
func ambiguous(recipes []*recipe) error                { return errors.New("several") }
func (r *recipe) unresolved(found []finding) []finding { return found }
func (r *recipe) notes()                               {}
