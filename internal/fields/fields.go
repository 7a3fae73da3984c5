// Package fields says of each field of a request what a program does with it, so that nothing that a caller asks for is
// left out without a word.
//
// A request is a struct of another module: a specification of the OCI, an object of Docker's API. A later version of
// that module may have more fields, and a program that translates those that it knows would not notice. Here a table
// names each field with its treatment, a field that is not in the table is refused, and a test of the table (Walk)
// fails until it is there.
package fields

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fault"
)

// Treatment says what a program does with a field that is set.
type Treatment struct {
	refused string   // the reason why it is an error
	but     []string // values that are no error all the same, as text
	unused  string   // the reason why it is no error, although the program does not look at it
	whole   bool     // whether the fields within the field are honoured, too, whatever they are
}

// Honour does what the field asks for, as far as the fields within it go.
func Honour() Treatment { return Treatment{} }

// Whole honours the field with all that is in it.
func Whole() Treatment { return Treatment{whole: true} }

// Refuse makes the field an error for a reason. Values in but mean what the program does anyway, and are none.
func Refuse(reason string, but ...string) Treatment { return Treatment{refused: reason, but: but} }

// Ignore takes the field for a reason without an effect.
func Ignore(reason string) Treatment { return Treatment{unused: reason} }

// IsHonoured tells whether the treatment is Honour or Whole.
func (t Treatment) IsHonoured() bool { return t.refused == "" && t.unused == "" }

// Refused is the reason why the field is an error, "" if it is none.
func (t Treatment) Refused() string { return t.refused }

// Unused is the reason why the field is ignored, "" if it is not.
func (t Treatment) Unused() string { return t.unused }

// Table has the treatment of each field of a struct by its path: the names of the fields in JSON with dots between
// them. Elements of lists and maps have the path of the list or map, and an embedded struct has that of its struct.
type Table map[string]Treatment

// Check refuses what is set in a value, which is at path, and would silently be left out. The error has the
// class errdefs.ErrNotImplemented.
func (t Table) Check(value any, path string) error { return t.check(reflect.ValueOf(value), path) }

func (t Table) check(v reflect.Value, path string) error {
	if isText(v.Type()) {
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return t.check(v.Elem(), path)
	case reflect.Slice:
		for i := range v.Len() {
			if err := t.check(v.Index(i), path); err != nil {
				return err
			}
		}
	case reflect.Map:
		for _, element := range v.Seq2() {
			if err := t.check(element, path); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if err := t.checkField(v.Field(i), path, v.Type().Field(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkField looks at a field of what is at parent.
func (t Table) checkField(v reflect.Value, parent string, field reflect.StructField) error {
	path := pathOf(parent, field)
	if !IsSet(v) {
		return nil
	}
	if path == parent {
		return t.check(v, path)
	}
	treatment, known := t[path]
	switch {
	case !known:
		treatment = Refuse("this version does not know it")
	case treatment.unused != "" || treatment.whole:
		return nil
	}
	if treatment.refused == "" {
		return t.check(v, path)
	}
	if text := reflect.Indirect(v); text.Kind() == reflect.String && slices.Contains(treatment.but, text.String()) {
		return nil
	}
	return fault.Errorf(errdefs.ErrNotImplemented, "%s%s is not supported: %s", path, valueText(v, treatment),
		treatment.refused)
}

// valueText is the value of a field of which other values are taken.
func valueText(v reflect.Value, treatment Treatment) string {
	if len(treatment.but) == 0 {
		return ""
	}
	return fmt.Sprintf(" %q", fmt.Sprint(reflect.Indirect(v)))
}

// pathOf returns the path of a field of what is at parent.
func pathOf(parent string, field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	switch {
	case name == "" && field.Anonymous:
		return parent
	case name == "":
		name = field.Name
	}
	if parent == "" {
		return name
	}
	return parent + "." + name
}

// IsSet tells whether a value asks for anything. A list without elements and a struct of unset fields do not, as they
// stand in requests that programs make. A pointer to a number does, whatever the number.
func IsSet(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() > 0
	case reflect.Pointer:
		return !v.IsNil() && (v.Elem().Kind() != reflect.Struct || IsSet(v.Elem()))
	case reflect.Struct:
		for i := range v.NumField() {
			if IsSet(v.Field(i)) {
				return true
			}
		}
		return false
	}
	return !v.IsZero()
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// isText tells whether values of a type are one text in JSON, whatever they consist of: addresses, times.
func isText(of reflect.Type) bool { return of.Implements(textMarshaler) }

// Walk calls visit with the path of each field of a type, but not of those within a field that is refused or ignored.
// index leads from the struct to the field.
func (t Table) Walk(of reflect.Type, path string, visit func(path string, index []int)) {
	t.walk(of, path, nil, visit)
}

func (t Table) walk(of reflect.Type, path string, index []int, visit func(path string, index []int)) {
	if isText(of) {
		return
	}
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		t.walk(of.Elem(), path, index, visit)
	case reflect.Struct:
		for i := range of.NumField() {
			field := of.Field(i)
			inner, way := pathOf(path, field), append(slices.Clip(index), i)
			if inner != path {
				visit(inner, way)
			}
			if treatment := t[inner]; inner == path || treatment.IsHonoured() && !treatment.whole {
				t.walk(field.Type, inner, way, visit)
			}
		}
	}
}
