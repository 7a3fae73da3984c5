package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/driver"
)

// TestForeignConfig checks that configuration meant for other programs has no say, and that the environment stays.
func TestForeignConfig(t *testing.T) {
	for _, name := range []string{"CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER", "STORAGE_OPTS", "XDG_RUNTIME_DIR",
		"HOME"} {
		t.Setenv(name, "/nonexistent")
	}
	before := os.Environ()
	ignoreStorageConf()
	dir := t.TempDir()
	s, err := layers.Open(layers.Options{Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run")})
	if err != nil {
		t.Fatal(err)
	}
	if s.Driver() != driver.Fuse {
		t.Errorf("the driver is %q", s.Driver())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	after := map[string]bool{}
	for _, variable := range os.Environ() {
		after[variable] = true
	}
	for _, variable := range before {
		if !after[variable] {
			t.Errorf("the environment has no %q any more", variable)
		}
	}
}
