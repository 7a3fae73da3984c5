package driver_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
)

func TestFindDriver(t *testing.T) {
	for _, c := range []struct {
		made, wanted string // "" for none
		want         string // the driver, or a part of the error
		refused      bool
	}{
		{"", "", "fuse", false},
		{"", "vfs", "vfs", false},
		{"overlay", "", "overlay", false},
		{"overlay", "overlay", "overlay", false},
		{"fuse", "overlay", "has the storage driver fuse, not overlay", true},
		{"", "zfs", "use one of fuse, overlay, vfs", true},
	} {
		root := t.TempDir()
		if c.made != "" {
			if err := os.Mkdir(filepath.Join(root, c.made+"-layers"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		got, err := driver.Find(root, c.wanted)
		if c.refused {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v", c, err)
			}
		} else if got != c.want || err != nil {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func TestOverlayStack(t *testing.T) {
	l := driver.OverlayLayout{Home: t.TempDir()}
	dir := filepath.Join(l.Home, "c1")
	if _, err := l.Stack("c1"); !os.IsNotExist(err) {
		t.Errorf("a layer that is not there: %v", err)
	}
	for _, err := range []error{os.MkdirAll(filepath.Join(dir, "diff"), 0o700),
		os.WriteFile(filepath.Join(dir, "lower"), []byte("l/NEAR:l/FAR"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	stack, err := l.Stack("c1")
	want := []layers.Lower{{Dir: filepath.Join(l.Home, "l/NEAR")}, {Dir: filepath.Join(l.Home, "l/FAR")}}
	if err != nil || stack.Upper != filepath.Join(dir, "diff") || stack.Work != filepath.Join(dir, "work") ||
		!slices.Equal(stack.Lowers, want) {
		t.Errorf("got %+v, %v", stack, err)
	}
}
