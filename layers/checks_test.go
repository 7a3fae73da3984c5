package layers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// mustCheck returns what a check finds.
func mustCheck(t testing.TB, s *Store, deep bool) []Problem {
	t.Helper()
	problems, err := s.Check(context.Background(), CheckOptions{Deep: deep})
	if err != nil {
		t.Fatal(err)
	}
	return problems
}

// isClean checks that a deep check finds nothing.
func isClean(t testing.TB, s *Store) {
	t.Helper()
	for _, p := range mustCheck(t, s, true) {
		t.Errorf("%s %s %q: %s", p.Kind, p.ID, p.Names, p.Text)
	}
}

// flip changes a bit of a file as a bad disk does, without a trace.
func flip(path string, at int) error {
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

func mustWrite(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
