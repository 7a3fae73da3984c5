package quota

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// named is a file that has a name until it is set to true.
type named bool

func (n *named) Gone(uint64) bool { return bool(*n) }

// TestPromises checks that changes at the same time do not pass the limit together, and what settling makes of a
// promise.
func TestPromises(t *testing.T) {
	q := New(Usage{Bytes: 10 << 12, Inodes: 2}, &unix.Statfs_t{Bsize: 1 << 12})
	q.Patience = 0
	first, err := q.Reserve(Usage{Bytes: 6 << 12})
	must(t, err)
	if _, err := q.Reserve(Usage{Bytes: 6 << 12}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("twice more than half: %v", err)
	}
	if some := q.reserveSome(6 << 12); some.room != (Usage{Bytes: 4 << 12}) {
		t.Errorf("what is left is %+v", some.room)
	} else {
		some.Release()
	}
	file := new(named)
	a := q.Open(file, true)
	a.setHeld(Usage{2 << 12, 1}, false, &first)
	if got := q.State(); got.Used != (Usage{2 << 12, 1}) || got.Promised != (Usage{}) || got.Grown != 2<<12 {
		t.Errorf("settled: %+v", got)
	}
	a.setHeld(Usage{2 << 12, 1}, true, &Grant{})
	if got := q.State(); got.Lasting() != (Usage{}) || got.Used.Inodes != 1 {
		t.Errorf("without a name: %+v", got)
	}
	a.Close()
	if got := q.State(); got.Used != (Usage{}) || got.Leaving != (Usage{}) {
		t.Errorf("closed: %+v", got)
	}
}

// TestWaitForRoom has a change wait for another to give back what it does not need.
func TestWaitForRoom(t *testing.T) {
	q := New(Usage{Inodes: 1}, &unix.Statfs_t{})
	q.Patience = time.Hour
	held, err := q.ReserveFile()
	must(t, err)
	done := make(chan error)
	go func() {
		g, err := q.ReserveFile()
		g.Release()
		done <- err
	}()
	for q.State().Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	held.Release()
	must(t, <-done)
}

// TestNoLimit checks that there is room for everything where there is no ledger.
func TestNoLimit(t *testing.T) {
	var q *Ledger
	a := q.Open(new(named), true)
	g, err := q.Reserve(Usage{Bytes: 1 << 60})
	must(t, err)
	g.Release()
	g, err = a.Allot(-1, 0, 1<<40, false)
	must(t, err)
	if g.Length != 1<<40 {
		t.Errorf("room for %d bytes", g.Length)
	}
	a.Settle(-1, &g)
	a.Shrinking()()
	a.Close()
}
