package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
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
	lowers := on(plant(t, t.TempDir(), map[string]string{"d/f": "wrong"}),
		plant(t, t.TempDir(), map[string]string{"d/f": "data"}))
	upper := t.TempDir()
	writeRef(t, upper+"/moved", layerfmt.DataXattr, "1:d/f", 4)
	var out bytes.Buffer
	if err := Pack(Tree{Dir: upper}, &out, PackOptions{OmitRoot: true, Lowers: lowers}); err != nil {
		t.Fatal(err)
	}
	to, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := Unpack(to, &out, UnpackOptions{}); err != nil {
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
		lowers := on(plant(t, t.TempDir(), map[string]string{"d/f": "data"}))
		if err := Pack(Tree{Dir: upper}, &bytes.Buffer{}, PackOptions{Lowers: lowers}); err == nil {
			t.Errorf("%s: packed", below)
		}
	}
	upper := t.TempDir()
	writeRef(t, upper+"/new", layerfmt.RedirectXattr, "1:d", 0)
	if err := Pack(Tree{Dir: upper}, &bytes.Buffer{}, PackOptions{}); err == nil {
		t.Error("packed a renamed directory without the layers below")
	}
}

// TestRenamedDirectory packs a directory that two of three layers have a part of, and wants all of it.
func TestRenamedDirectory(t *testing.T) {
	lowers := on(
		mustUnpack(t, nil, entry{name: "unrelated"}),
		mustUnpack(t, nil, entry{name: "d/"}, entry{name: "d/top", body: "top"}, entry{name: "d/.wh.gone"},
			entry{name: "d/sub/"}, entry{name: "d/sub/.wh..wh..opq"}, entry{name: "d/sub/x", body: "x"}),
		mustUnpack(t, nil, entry{name: "d/"}, entry{name: "d/bottom", body: "bottom"}, entry{name: "d/gone"},
			entry{name: "d/sub/hidden"}, entry{name: "d/deleted"}, entry{name: "d/moved/y", body: "y"}),
	)
	upper := mustUnpack(t, lowers, entry{name: ".wh.d"})
	writeRef(t, upper+"/new", layerfmt.RedirectXattr, "9,2-1:d", 0)
	writeRef(t, upper+"/new/again", layerfmt.RedirectXattr, "1:d/moved", 0)
	writeRef(t, upper+"/new/bottom", layerfmt.DataXattr, "1:d/bottom", 6)
	for _, name := range []string{"deleted", "moved"} {
		if err := unix.Mknod(upper+"/new/"+name, unix.S_IFCHR, 0); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := Pack(Tree{Dir: upper}, &out, PackOptions{OmitRoot: true, Lowers: lowers}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for tr := tar.NewReader(&out); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, hdr.Name+"="+string(body))
	}
	want := []string{".wh.d=", "new/=", "new/.wh..wh..opq=", "new/again/=", "new/again/y=y", "new/bottom=bottom",
		"new/sub/=",
		"new/sub/x=x", "new/top=top"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	changes, err := Changes(context.Background(), Tree{Dir: upper}, lowers, Writable{})
	if want := (Change{"/new/again/y", Added}); err != nil || !slices.Contains(changes, want) ||
		slices.Contains(changes, Change{"/new/deleted", Deleted}) {
		t.Errorf("changes: %v, %v", changes, err)
	}
}
