package tree

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCheckIndex changes a tree in ways that its index must show, and the index in ways that must not blame the tree.
func TestCheckIndex(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(dir, index string) error
		want   string
		bad    bool // the index, not the tree
	}{
		"nothing": {damage: func(string, string) error { return nil }},
		"new file": {damage: func(dir, _ string) error {
			return os.WriteFile(filepath.Join(dir, "d/new"), nil,
				0o600)
		}, want: "/d "},
		"removed file": {damage: func(dir, _ string) error { return os.Remove(filepath.Join(dir, "d/file")) },
			want: "/d "},
		"time": {damage: func(dir, _ string) error {
			return os.Chtimes(filepath.Join(dir, "d/file"), time.Time{}, time.Unix(1, 0))
		}, want: "/d/file"},
		"mode": {damage: func(dir, _ string) error { return os.Chmod(filepath.Join(dir, "d/file"), 0o755) },
			want: "/d/file"},
		"torn": {damage: func(_, index string) error { return os.Truncate(index, 40) }, want: "index", bad: true},
		"gone": {damage: func(_, index string) error { return os.Remove(index) }, want: "index", bad: true},
		"altered": {damage: func(_, index string) error {
			data, err := os.ReadFile(index)
			if err != nil {
				return err
			}
			return os.WriteFile(index, bytes.Replace(data, []byte("file"), []byte("fire"), 1), 0o600)
		}, want: "index", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			dir, index := filepath.Join(base, "tree"), filepath.Join(base, "index")
			if err := os.MkdirAll(filepath.Join(dir, "d"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "d/file"), []byte("content"), 0o600); err != nil {
				t.Fatal(err)
			}
			root := mustOpen(t, dir)
			then := mustCreate(t, index)
			if err := WriteIndex(root, then); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(dir, index); err != nil {
				t.Fatal(err)
			}
			err := CheckIndex(root, mustCreate(t, filepath.Join(base, "scratch")), index, false)
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) ||
				errors.Is(err, ErrBadIndex) != c.bad {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func mustOpen(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func mustCreate(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
