package unionmount

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestInodeNumbersPassThrough wants the numbers of the files below where all of them lie on one device, and different
// ones where a directory is there twice.
func TestInodeNumbersPassThrough(t *testing.T) {
	f := newHostUnion(t, rootIsMe(), tree{"d/near": file("n")}, tree{"d/far": file("f"), "e/x": file("x")})
	must(t, f.mknod("new", unix.S_IFREG|0o644, 0, Owner{}))
	for path, dir := range map[string]string{"d/near": f.opts.Lowers[0].Dir, "d/far": f.opts.Lowers[1].Dir,
		"e": f.opts.Lowers[1].Dir, "new": f.opts.Upper} {
		var st unix.Stat_t
		must(t, unix.Lstat(dir+"/"+path, &st))
		if a := f.stat(path); a.Ino != st.Ino {
			t.Errorf("%s has inode number %d, on disk %d", path, a.Ino, st.Ino)
		}
	}
	before := f.stat("d/far").Ino
	must(t, f.write("d/far", "F", 0))
	f.remounted(func() {
		if a := f.stat("d/far"); a.Ino != before {
			t.Errorf("after copy-up, the inode number is %d, was %d", a.Ino, before)
		}
	})
	f.close()
	within := f.opts.Lowers[0]
	within.Dir = f.opts.Lowers[1].Dir + "/e"
	f.opts.Lowers = append(f.opts.Lowers, within)
	f.open()
	if f.stat("x").Ino == f.stat("e/x").Ino {
		t.Error("what is seen twice has one inode number")
	}
}
