package fault

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/containerd/errdefs"
)

func TestClassSurvivesWrapping(t *testing.T) {
	inner := Errorf(errdefs.ErrNotFound, "no such image: %w", io.EOF)
	for _, err := range []error{inner, fmt.Errorf("pull: %w", inner), errors.Join(errors.New("other"), inner)} {
		if !errdefs.IsNotFound(err) || !errors.Is(err, io.EOF) || Name(err) != "not-found" {
			t.Errorf("%v: class %q", err, Name(err))
		}
	}
	if got := inner.Error(); got != "no such image: EOF" {
		t.Errorf("text %q", got)
	}
}

func TestOutermostClassCounts(t *testing.T) {
	err := As(errdefs.ErrUnavailable, Errorf(errdefs.ErrNotFound, "no socket"))
	if Class(err) != errdefs.ErrUnavailable {
		t.Errorf("class %v", Class(err))
	}
}

func TestNames(t *testing.T) {
	for name, class := range names {
		if Named(name) != class || Name(fmt.Errorf("x: %w", class)) != name {
			t.Errorf("%s does not come back", name)
		}
	}
	if Named("of-tomorrow") != nil || Name(io.EOF) != "" || Name(nil) != "" {
		t.Error("an error without a class has one")
	}
}
