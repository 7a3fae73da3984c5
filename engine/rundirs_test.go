package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A monitor that is killed in the midst of a start leaves a run directory that no record names.
func TestRunDirectoriesAreRemoved(t *testing.T) {
	e := &Engine{Dirs: testDirs(t)}
	c := makeRecord(t, e, strings.Repeat("d", 64), "killed", Created)
	recorded := filepath.Join(t.TempDir(), "recorded")
	c.State.RunDir = recorded
	now := e.Dirs.runtimeDir(c.ID)
	for _, dir := range []string{recorded, now} {
		if err := os.MkdirAll(filepath.Join(dir, "root"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.removeRunDirs(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{recorded, now} {
		if _, err := os.Lstat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
}
