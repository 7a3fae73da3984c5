package driver_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	graphdriver "go.podman.io/storage/drivers"
	"go.podman.io/storage/drivers/graphtest"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/engine/layered"
	"github.com/rcrun/rcrun/fusefs/mounted"
	"github.com/rcrun/rcrun/layers/driver"
	"github.com/rcrun/rcrun/layers/internal/storetest"
	"github.com/rcrun/rcrun/rootless"
)

// mounting is the name of the driver with unions that are mounted.
const mounting = "fuse-mounting"

func TestMain(m *testing.M) {
	switch os.Args[0] {
	case mounted.Stage:
		os.Exit(mounted.Main())
	case rootless.EnterStage:
		fmt.Fprintln(os.Stderr, rootless.Enter())
		os.Exit(1)
	}
	if err := driver.RegisterMounting(mounting, layered.LayerMounter{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(storetest.RunAtHome(m))
}

// inside runs a test once more in a user namespace with all of the user's ids, and tells whether this is it.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Args[0] == rootless.InsideStage {
		return true
	}
	ids, warnings, err := rootless.PlanMap(rootless.ModeHost, rootless.CurrentCaller())
	if err != nil {
		t.Fatal(err)
	}
	if ids.SingleID {
		t.Skip("the files of several owners cannot be made:", warnings)
	}
	code, err := rootless.RunInside(t.Context(), ids, []string{"-test.run=^" + t.Name() + "$"}, os.Environ())
	if err != nil || code != 0 {
		t.Errorf("in the user namespace: exit code %d, %v", code, err)
	}
	return false
}

// TestLibrarySuite runs the suite that the library has for its drivers, but for the case about quotas, which wants
// EDQUOT at the limit: TestQuotaOfMount is that with ENOSPC. It makes files of several owners through Get's mounts,
// which takes a user namespace.
func TestLibrarySuite(t *testing.T) {
	if !inside(t) {
		return
	}
	graphtest.GetDriver(t, mounting) // kept over all cases
	drops := dropsSetuid(t)
	for name, run := range map[string]func(t testing.TB){
		"CreateEmpty":        func(t testing.TB) { graphtest.DriverTestCreateEmpty(t, mounting) },
		"CreateBase":         func(t testing.TB) { graphtest.DriverTestCreateBase(t, mounting) },
		"CreateSnap":         func(t testing.TB) { graphtest.DriverTestCreateSnap(t, mounting) },
		"CreateFromTemplate": func(t testing.TB) { graphtest.DriverTestCreateFromTemplate(t, mounting) },
		"DeepLayerRead":      func(t testing.TB) { graphtest.DriverTestDeepLayerRead(t, 128, mounting) },
		"DiffApply10":        func(t testing.TB) { graphtest.DriverTestDiffApply(t, 10, mounting) },
		"DiffApply100":       func(t testing.TB) { graphtest.DriverTestDiffApply(t, 100, mounting) },
		"Changes":            func(t testing.TB) { graphtest.DriverTestChanges(t, mounting) },
		"Echo":               func(t testing.TB) { graphtest.DriverTestEcho(t, mounting) },
		"ListLayers":         func(t testing.TB) { graphtest.DriverTestListLayers(t, mounting) },
	} {
		t.Run(name, func(t *testing.T) {
			if drops {
				run(withoutSetuid{t})
			} else {
				run(t)
			}
		})
	}
}

// dropsSetuid tells whether a plain file loses its set-user-ID bit when it is written: the kernel removes the bit
// unless the writer has CAP_FSETID in the first of all user namespaces.
func dropsSetuid(t *testing.T) bool {
	t.Helper()
	path := t.TempDir() + "/file"
	if err := os.WriteFile(path, []byte("data"), 0o600|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()&os.ModeSetuid == 0
}

// withoutSetuid takes it that a file lacks its set-user-ID bit: the suite expects a file to keep it that it writes to.
type withoutSetuid struct{ *testing.T }

func (t withoutSetuid) Errorf(format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	if strings.Contains(text, "expected: 0x800000") && strings.Contains(text, "actual  : 0x0\n") {
		return
	}
	t.T.Errorf("%s", text)
}

// TestSharedMount checks that all who get a layer share one mount, which the last of them takes down.
func TestSharedMount(t *testing.T) {
	if inside(t) {
		testSharedMount(t)
	}
}

// TestSharedMountOfUser is TestSharedMount without a user namespace.
func TestSharedMountOfUser(t *testing.T) {
	if _, err := exec.LookPath("fusermount3"); err != nil {
		t.Skip("an ordinary user cannot mount:", err)
	}
	testSharedMount(t)
}

func testSharedMount(t *testing.T) {
	t.Helper()
	root := t.TempDir()
	d, err := graphdriver.GetDriver(mounting, graphdriver.Options{Root: root, RunRoot: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Create("base", "", nil); err != nil {
		t.Fatal(err)
	}
	if err := d.CreateReadWrite("top", "base", nil); err != nil {
		t.Fatal(err)
	}
	first, err := d.Get("top", graphdriver.MountOpts{})
	if err != nil {
		t.Fatal(err)
	}
	if second, err := d.Get("top", graphdriver.MountOpts{}); err != nil || second != first {
		t.Errorf("got %q, then %q, %v", first, second, err)
	}
	for left := 1; left >= 0; left-- {
		if err := os.Mkdir(fmt.Sprint(first, "/", left), 0o755); err != nil {
			t.Error(err)
		}
		if err := d.Put("top"); err != nil {
			t.Error(err)
		}
		if n := mountsBelow(t, root); n != left {
			t.Errorf("%d mounts with %d uses left", n, left)
		}
	}
	if _, err := d.Get("top", graphdriver.MountOpts{}); err != nil {
		t.Error(err)
	}
	if err := d.Cleanup(); err != nil || mountsBelow(t, root) != 0 {
		t.Errorf("after the clean-up %d mounts, %v", mountsBelow(t, root), err)
	}
	if changes, err := d.Changes("top", nil, "base", nil, ""); err != nil || len(changes) != 2 {
		t.Errorf("changes %v, %v; want both directories", changes, err)
	}
}

// TestQuotaOfMount limits a layer as the library's users do, and writes more to it, as the library's own test does.
func TestQuotaOfMount(t *testing.T) {
	if _, err := exec.LookPath("fusermount3"); err != nil {
		t.Skip("an ordinary user cannot mount:", err)
	}
	d, err := graphdriver.GetDriver(mounting, graphdriver.Options{Root: t.TempDir(), RunRoot: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Create("base", "", nil); err != nil {
		t.Fatal(err)
	}
	const limit = 5 << 20
	if err := d.CreateReadWrite("top", "base",
		&graphdriver.CreateOpts{StorageOpt: map[string]string{"size": "5M", "inodes": "3"}}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the limit is the layer's, not the mount's
		dir, err := d.Get("top", graphdriver.MountOpts{})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/file", make([]byte, 2*limit), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("twice the limit: %v, want %v", err, unix.ENOSPC)
		}
		if err := errors.Join(os.WriteFile(dir+"/second", nil, 0o600),
			os.WriteFile(dir+"/third", nil, 0o600)); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("a file too much: %v, want %v", err, unix.ENOSPC)
		}
		usage, err := d.ReadWriteDiskUsage("top")
		if err != nil || usage.Size > limit || usage.Size < limit-1<<20 {
			t.Errorf("%+v is used, %v", usage, err)
		}
		if err := d.Put("top"); err != nil {
			t.Error(err)
		}
	}
	if err := d.Cleanup(); err != nil {
		t.Error(err)
	}
}

func mountsBelow(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), " "+dir+"/")
}
