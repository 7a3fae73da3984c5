package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// TestOverlayOptions checks that paths are short, and that more layers than the kernel takes are told of.
func TestOverlayOptions(t *testing.T) {
	stack := layerfmt.Stack{Driver: layerfmt.DriverOverlay, Upper: "/d/storage/overlay/up/diff",
		Work: "/d/storage/overlay/up/work"}
	for i := range 100 {
		stack.Lowers = append(stack.Lowers, layerfmt.Lower{Dir: fmt.Sprintf("/d/storage/overlay/l/%026d", i)})
	}
	root, err := newOverlayRoot(stack, "/d/containers/id/init/diff")
	if err != nil {
		t.Fatal(err)
	}
	options, err := root.options()
	lowers := "lowerdir=../../containers/id/init/diff:l/00000000000000000000000000:l/"
	if err != nil || root.Base != "/d/storage/overlay" || !strings.HasPrefix(options, lowers) ||
		!strings.HasSuffix(options, ",upperdir=up/diff,workdir=up/work,userxattr") {
		t.Errorf("in %s: %q, %v", root.Base, options, err)
	}
	stack.Lowers = append(stack.Lowers, stack.Lowers...)
	if root, err = newOverlayRoot(stack, "/d/containers/id/init/diff"); err != nil {
		t.Fatal(err)
	}
	if _, err := root.options(); err == nil || !strings.Contains(err.Error(), "201 layers") {
		t.Errorf("200 layers: %v", err)
	}
}
