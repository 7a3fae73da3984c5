package main

import (
	"reflect"
	"strings"
	"testing"
)

// TestTemplateFunctions tries the functions that Docker's templates have.
func TestTemplateFunctions(t *testing.T) {
	row := struct {
		Name string
		List []string
		Any  []any
	}{"web one", []string{"a", "b"}, []any{1, "x"}}
	for format, want := range map[string]string{
		`{{json .List}}`:                   `["a","b"]`,
		`{{json "<a>"}}`:                   `"<a>"`,
		`{{join .List ","}}`:               "a,b",
		`{{join .Any ","}}`:                "1,x",
		`{{index (split .Name " ") 1}}`:    "one",
		`{{title .Name}}`:                  "Web One",
		`{{upper .Name}}{{lower "A"}}`:     "WEB ONEa",
		`{{pad .Name 1 2}}|{{pad "" 1 2}}`: " web one  |",
		`{{truncate .Name 3}}`:             "web",
		`{{truncate .Name 30}}`:            "web one",
		`{{.Name}}\t{{len .List}}\n`:       "web one\t2\n",
	} {
		parsed, err := parseTemplate(format)
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		var out strings.Builder
		if err := printTemplate(&out, []any{row}, parsed); err != nil || out.String() != want+"\n" {
			t.Errorf("%s prints %q, %v, and not %q", format, out.String(), err, want)
		}
	}
}

// TestHeadings looks at the headings that the columns of a template's table have.
func TestHeadings(t *testing.T) {
	for name, want := range map[string]string{"ID": "CONTAINER ID", "RunningFor": "CREATED", "CreatedAt": "CREATED AT",
		"LocalVolumes": "LOCAL VOLUMES"} {
		if got := headingsOf(reflect.TypeFor[psRow]())[name]; got != want {
			t.Errorf("heading of %s: %q, want %q", name, got, want)
		}
	}
	if got := (headings{}).Label("com.example.role"); got != "ROLE" {
		t.Errorf("heading of a label: %q", got)
	}
}
