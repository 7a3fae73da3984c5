package storetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rcrun/rcrun/layers"
	"github.com/rcrun/rcrun/layers/upkeep"
)

// MustCheck returns what a check finds.
func MustCheck(t testing.TB, s *layers.Store, deep bool) []upkeep.Problem {
	t.Helper()
	problems, err := upkeep.Check(context.Background(), s, upkeep.CheckOptions{Deep: deep})
	if err != nil {
		t.Fatal(err)
	}
	return problems
}

// IsClean checks that a deep check finds nothing.
func IsClean(t testing.TB, s *layers.Store) {
	t.Helper()
	for _, p := range MustCheck(t, s, true) {
		t.Errorf("%s %s %q: %s", p.Kind, p.ID, p.Names, p.Text)
	}
}

// Flip changes a bit of a file as a bad disk does, without a trace.
func Flip(path string, at int) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[at] ^= 1
	return errors.Join(os.WriteFile(path, data, 0o600), os.Chtimes(path, time.Time{}, info.ModTime()))
}

// MustWrite writes a file.
func MustWrite(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
