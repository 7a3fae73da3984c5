package posix

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

const (
	binaryEnv = "RCRUN"              // the binary to be tested; ../../bin/rcrun without
	insideEnv = "RCRUN_POSIX_INSIDE" // set in the user namespace
)

// TestMain has an ordinary user's tests run as root of a user namespace that has all of the user's ids, with mounts of
// its own.
func TestMain(m *testing.M) {
	if os.Geteuid() == 0 {
		os.Exit(m.Run())
	}
	if os.Getenv(insideEnv) != "" {
		fmt.Println("skipped: no user namespace with more than one id can be had here")
		os.Exit(0)
	}
	if err := enterNamespace(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func enterNamespace() error {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--propagation", "private", self}
	return syscall.Exec(unshare, append(args, os.Args[1:]...), append(os.Environ(), insideEnv+"=1"))
}

// overlayProgram returns a directory's path by which the binary is called like fuse-overlayfs.
func overlayProgram(t *testing.T, dir string) string {
	t.Helper()
	binary := os.Getenv(binaryEnv)
	if binary == "" {
		binary = "../../bin/rcrun"
	}
	binary, err := filepath.Abs(binary)
	must(t, err)
	program := filepath.Join(dir, "fuse-rcrun")
	must(t, os.Symlink(filepath.Join(filepath.Dir(binary), "fuse-rcrun"), program))
	return program
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
