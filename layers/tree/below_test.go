package tree

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// writeRef makes a file that refers to the data of another, or a directory that refers to others.
func writeRef(t *testing.T, path, xattr, below string, size int64) {
	t.Helper()
	if xattr == layerfmt.DataXattr {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	} else if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(path, xattr, []byte(below), 0); err != nil {
		t.Fatal(err)
	}
}

func plant(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPackFindsDataBelow(t *testing.T) {
	lowers := Lowers{plant(t, t.TempDir(), map[string]string{"d/f": "wrong"}), plant(t, t.TempDir(), map[string]string{"d/f": "data"})}
	upper := t.TempDir()
	writeRef(t, upper+"/moved", layerfmt.DataXattr, "1:d/f", 4)
	var out bytes.Buffer
	if err := Pack(upper, &out, PackOptions{OmitRoot: true, Lowers: lowers}); err != nil {
		t.Fatal(err)
	}
	to, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := Unpack(to, &out, nil); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(to.Name() + "/moved"); string(data) != "data" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestPackRefusesWhatItCannotFind(t *testing.T) {
	for _, below := range []string{"1:d/none", "2:d/f", "rubbish", "1:../f"} {
		upper := t.TempDir()
		writeRef(t, upper+"/moved", layerfmt.DataXattr, below, 4)
		lowers := Lowers{plant(t, t.TempDir(), map[string]string{"d/f": "data"})}
		if err := Pack(upper, &bytes.Buffer{}, PackOptions{Lowers: lowers}); err == nil {
			t.Errorf("%s: packed", below)
		}
	}
}
