package unionmount

import (
	"testing"

	"github.com/rcrun/rcrun/unionmount/internal/workdir"
	"golang.org/x/sys/unix"
)

// TestWorkIsOfOneUnion opens a union that is open, which is refused and spoils nothing, and one that is just being
// closed.
func TestWorkIsOfOneUnion(t *testing.T) {
	f := newUnion(t, tree{"lower": file("x")})
	draft := f.opts.Work + "/" + workdir.DraftsName + "/draft"
	must(t, unix.Mkdir(draft, 0o700))
	if second, err := Open(f.opts); err == nil {
		second.Close()
		t.Error("a union was opened twice")
	} else {
		wantErrno(t, "open", err, unix.EBUSY)
	}
	must(t, unix.Rmdir(draft)) // it is still there

	opened := make(chan error)
	first := f.u
	go func() {
		second, err := Open(f.opts)
		f.u = second
		opened <- err
	}()
	must(t, first.Close())
	must(t, <-opened)
	f.want("lower", "x")
}
