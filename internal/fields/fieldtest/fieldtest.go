// Package fieldtest tests tables of package fields.
package fieldtest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/rcrun/rcrun/internal/fields"
)

// Run tests that a table has each field of the requests that empty makes, which are pointers to structs, and no other,
// and that each field is refused by its name or taken, as the table says.
func Run(t *testing.T, table fields.Table, empty func() any) {
	t.Helper()
	seen := map[string]bool{}
	table.Walk(reflect.TypeOf(empty()).Elem(), "", func(path string, index []int) {
		seen[path] = true
		treatment, known := table[path]
		if !known {
			t.Errorf("%s has no treatment", path)
			return
		}
		request := empty()
		Set(reflect.ValueOf(request).Elem(), index)
		checkOne(t, path, treatment, table.Check(request, ""))
	})
	for path := range table {
		if !seen[path] {
			t.Errorf("%s is not in the request, or within a field that is refused or ignored", path)
		}
	}
}

// checkOne looks at the error of a request in which a field is set.
func checkOne(t *testing.T, path string, treatment fields.Treatment, err error) {
	t.Helper()
	if treatment.Refused() == "" {
		if err != nil && !strings.HasPrefix(err.Error(), path+".") { // which is set along with it
			t.Errorf("%s is refused: %v", path, err)
		}
		return
	}
	if !errdefs.IsNotImplemented(err) || !strings.HasPrefix(err.Error(), path) ||
		!strings.HasSuffix(err.Error(), " is not supported: "+treatment.Refused()) {
		t.Errorf("%s: %v", path, err)
	}
}

// Set sets the field of a struct to which index leads, and no other except those on the way. In what it sets,
// everything is set.
func Set(v reflect.Value, index []int) {
	switch {
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		Set(v.Elem(), index)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		Set(v.Index(0), index)
	case v.Kind() == reflect.Array:
		Set(v.Index(0), index)
	case v.Kind() == reflect.Map:
		setElement(v, index)
	case v.Kind() == reflect.Struct && len(index) > 0:
		Set(v.Field(index[0]), index[1:])
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				Set(v.Field(i), nil)
			}
		}
	case v.Kind() == reflect.String:
		v.SetString("text")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(1)
	case v.CanUint():
		v.SetUint(1)
	}
}

// setElement makes a map of one element, whose key is a text if keys are.
func setElement(v reflect.Value, index []int) {
	key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
	if key.Kind() == reflect.String {
		key.SetString("key")
	}
	Set(value, index)
	v.Set(reflect.MakeMap(v.Type()))
	v.SetMapIndex(key, value)
}
