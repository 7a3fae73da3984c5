package fieldtest

import (
	"reflect"
	"slices"
	"testing"

	"github.com/rcrun/rcrun/internal/fields"
)

// Shown tests that a table has each field of an answer, whose samples are pointers to structs of one type: a field that
// the table honours is set in one of the samples, and one that it ignores in none.
func Shown(t *testing.T, table fields.Table, samples ...any) {
	t.Helper()
	seen := map[string]bool{}
	table.Walk(reflect.TypeOf(samples[0]).Elem(), "", func(path string, index []int) {
		seen[path] = true
		treatment, known := table[path]
		isSet := slices.ContainsFunc(samples, func(sample any) bool { return setIn(reflect.ValueOf(sample), index) })
		switch {
		case !known:
			t.Errorf("%s has no treatment", path)
		case treatment.IsHonoured() && !isSet:
			t.Errorf("%s is shown in no sample", path)
		case !treatment.IsHonoured() && isSet:
			t.Errorf("%s is shown, although the table says that it is not", path)
		}
	})
	for path := range table {
		if !seen[path] {
			t.Errorf("%s is not in the answer, or within a field that is not shown", path)
		}
	}
}

// setIn tells whether the field to which index leads is set, in one of the elements where it leads through a list.
func setIn(v reflect.Value, index []int) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && (len(index) == 0 || setIn(v.Elem(), index))
	case reflect.Slice:
		for i := range v.Len() {
			if setIn(v.Index(i), index) {
				return true
			}
		}
		return false
	case reflect.Map:
		for _, element := range v.Seq2() {
			if setIn(element, index) {
				return true
			}
		}
		return len(index) == 0 && v.Len() > 0
	case reflect.Struct:
		if len(index) > 0 {
			return setIn(v.Field(index[0]), index[1:])
		}
	}
	return fields.IsSet(v)
}
