package compose

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestSupportPage keeps SUPPORT.md true; -update writes it.
func TestSupportPage(t *testing.T) {
	golden(t, "SUPPORT.md", supportPage(SupportTable()))
}

// supportPage writes the table for people to read.
func supportPage(table []Support) string {
	var b strings.Builder
	b.WriteString(`# What becomes of each attribute

Every attribute of the [compose-spec](https://github.com/compose-spec/compose-spec/blob/main/spec.md) is carried out, or
said to be ignored or refused: nothing is dropped in silence. This page is written by
` + "`go test ./compose -run SupportPage -update`" + ` from the table that ` + "`galley check --support`" + ` prints; tests hold that table against
the specification's schema and the loader's model.

| standing | meaning |
|---|---|
| handled | it has its full effect |
| depends | on other attributes, or on the service that uses it |
| ignored | it has no effect, and a warning says so |
| refused | an error says so: galley is not meant to do it |
| pending | an error says so: it is not supported yet |

"*" is any key, "[]" any item of a list. Attributes below one that is not handled share its fate. The Engine API is the
least version that the attribute needs, where that is newer than 1.41 (Docker Engine 20.10).
`)
	sections := map[string]string{}
	for _, s := range table {
		if !sharedWithService(s, table) {
			sections[supportSection(s.Path)] += fmt.Sprintf("| `%s` | %s | %s | %s |\n", s.Path, s.Standing, s.APIText(), s.Remark())
		}
	}
	for _, section := range sortedKeys(sections) {
		fmt.Fprintf(&b, "\n## %s\n\n", section)
		if strings.Contains(section, "pre_start") {
			b.WriteString("What a container of pre_start has in common with its service has the same standing there, and is not listed again.\n\n")
		}
		b.WriteString("| attribute | standing | Engine API | remarks |\n|---|---|---|---|\n" + sections[section])
	}
	return b.String()
}

// supportSection is the heading that an attribute stands under.
func supportSection(path string) string {
	for _, section := range []string{"services.*.pre_start.[]", "services.*.deploy", "services.*.networks", "services.*.volumes", "services.*"} {
		if path == section || strings.HasPrefix(path, section+".") {
			return strings.NewReplacer(".*", "", ".[]", "", ".", ": ").Replace(section)
		}
	}
	if top, _, nested := strings.Cut(path, "."); nested {
		return top
	}
	return "Top level"
}

// sharedWithService tells whether an attribute of pre_start is one of the service's too, with the same standing.
func sharedWithService(s Support, table []Support) bool {
	own, ok := strings.CutPrefix(s.Path, "services.*.pre_start.[].")
	s.Path = "services.*." + own
	return ok && slices.Contains(table, s)
}

// TestLeastAPIs holds the least Engine APIs of the table against what lowering requires.
func TestLeastAPIs(t *testing.T) {
	required := map[string]bool{}
	note := func(p *Project) {
		if p == nil {
			return
		}
		for _, s := range p.Services {
			for _, need := range s.Requires {
				required[attributePattern(need.Attribute)+" "+need.API] = true
			}
		}
	}
	lowerCases(t, func(archive *txtar.Archive, _ string) {
		for _, f := range archive.Files {
			if strings.HasSuffix(f.Name, ".yml") {
				p, _ := loadText(t, recipeOf(string(f.Data)))
				note(p)
			}
		}
	})
	dirs, err := filepath.Glob("../testdata/recipes/*/compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range dirs {
		p, _, _ := Load(context.Background(), Source{Files: []string{file}, Dir: "."})
		note(p)
	}
	listed := map[string]bool{}
	for _, l := range leastAPIs() {
		listed[l.path+" "+l.api] = true
		for _, also := range regexp.MustCompile(`needs (1\.\d+)`).FindAllStringSubmatch(l.when, -1) {
			listed[l.path+" "+also[1]] = true
		}
	}
	for _, need := range sortedKeys(required) {
		if !listed[need] {
			t.Errorf("lowering requires %s, which the table doesn't say", need)
		}
	}
	for _, l := range sortedKeys(listed) {
		if !required[l] && !strings.Contains(l, "pre_start") {
			t.Errorf("the table says %s, which no case requires", l)
		}
	}
}

// attributePattern makes a pattern of the table of an attribute's path in a recipe.
func attributePattern(path string) string {
	path = regexp.MustCompile(`^(\w+)\.[^.]+`).ReplaceAllString(path, "$1.*")
	path = regexp.MustCompile(`\.networks\.[^.]+`).ReplaceAllString(path, ".networks.*")
	path = regexp.MustCompile(`\.driver_opts\..+`).ReplaceAllString(path, ".driver_opts.*")
	path = regexp.MustCompile(`\[\d+\]$`).ReplaceAllString(path, "") // the list itself is in the table
	return regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, ".[]")
}

// TestEveryFieldOfTheModelHasAStanding holds the table against the loader's model too: a field that the schema doesn't have
// would else be filled by nobody, and dropped in silence if an upgrade filled it.
func TestEveryFieldOfTheModelHasAStanding(t *testing.T) {
	v := modelVisit{t: t, root: supportTree(), within: map[reflect.Type]bool{}}
	v.visit(reflect.TypeFor[types.Project](), "")
	if v.seen < 300 {
		t.Errorf("only %d fields were looked at", v.seen)
	}
}

type modelVisit struct {
	t      *testing.T
	root   *supportNode
	within map[reflect.Type]bool
	seen   int
}

// visit looks at the fields of a type that stands at a path of the table.
func (v *modelVisit) visit(typ reflect.Type, path string) {
	switch typ.Kind() {
	case reflect.Pointer:
		v.visit(typ.Elem(), path)
	case reflect.Map:
		v.visit(typ.Elem(), join(path, "*"))
	case reflect.Slice:
		v.visit(typ.Elem(), join(path, "[]"))
	case reflect.Struct:
		if v.within[typ] {
			return
		}
		v.within[typ] = true
		for i := range typ.NumField() {
			v.field(typ.Field(i), path)
		}
		delete(v.within, typ)
	}
}

func (v *modelVisit) field(f reflect.StructField, path string) {
	key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	switch {
	case strings.Contains(options, "inline") && !strings.HasPrefix(key, "#"):
		v.visit(f.Type, path)
		return
	case key == "" || key == "-" || strings.HasPrefix(key, "#"):
		return
	}
	at := join(path, key)
	if v.outOfReach(at) {
		return
	}
	v.seen++
	row, _ := standingAt(v.root, at)
	if row == nil {
		v.t.Errorf("the model's %s has no standing", at)
		return
	}
	if row.standing == handled {
		v.visit(f.Type, at)
	}
}

// outOfReach tells the fields that the schema doesn't have, so that no recipe can set them: a service's name is its key, a
// type of the model serves two places of which the schema has one, and the rest is of the first formats.
func (v *modelVisit) outOfReach(path string) bool {
	const fields = "services.*.name services.*.net services.*.dockerfile services.*.log_driver services.*.log_opt " +
		"services.*.volume_driver services.*.ulimits.*.single services.*.deploy.resources.limits.devices " +
		"services.*.deploy.resources.limits.generic_resources services.*.deploy.resources.reservations.pids " +
		"secrets.*.content configs.*.driver configs.*.driver_opts"
	return contains(fields, strings.Replace(path, "services.*.pre_start.[]", "services.*", 1))
}
