package main

import (
	"testing"

	"github.com/rcrun/rcrun/engine/view"
)

// TestParseFilters reads pairs; what is no pair, or one that is not known, is refused with the flag's own text.
func TestParseFilters(t *testing.T) {
	var f view.Filter
	if err := parseFilters([]string{"status=exited", "label=a=b"}, f.Add); err != nil {
		t.Error(err)
	}
	for flag, want := range map[string]string{
		"name":       `invalid --filter "name": want key=value`,
		"exited=odd": `invalid --filter "exited=odd": want an exit code`,
	} {
		if err := parseFilters([]string{flag}, f.Add); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", flag, err, want)
		}
	}
}
