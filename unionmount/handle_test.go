package unionmount

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestLookupAgain(t *testing.T) {
	f := newUnion(t, tree{"d/x": file("x")})
	d, err := f.walk("d")
	must(t, err)
	x, err := f.walk("d/x")
	must(t, err)
	again, a, err := f.u.LookupAgain(x)
	if err != nil || again != x || a != f.stat("d/x") {
		t.Errorf("%v, %+v, %v", again, a, err)
	}
	parent, a, err := f.u.LookupParent(x)
	if err != nil || parent != d || a != f.stat("d") {
		t.Errorf("%v, %+v, %v", parent, a, err)
	}
	f.u.Forget(x, 2) // of the walk, and of the second lookup
	f.u.Forget(d, 2)
	_, _, err = f.u.LookupAgain(x)
	must(t, err)
	if n, known := f.u.Node(x.ID()); !known || n != x {
		t.Error("the second lookup was not counted")
	}
	must(t, f.unlink("d/x"))
	_, _, err = f.u.LookupParent(x)
	wantErrno(t, "looking up what a deleted file is in", err, unix.ESTALE)
}
