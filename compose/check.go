package compose

import "github.com/compose-spec/compose-go/v2/types"

func (r *recipe) check(p *types.Project) []Diagnostic { return nil }
func (r *recipe) conformance(doc *document) []finding { return nil }
func missingFiles(s types.ServiceConfig) []Diagnostic { return nil }
func (r *recipe) translate(failure error) []finding {
	return []finding{{Diagnostic: Diagnostic{Severity: Error, Code: "invalid-recipe", Message: failure.Error()}}}
}
