package xattrlog

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const root = 77

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// opened is a directory with a log.
type opened struct {
	*Log
	t   *testing.T
	dir string
	fd  int
}

func create(t *testing.T) *opened {
	t.Helper()
	o := &opened{t: t, dir: t.TempDir()}
	var err error
	o.fd, err = unix.Open(o.dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(o.fd) })
	o.Log, err = Create(o.fd, root)
	must(t, err)
	return o
}

func (o *opened) path() string { return filepath.Join(o.dir, Name) }

func (o *opened) content() []byte {
	o.t.Helper()
	data, err := os.ReadFile(o.path())
	must(o.t, err)
	return data
}

// reopen opens the log again, closed before or left as by a process that was killed.
func (o *opened) reopen(closed bool) {
	o.t.Helper()
	if closed {
		must(o.t, o.Close())
	} else {
		o.release()
	}
	var err error
	o.Log, err = Open(o.fd, root)
	must(o.t, err)
}

// wants compares the log, as it is open and as others read it, with "INO NAME=VALUE ..." of each file.
func (o *opened) wants(want ...string) {
	o.t.Helper()
	read, err := Read(o.path(), root)
	must(o.t, err)
	for what, r := range map[string]*Records{"open": &o.records, "read": read} {
		var got []string
		for _, ino := range slices.Sorted(maps.Keys(r.files)) {
			line := fmt.Sprint(ino)
			for _, name := range r.Names(ino) {
				value, _ := r.Get(ino, name)
				line += " " + name + "=" + value
			}
			got = append(got, line)
		}
		if !slices.Equal(got, want) {
			o.t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
}

func TestLog(t *testing.T) {
	o := create(t)
	must(t, o.Set(1, "b", "2", 0))
	must(t, o.Set(1, "a", "", 0))
	must(t, o.Set(2, "a", "x", unix.XATTR_CREATE))
	must(t, o.Set(2, "a", "y\x00z", unix.XATTR_REPLACE))
	if err := o.Set(2, "a", "z", unix.XATTR_CREATE); err != unix.EEXIST {
		t.Errorf("made twice: %v", err)
	}
	if err := o.Set(2, "b", "z", unix.XATTR_REPLACE); err != unix.ENODATA {
		t.Errorf("replaced nothing: %v", err)
	}
	o.wants("1 a= b=2", "2 a=y\x00z")
	must(t, o.Remove(1, "b"))
	if err := o.Remove(1, "b"); err != unix.ENODATA {
		t.Errorf("removed twice: %v", err)
	}
	must(t, o.Set(3, "a", "3", 0))
	must(t, o.Forget(2))
	o.wants("1 a=", "3 a=3")
	for _, closed := range []bool{true, false} {
		o.reopen(closed)
		o.wants("1 a=", "3 a=3")
		if o.Unclean() == closed {
			t.Errorf("closed %v, unclean %v", closed, o.Unclean())
		}
		must(t, o.Set(9, "n", fmt.Sprint(closed), 0))
		must(t, o.Forget(9))
	}
	must(t, o.Retain(map[uint64]bool{3: true}))
	o.wants("3 a=3")
	must(t, o.Sync())
	must(t, o.Close())
}

// TestNothingChangedCostsNothing checks that the log does not grow by what it has already, or has not.
func TestNothingChangedCostsNothing(t *testing.T) {
	o := create(t)
	must(t, o.Set(1, "a", "x", 0))
	before := len(o.content())
	must(t, o.Set(1, "a", "x", 0))
	must(t, o.Forget(2))
	if after := len(o.content()); after != before {
		t.Errorf("%d bytes, then %d", before, after)
	}
	must(t, o.Close())
}

// TestTornLog cuts a log off everywhere and flips every bit of its end: the records before must remain.
func TestTornLog(t *testing.T) {
	o := create(t)
	must(t, o.Set(1, "a", "x", 0))
	first := len(o.content())
	must(t, o.Set(1, "a", "other", 0))
	must(t, o.release())
	whole := o.content()
	var broken [][]byte
	for at := first; at < len(whole); at++ {
		broken = append(broken, slices.Clone(whole[:at]))
		for bit := range 8 {
			flipped := slices.Clone(whole)
			flipped[at] ^= 1 << bit
			broken = append(broken, flipped)
		}
	}
	for _, data := range broken {
		must(t, os.WriteFile(o.path(), data, 0o600))
		var err error
		o.Log, err = Open(o.fd, root)
		must(t, err)
		o.wants("1 a=x")
		must(t, o.Set(2, "n", "", 0))
		o.reopen(true)
		o.wants("1 a=x", "2 n=")
		must(t, o.release())
	}
}

func TestHeadIsVerified(t *testing.T) {
	o := create(t)
	must(t, o.Close())
	whole := o.content()
	if _, err := Open(o.fd, root+1); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "copy") {
		t.Errorf("of another tree: %v", err)
	}
	for at := range headSize {
		flipped := slices.Clone(whole)
		flipped[at] ^= 1
		for _, data := range [][]byte{flipped, whole[:at]} {
			must(t, os.WriteFile(o.path(), data, 0o600))
			if _, err := Open(o.fd, root); !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d: %v", at, err)
			}
			if _, err := Read(o.path(), root); !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d, read: %v", at, err)
			}
		}
	}
	must(t, os.Remove(o.path()))
	if _, err := Open(o.fd, root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

// TestRewrite makes a log be rewritten many times.
func TestRewrite(t *testing.T) {
	o := create(t)
	must(t, o.Set(1, "kept", "value", 0))
	long := strings.Repeat("v", 10_000)
	for i := range 200 {
		must(t, o.Set(2, "a", fmt.Sprint(i)+long, 0))
		must(t, o.Set(3, "a", long, 0))
		must(t, o.Forget(3))
	}
	if size := len(o.content()); size > 2*slack {
		t.Errorf("%d bytes", size)
	}
	o.wants("1 kept=value", "2 a=199"+long)
	o.reopen(true)
	o.wants("1 kept=value", "2 a=199"+long)
	must(t, o.Close())
	if names, err := os.ReadDir(o.dir); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}

// TestFailedWrite makes writes fail: an xattr that is not in the file must not be known, either.
func TestFailedWrite(t *testing.T) {
	o := create(t)
	must(t, o.Set(1, "a", "x", 0))
	before := o.content()
	o.file.Close()
	fd, err := unix.Openat(o.fd, Name, unix.O_RDONLY, 0)
	must(t, err)
	o.file = os.NewFile(uintptr(fd), Name)
	if err := o.Set(1, "a", "y", 0); err != unix.EBADF {
		t.Errorf("%v", err)
	}
	if err := o.Set(1, "a", "y", 0); err == nil {
		t.Error("goes on after an error that may have left half a record")
	}
	o.wants("1 a=x")
	if !slices.Equal(o.content(), before) {
		t.Error("the file has changed")
	}
	o.release()
}

func FuzzReplay(f *testing.F) {
	b := appendRecord(nil, opSet, 5, "user.a", "value")
	b = appendRecord(b, opRemove, 5, "user.a", "")
	b = appendRecord(b, opForget, 6, "", "")
	f.Add(appendRecord(b, opClosed, 0, "", ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Records
		if whole, _ := r.replay(data); whole > len(data) {
			t.Errorf("%d of %d bytes", whole, len(data))
		}
		r.apply(data)
	})
}
