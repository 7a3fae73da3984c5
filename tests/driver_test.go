package tests

import (
	"strings"
	"testing"
)

// coreTests are those that show what every storage driver must do.
var coreTests = map[string]func(*testing.T){
	"Load": TestLoad, "Pull": TestPull, "PullSave": TestPullSave, "PullInterrupted": TestPullInterrupted,
	"Import": TestImport, "Tag": TestTag, "Rmi": TestRmi, "Lifecycle": TestLifecycle, "Exec": TestExec,
	"RemoveOnExit": TestRemoveOnExit, "Environment": TestEnvironment, "User": TestUser, "Files": TestFiles,
	"Volumes":  TestVolumes,
	"ReadOnly": TestReadOnly, "KillEverythingAtOnce": TestKillEverythingAtOnce,
	"KilledWhileCreating": TestKilledWhileCreating,
	"Debian":              testDebianTree, "Commit": TestCommitCore, "Fresh": testFreshContainer,
	"ReadWhileExchanged": TestReadWhileExchanged, "DeepContainer": TestDeepContainer,
}

// TestStorageDrivers runs the core of the suite with the drivers of the library.
func TestStorageDrivers(t *testing.T) {
	for _, driver := range []string{"overlay", "vfs"} {
		t.Run(driver, func(t *testing.T) {
			if r := newUser(t).try("info"); r.code != 0 && driver == "overlay" {
				t.Skip("the kernel's overlay cannot be used here:", r.stderr)
			}
			for name, test := range coreTests {
				t.Run(name, test)
			}
		})
	}
}

// driverOf returns the storage driver of a test's users: that of the part of TestStorageDrivers that it belongs to, or
// "" for the usual one.
func driverOf(t *testing.T) string {
	parts := strings.Split(t.Name(), "/")
	if parts[0] != "TestStorageDrivers" || len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// TestWithoutXattrs runs the core of the suite with stores that do without xattrs.
func TestWithoutXattrs(t *testing.T) {
	for name, test := range coreTests {
		t.Run(name, test)
	}
	for name, test := range formTests {
		t.Run(name, test)
	}
}

// formTests are those about what both forms of our own driver's store must do.
var formTests = map[string]func(*testing.T){
	"Holes": TestHoles, "BelowLinksOfLayer": TestBelowLinksOfLayer, "LongNamesDeleted": TestLongNamesDeleted,
}

// xattrsOf returns "off" for the users of TestWithoutXattrs, else "".
func xattrsOf(t *testing.T) string {
	if strings.HasPrefix(t.Name(), "TestWithoutXattrs/") {
		return "off"
	}
	return ""
}

// testDebianTree compares all files of a Debian container with the tar.
func testDebianTree(t *testing.T) {
	u := newUser(t)
	u.run("import", "-c", `CMD ["bash"]`, debianTar(), "debian:12")
	u.hasAllFilesOf(debianTar())
}

// testFreshContainer checks that what every container is given is no change of its image, and that what a container
// makes of it is.
func testFreshContainer(t *testing.T) {
	u := newUserWithImage(t)
	u.run("run", "--name", "fresh", "--network", "none", "bb", "true")
	u.prints("", "diff", "fresh")
	u.run("commit", "fresh", "same")
	before := u.run("image", "inspect", "-f", `{{.RootFS.Layers}}`, "bb")
	u.prints(before, "image", "inspect", "-f", `{{.RootFS.Layers}}`, "same")
	u.run("run", "--name", "used", "--network", "none", "bb", "sh", "-c", "echo mine >/.dockerenv; chmod 700 /etc")
	u.prints("A /.dockerenv\nC /etc", "diff", "used")
}

// TestStorageDriverChoice checks what the choice of a driver means for a store that is there already.
func TestStorageDriverChoice(t *testing.T) {
	u := newUser(t)
	u.fails(125, []string{"no storage driver", "fuse, overlay, vfs"}, "--storage-driver", "btrfs", "images")
	u.succeeded(u.tryWith(busyboxTree(t), "--storage-driver", "vfs", "import", "-", "bb"))
	u.prints("vfs", "info", "--format", "{{.Driver}}") // which the store remembers
	u.prints("ok", "run", "--rm", "--network", "none", "bb", "echo", "ok")
	u.fails(125, []string{"has the storage driver vfs, not fuse"}, "--storage-driver", "fuse", "images")
	u.fails(125, []string{"--userns=keep-id needs the storage driver fuse"}, "run", "--userns", "keep-id", "bb", "true")
	u.fails(125, []string{":O needs the storage driver fuse"}, "run", "--rootfs", "/:O", "true")
	u.failed(u.script(withoutNewuidmap, "$RCRUN images"), 125, "the storage driver vfs needs subordinate ids",
		"newuidmap")
	u.run("rmi", "-f", "bb") // what is left is all the user's own
}
