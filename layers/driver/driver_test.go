package driver_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	graphdriver "go.podman.io/storage/drivers"
	"go.podman.io/storage/pkg/archive"
	"go.podman.io/storage/pkg/idtools"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/layers/tree"
)

func openDriver(t *testing.T) *driver.Driver {
	t.Helper()
	d, err := driver.NewDriver(filepath.Join(t.TempDir(), "fuse"), graphdriver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d.(*driver.Driver)
}

// stackLayers makes the layer "top" on "base" by the methods that the library uses while it has the store locked.
func stackLayers(t *testing.T, d *driver.Driver) (top []byte) {
	t.Helper()
	top = storetest.PatchTar(t)
	if err := d.Create("base", "", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ApplyDiff("base", graphdriver.ApplyDiffOpts{Diff: bytes.NewReader(storetest.RootfsTar(t,
		"x"))}); err != nil {
		t.Fatal(err)
	}
	if err := d.CreateReadWrite("top", "base", nil); err != nil {
		t.Fatal(err)
	}
	if n, err := d.ApplyDiff("top", graphdriver.ApplyDiffOpts{Diff: bytes.NewReader(top)}); n != 5 || err != nil {
		t.Fatalf("applied %d bytes, %v; want 5", n, err)
	}
	return top
}

func TestDriver(t *testing.T) {
	d := openDriver(t)
	stackLayers(t, d)
	if ids, err := d.ListLayers(); err != nil || !slices.Equal(ids, []string{"base", "top"}) || !d.Exists("top") {
		t.Errorf("layers %q, %v", ids, err)
	}
	if dir, err := d.Get("top", graphdriver.MountOpts{}); err != nil || dir != d.Layout.Diff("top") {
		t.Errorf("the tree is %q, %v", dir, err)
	}
	if n, err := d.DiffSize("top", nil, "base", nil, ""); n != 5 || err != nil {
		t.Errorf("size %d, %v; want 5", n, err)
	}
	if use, err := d.ReadWriteDiskUsage("top"); err != nil || use.Size < 5 {
		t.Errorf("usage %+v, %v", use, err)
	}
	changes, err := d.Changes("top", nil, "base", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, c.String())
	}
	slices.Sort(got)
	if want := []string{"A /etc/motd", "C /etc", "D /etc/alias"}; !slices.Equal(got, want) {
		t.Errorf("changes %q, want %q", got, want)
	}
	if all, err := d.Changes("top", nil, "", nil, ""); err != nil || len(all) == 0 ||
		slices.ContainsFunc(all, func(c archive.Change) bool { return c.Kind != archive.ChangeAdd }) {
		t.Errorf("changes to nothing: %v, %v; want additions", all, err)
	}
	if none, err := d.Changes("top", nil, "top", nil, ""); err != nil || len(none) != 0 {
		t.Errorf("changes to itself: %v, %v", none, err)
	}
	if err := d.CreateFromTemplate("copy", "top", nil, "base", nil, nil, false); err != nil {
		t.Error(err)
	}
	if none, err := d.Changes("copy", nil, "top", nil, ""); err != nil || len(none) != 0 {
		t.Errorf("changes of the copy: %v, %v", none, err)
	}
	if err := d.CreateFromTemplate("odd", "top", nil, "top", nil, nil, false); !errors.Is(err,
		graphdriver.ErrNotSupported) || d.Exists("odd") {
		t.Errorf("a copy on another parent: %v", err)
	}
	if err := d.Create("odd", "",
		&graphdriver.CreateOpts{StorageOpt: map[string]string{"color": "red"}}); !errors.Is(err,
		graphdriver.ErrNotSupported) || d.Exists("odd") {
		t.Errorf("a storage option that there is not: %v", err)
	}
	cleanup, err := d.DeferredRemove("top")
	if err := errors.Join(err, cleanup()); err != nil || d.Exists("top") {
		t.Errorf("removal: %v", err)
	}
}

// TestDriverDiff applies what Diff returns to another layer, which must then be the same.
func TestDriverDiff(t *testing.T) {
	d := openDriver(t)
	stackLayers(t, d)
	diff := readDiff(t, d, "top", "base")
	if names := storetest.TarNames(t, diff); !slices.Equal(names, []string{"etc/", "etc/.wh.alias", "etc/motd"}) {
		t.Errorf("entries %q", names)
	}
	if err := d.Create("again", "base", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ApplyDiff("again", graphdriver.ApplyDiffOpts{Diff: bytes.NewReader(diff)}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readDiff(t, d, "again", "base"), diff) {
		t.Error("the copy of a layer differs")
	}
	// A layer has an entry for the root once it changes it.
	if err := tree.WriteStat(d.Layout.Diff("again"), layerfmt.Stat{UID: 7, Mode: unix.S_IFDIR | 0o700}); err != nil {
		t.Fatal(err)
	}
	if names := storetest.TarNames(t, readDiff(t, d, "again", "base")); names[0] != "./" {
		t.Errorf("entries %q, want the root first", names)
	}
}

func readDiff(t *testing.T, d *driver.Driver, id, parent string) []byte {
	t.Helper()
	r, err := d.Diff(id, &idtools.IDMappings{}, parent, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return data
}

// TestOrphan checks that a layer whose parent has been removed says so.
func TestOrphan(t *testing.T) {
	d := openDriver(t)
	stackLayers(t, d)
	if err := os.RemoveAll(d.Layout.Layer("base")); err != nil {
		t.Fatal(err)
	}
	if err := d.CreateReadWrite("late", "base", nil); err == nil || d.Exists("late") {
		t.Errorf("a layer on a parent that is gone: %v", err)
	}
	cleanup, staged, _, err := d.StartStagingDiffToApply("base", graphdriver.ApplyDiffOpts{Diff: bytes.NewReader(nil)})
	if !errors.Is(err, graphdriver.ErrLayerUnknown) || staged != nil {
		t.Errorf("staging on a parent that is gone: %v", err)
	}
	if err := cleanup(); err != nil {
		t.Error(err)
	}
}

// TestDriverStatus compares what the driver says of the filesystem with what it then does there.
func TestDriverStatus(t *testing.T) {
	d := openDriver(t)
	stackLayers(t, d)
	status := map[string]string{}
	for _, pair := range d.Status() {
		status[pair[0]] = pair[1]
	}
	for _, key := range []string{"Backing Filesystem", "Reflink", "Quota"} {
		if status[key] == "" {
			t.Errorf("no %s in %q", key, status)
		}
	}
	var st unix.Stat_t
	device := unix.Lstat(d.Layout.Diff("top")+"/etc/alias", &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR
	if device != (status["Whiteouts"] == "devices 0:0") {
		t.Errorf("whiteouts are %q, and a device: %v", status["Whiteouts"], device)
	}
	if status["User Xattrs"] != "true" {
		t.Errorf("xattrs: %q", status["User Xattrs"]) // the other tests need them
	}
	if left, err := os.ReadDir(d.Layout.Staging()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDiffReadsChangesOnly takes the permission to read what a layer leaves alone in the one below: none of it is
// opened to tell what has changed.
func TestDiffReadsChangesOnly(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads whatever the permissions are")
	}
	d := openDriver(t)
	if err := d.Create("base", "", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ApplyDiff("base", graphdriver.ApplyDiffOpts{Diff: bytes.NewReader(storetest.RootfsTar(t,
		"x"))}); err != nil {
		t.Fatal(err)
	}
	if err := d.CreateReadWrite("top", "base", nil); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Mkdir(d.Layout.Diff("top")+"/etc", 0o755),
		os.WriteFile(d.Layout.Diff("top")+"/etc/new", []byte("data"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := readDiff(t, d, "top", "base")
	closeTree(t, d.Layout.Diff("base"))
	if got := readDiff(t, d, "top", "base"); !bytes.Equal(got, want) || len(storetest.TarNames(t, got)) != 2 {
		t.Errorf("entries %q, want the file and its directory", storetest.TarNames(t, got))
	}
	changes, err := d.Changes("top", nil, "base", nil, "")
	if err != nil || len(changes) != 2 || changes[1].String() != "A /etc/new" {
		t.Errorf("changes %v, %v", changes, err)
	}
}

// closeTree takes all permissions from what is in a tree but the directory etc.
func closeTree(t *testing.T, root string) {
	t.Helper()
	closed := 0
	for _, dir := range []string{root, root + "/etc"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Type()&os.ModeSymlink != 0 || e.Name() == "etc" {
				continue
			}
			path := filepath.Join(dir, e.Name())
			if err := os.Chmod(path, 0); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(path, 0o700) }) // to be removed; the test has its result by then
			closed++
		}
	}
	if closed == 0 {
		t.Fatal("there is nothing to close")
	}
}
