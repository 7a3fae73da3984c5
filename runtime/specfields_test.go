package runtime

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rcrun/rcrun/internal/fields/fieldtest"
)

func TestFieldsOfTheSpecification(t *testing.T) {
	fieldtest.Run(t, specFields, func() any { return &specs.Spec{} })
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
	of := struct {
		Tomorrow []string `json:"ofTomorrow,omitempty"`
	}{[]string{"x"}}
	err := specFields.Check(of, "linux")
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
