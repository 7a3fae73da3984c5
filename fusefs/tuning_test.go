package fusefs

import (
	"os"
	"testing"
	"time"
)

// TestTimeouts has the kernel believe nothing for long, so that it asks again.
func TestTimeouts(t *testing.T) {
	none := time.Duration(0)
	m := withLower(t, map[string]string{"d/file": "data"})
	m.tuning = Tuning{EntryTimeout: &none, NegativeTimeout: &none, AttrTimeout: &none}
	m.run(t, func(t *testing.T, mnt string) {
		stat := func() error { _, err := os.Stat(mnt + "/d/file"); return err }
		miss := func() error { os.Stat(mnt + "/d/none"); return nil }
		for name, op := range map[string]func() error{"stat": stat, "a missing name": miss} {
			must(t, op())
			if got, kinds := costOf(t, mnt, op); got == 0 {
				t.Errorf("%s: no requests: %v", name, kinds)
			}
		}
	})
}

// TestDirectIO reads a file twice, which is two READs where the kernel keeps no data.
func TestDirectIO(t *testing.T) {
	m := withLower(t, map[string]string{"file": "data"})
	m.tuning.DirectIO = true
	m.run(t, func(t *testing.T, mnt string) {
		read := func() error { wantFile(t, mnt+"/file", "data"); return nil }
		must(t, read())
		if _, kinds := costOf(t, mnt, read); kinds["read"] == 0 || kinds["open"] != 1 {
			t.Errorf("requests of a second reading: %v", kinds)
		}
		must(t, os.WriteFile(mnt+"/file", []byte("more data"), 0o644))
		wantFile(t, mnt+"/file", "more data")
	})
}

func TestLease(t *testing.T) {
	timeout := 2500 * time.Millisecond
	if got, want := newLease(&timeout), (lease{2, 500_000_000}); got != want {
		t.Errorf("%v is %v", timeout, got)
	}
	if newLease(nil) != forever {
		t.Error("no timeout is not for ever")
	}
}
