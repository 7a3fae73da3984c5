package storetest

import (
	"fmt"
	"os"
	"testing"
)

// homeEnv tells processes that a test starts that they have a home of the tests' own already.
const homeEnv = "RCRUN_TEST_HOME"

// RunAtHome runs the tests with a home of their own, because the libraries of images keep a cache in that of the user,
// and without the host's storage.conf. It returns the exit code.
func RunAtHome(m *testing.M) int {
	if os.Getenv(homeEnv) != "" {
		return m.Run()
	}
	home, err := os.MkdirTemp("", "rcrun-home")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(home)
	os.Setenv(homeEnv, home)
	os.Setenv("HOME", home)
	os.Setenv("XDG_RUNTIME_DIR", home)
	os.Setenv("CONTAINERS_STORAGE_CONF", os.DevNull)
	os.Unsetenv("XDG_DATA_HOME")
	return m.Run()
}
