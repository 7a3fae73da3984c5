package runtime

import (
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// walkFields calls visit with the path of each field of the specification, except of those within a field that is
// refused or not used. steps lead from the specification to the field.
func walkFields(of reflect.Type, path string, steps []int, visit func(path string, steps []int)) {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		walkFields(of.Elem(), path, steps, visit)
	case reflect.Struct:
		for i := range of.NumField() {
			field := of.Field(i)
			inner, way := fieldPath(path, field), append(steps[:len(steps):len(steps)], i)
			visit(inner, way)
			if specFields[inner] == honoured {
				walkFields(field.Type, inner, way, visit)
			}
		}
	}
}

func TestEachFieldOfTheSpecificationHasATreatment(t *testing.T) {
	seen := map[string]bool{}
	walkFields(reflect.TypeFor[specs.Spec](), "", nil, func(path string, _ []int) {
		seen[path] = true
		if _, known := specFields[path]; !known {
			t.Errorf("%s has no treatment", path)
		}
	})
	for path := range specFields {
		if !seen[path] {
			t.Errorf("%s is not in the specification, or within a field that is refused", path)
		}
	}
}

func TestFieldsAreRefusedByName(t *testing.T) {
	walkFields(reflect.TypeFor[specs.Spec](), "", nil, func(path string, steps []int) {
		spec := DefaultSpec("true")
		setField(reflect.ValueOf(spec).Elem(), steps)
		err := checkFields(reflect.ValueOf(spec), "")
		if specFields[path].refused == "" {
			if err != nil && !strings.HasPrefix(err.Error(), path+".") { // which is set along with it
				t.Errorf("%s is refused: %v", path, err)
			}
			return
		}
		if !errdefs.IsNotImplemented(err) || !strings.HasPrefix(err.Error(), path+" is not supported: ") {
			t.Errorf("%s: %v", path, err)
		}
	})
}

// setField sets the field that steps lead to, those on the way, and all that is in the field.
func setField(v reflect.Value, steps []int) {
	switch {
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		setField(v.Elem(), steps)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		setField(v.Index(0), steps)
	case v.Kind() == reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		setField(value, steps)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), value)
	case v.Kind() == reflect.Struct && len(steps) > 0:
		setField(v.Field(steps[0]), steps[1:])
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			setField(v.Field(i), nil)
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

// Generated specifications contain fields that ask for nothing.
func TestEmptyFieldsAreNotRefused(t *testing.T) {
	spec := DefaultSpec("true")
	spec.Hooks = &specs.Hooks{}
	spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{}, Devices: []specs.LinuxDeviceCgroup{}}
	if err := validate(spec); err != nil {
		t.Error(err)
	}
	none := int64(0)
	spec.Linux.Resources.Memory.Limit = &none
	if err := validate(spec); err == nil || !strings.Contains(err.Error(), "linux.resources") {
		t.Errorf("a limit of 0 bytes: %v", err)
	}
}

func TestUnknownFieldsAreRefused(t *testing.T) {
	of := reflect.ValueOf(struct {
		Tomorrow []string `json:"ofTomorrow,omitempty"`
	}{[]string{"x"}})
	err := checkFields(of, "linux")
	if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "linux.ofTomorrow") {
		t.Error(err)
	}
}

func TestInvalidSpecifications(t *testing.T) {
	for name, change := range map[string]func(*specs.Spec){
		"no process":             func(s *specs.Spec) { s.Process = nil },
		"no linux section":       func(s *specs.Spec) { s.Linux = nil },
		"a host name of no host": func(s *specs.Spec) { s.Linux.Namespaces = nil },
	} {
		spec := DefaultSpec("true")
		change(spec)
		if err := validate(spec); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := validate(nil); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
	if err := validateExec(nil); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
	adjust := 1
	if err := validateExec(&specs.Process{OOMScoreAdj: &adjust}); !errdefs.IsNotImplemented(err) {
		t.Error(err)
	}
	if err := validateExec(&specs.Process{SelinuxLabel: "x"}); !errdefs.IsNotImplemented(err) {
		t.Error(err)
	}
}
