package main

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/wire"
)

// Each of several errors is printed by itself, whether or not they have a class.
func TestJoined(t *testing.T) {
	one, two := fault.Errorf(errdefs.ErrNotFound, "one"), errors.New("two")
	for _, c := range []struct {
		err  error
		want []string
	}{
		{one, []string{"one"}},
		{errors.Join(one, errors.Join(two, io.EOF)), []string{"one", "two", "EOF"}},
		{fault.As(errdefs.ErrInvalidArgument, errors.Join(one, two)), []string{"one", "two"}},
		{&wire.Error{Stage: "init", Op: "run"}, []string{"init: run"}},
		{fault.Errorf(errdefs.ErrConflict, "all: %w", errors.Join(one, two)), []string{"all: one\ntwo"}},
	} {
		var got []string
		for _, err := range joined(c.err) {
			got = append(got, err.Error())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: printed as %q, want %q", c.err, got, c.want)
		}
	}
}
