package engine

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount"
)

// TestInitLayer writes the init layer over an image that tries to redirect it.
func TestInitLayer(t *testing.T) {
	c := &Container{ID: strings.Repeat("a", 64), dirs: testDirs(t)}
	image, outside := t.TempDir(), t.TempDir()
	for _, err := range []error{
		os.Mkdir(c.dir(), 0o700), os.MkdirAll(image+"/sys/kept", 0o755), os.MkdirAll(image+"/dev/console", 0o755),
		os.Symlink(outside, image+"/etc"), os.Symlink("/", image+"/proc"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// The first of the lowers is the init layer itself.
	stack := unionmount.Options{Lowers: []unionmount.Layer{storeLayer(layerfmt.DriverFuse, c.path(initDir)),
		storeLayer(layerfmt.DriverFuse, image)}}
	if err := c.writeInitLayer(stack); err != nil {
		t.Fatal(err)
	}
	if found, err := os.ReadDir(outside); err != nil || len(found) > 0 {
		t.Errorf("written through a link of the image's: %v, %v", found, err)
	}
	want := []string{". d755", ".dockerenv -755", "dev d755", "dev/pts d755", "dev/shm d755", "etc d755",
		"etc/hostname -755", "etc/hosts -755",
		"etc/mtab L", "etc/resolv.conf -755", "proc d755"}
	if got := listTree(t, c.path(initDir)); !slices.Equal(got, want) {
		t.Errorf("the layer has\n%q, want\n%q", got, want)
	}
	if target, err := os.Readlink(c.path(initDir + "/etc/mtab")); target != mtabTarget {
		t.Errorf("/etc/mtab leads to %q, %v", target, err)
	}
}

// listTree lists a tree as "PATH TYPEMODE".
func listTree(t *testing.T, root string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		mode := map[fs.FileMode]string{0: "-755", fs.ModeDir: "d755", fs.ModeSymlink: "L"}[info.Mode().Type()]
		if info.Mode().Type() != fs.ModeSymlink && info.Mode().Perm() != 0o755 {
			mode = info.Mode().String()
		}
		list = append(list, name+" "+mode)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
