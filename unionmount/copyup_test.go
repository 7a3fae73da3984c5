package unionmount

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCopyUpKeepsWhatIsNotWritten(t *testing.T) {
	f := newUnion(t, tree{"d/append": file("hello"), "d/middle": file("0123456789"), "d/cut": file("0123456789"),
		"d/zero": file("zero")})
	must(t, f.write("d/append", " world", 5))
	must(t, f.write("d/middle", "XY", 4))
	must(t, f.truncate("d/cut", 3))
	must(t, f.truncate("d/zero", 0))
	for range 2 {
		f.want("d/append", "hello world")
		f.want("d/middle", "0123XY6789")
		f.want("d/cut", "012")
		f.want("d/zero", "")
		f.reopen()
	}
	lower, err := os.ReadFile(f.opts.Lowers[0].Dir + "/d/append")
	if string(lower) != "hello" {
		t.Errorf("the lower file changed to %q, %v", lower, err)
	}
}

func TestCopyUpKeepsAttributes(t *testing.T) {
	f := newUnion(t, tree{
		"dir": directory().owned("3:4:2775:dir").attr("user.note", "on dir"),
		"dir/file": file("data").owned("1:2:4711:file").attr("user.note", "on file").
			attr("user.rcrun.x.security.selinux", "label"),
	})
	lower := f.opts.Lowers[0].Dir
	old := []unix.Timespec{{Sec: 1000, Nsec: 7}, {Sec: 2000, Nsec: 9}}
	must(t, unix.UtimesNano(lower+"/dir/file", old))
	must(t, unix.UtimesNano(lower+"/dir", old))
	before, dirBefore := f.stat("dir/file"), f.stat("dir")
	must(t, f.at("dir/file", func(n *Node) error { return f.u.SetXattr(n, "user.more", []byte("x"), 0) }))
	for range 2 {
		after, dirAfter := f.stat("dir/file"), f.stat("dir")
		before.Ctime, before.Blocks = after.Ctime, after.Blocks
		if after != before {
			t.Errorf("file: got %+v, want %+v", after, before)
		}
		dirBefore.Ctime, dirBefore.Blocks, dirBefore.Nlink = dirAfter.Ctime, dirAfter.Blocks, dirAfter.Nlink
		if dirAfter != dirBefore {
			t.Errorf("directory: got %+v, want %+v", dirAfter, dirBefore)
		}
		f.wantXattr("dir", "user.note", "on dir")
		f.wantXattr("dir/file", "user.note", "on file")
		f.wantXattr("dir/file", "security.selinux", "label")
		f.reopen()
	}
}

func (f *fixture) wantXattr(path, name, value string) {
	f.t.Helper()
	var got []byte
	err := f.at(path, func(n *Node) (err error) { got, err = f.u.GetXattr(n, name); return err })
	if err != nil || string(got) != value {
		f.t.Errorf("%s of %s is %q, %v; want %q", name, path, got, err, value)
	}
}

func TestCopyUpKeepsHoles(t *testing.T) {
	f := newUnion(t, tree{"sparse": file("start")})
	must(t, os.Truncate(f.opts.Lowers[0].Dir+"/sparse", 1<<30))
	f.reopenChanged()
	must(t, f.write("sparse", "end", 1<<30))
	a := f.stat("sparse")
	if a.Size != 1<<30+3 || a.Blocks*512 > 1<<20 {
		t.Errorf("size %d, %d blocks", a.Size, a.Blocks)
	}
	must(t, f.at("sparse", func(n *Node) error {
		buf := make([]byte, 8)
		if _, err := f.u.Read(n, buf, 0); err != nil || string(buf) != "start\x00\x00\x00" {
			t.Errorf("read %q, %v", buf, err)
		}
		hole, err := f.u.Lseek(n, 0, unix.SEEK_HOLE)
		if err != nil || hole > 1<<20 {
			t.Errorf("hole at %d, %v", hole, err)
		}
		_, err = f.u.Lseek(n, 1<<31, unix.SEEK_DATA)
		wantErrno(t, "seek behind the end", err, unix.ENXIO)
		return nil
	}))
}

func TestCopyUpOfSeveralExtents(t *testing.T) {
	f := newUnion(t, tree{"extents": file("first")})
	lower, err := os.OpenFile(f.opts.Lowers[0].Dir+"/extents", os.O_RDWR, 0)
	must(t, err)
	defer lower.Close()
	for i, at := range []int64{1 << 20, 3<<20 + 123, 7 << 20} {
		_, err := lower.WriteAt([]byte{'a' + byte(i)}, at)
		must(t, err)
	}
	f.reopenChanged()
	must(t, f.write("extents", "X", 2<<20))
	want, err := os.ReadFile(lower.Name())
	must(t, err)
	want[2<<20] = 'X'
	f.want("extents", string(want))
	if a := f.stat("extents"); a.Blocks*512 > 1<<20 {
		t.Errorf("%d blocks", a.Blocks)
	}
}

func TestCopyUpOfLargeData(t *testing.T) {
	data := strings.Repeat("0123456789abcdef", 3<<16) // 3 MiB
	f := newUnion(t, tree{"big": file(data)})
	must(t, f.write("big", "X", 2<<20))
	f.want("big", data[:2<<20]+"X"+data[2<<20+1:])
}
