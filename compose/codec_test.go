package compose

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMarshalLosesNothing sets every field of a project, also those that an upgrade of the docker module brings.
func TestMarshalLosesNothing(t *testing.T) {
	var full Project
	set(reflect.ValueOf(&full).Elem())
	roundTrip(t, &full)
}

// TestMarshalTellsEmptyFromNone: an empty list clears what the image says, none leaves it.
func TestMarshalTellsEmptyFromNone(t *testing.T) {
	var empty Project
	setEmpty(reflect.ValueOf(&empty).Elem())
	empty.Name = "empty"
	text, err := Marshal(&empty)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Unmarshal(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Services) != 1 {
		t.Fatalf("%d services, want 1", len(got.Services))
	}
	before, after := empty.Services[0], got.Services[0]
	_, want := digestService(before)
	if _, hash := digestService(after); hash != want {
		t.Errorf("the service has another hash: (-before +after):\n%s", cmp.Diff(before, after))
	}
}

// TestMarshalRecipes holds that each recipe of testdata/recipes comes back as it was.
func TestMarshalRecipes(t *testing.T) {
	dirs, err := filepath.Glob("../testdata/recipes/*/project.json")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no recipes: %v", err)
	}
	for _, path := range dirs {
		dir, err := filepath.Abs(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			src := Source{Dir: dir, Environ: []string{"PWD=" + dir}}
			if _, err := os.Stat(filepath.Join(dir, "manifest.yml")); err == nil {
				src.Files = []string{"manifest.yml"}
			}
			projects, _, err := LoadAll(context.Background(), src)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range projects {
				roundTrip(t, p)
			}
		})
	}
}

// roundTrip holds that a project is the same after it was written and read, and so are the digests that decide.
func roundTrip(t *testing.T, before *Project) {
	t.Helper()
	text, err := Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	after, err := Unmarshal(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the project came back changed (-before +after):\n%s", diff)
	}
	for i, s := range before.Services {
		_, want := digestService(s)
		if _, got := digestService(after.Services[i]); got != want {
			t.Errorf("service %s has hash %s, had %s", s.Name, got, want)
		}
	}
}

// setEmpty makes every pointer point to a zero value, and every list and map of scalars an empty one; a list of structs
// gets one, made so.
func setEmpty(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		setEmpty(v.Elem())
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.Slice:
		element := v.Type().Elem()
		if element.Kind() == reflect.Pointer {
			element = element.Elem()
		}
		if element.Kind() == reflect.Struct {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			setEmpty(v.Index(0))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	case reflect.Struct:
		for i := range v.NumField() {
			setEmpty(v.Field(i))
		}
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no JSON", "{", "unexpected end"},
		{"another version", `{"version": 9, "project": {"Name": "a"}}`, "it has version 9"},
		{"no version", `{"project": {"Name": "a"}}`, "it has version 0"},
		{"no project", `{"version": 1}`, "there is none in it"},
		{"a field of a later Galley", `{"version": 1, "project": {"Name": "a", "Later": 1}}`, `unknown field "Later"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Unmarshal([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
