package quota

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/filecopy"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestGaps compares both ways to find the ranges that are not allocated.
func TestGaps(t *testing.T) {
	path := t.TempDir() + "/file"
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR, 0o600)
	must(t, err)
	defer unix.Close(fd)
	var fs unix.Statfs_t
	must(t, unix.Fstatfs(fd, &fs))
	q := New(Usage{Bytes: 1 << 30}, &fs)
	for _, at := range []int64{8192, 12288, 40960, 400 << 10} {
		must(t, filecopy.WriteAll(fd, make([]byte, 4096), at))
	}
	for _, in := range []extent{{0, 4096}, {0, 8192}, {8192, 16384}, {0, 1 << 20}, {12288, 45056}, {1 << 20, 2 << 20}} {
		sought, err := q.gapsBySeek(fd, in)
		must(t, err)
		for range 2 { // with the data in memory, and on the disk
			mapped, err := q.gapsByMap(fd, in)
			if errors.Is(err, unix.EOPNOTSUPP) {
				t.Skip("tmpfs, for one, has no map of its files' blocks (FIEMAP), so there is nothing to compare")
			}
			if err != nil || fmt.Sprint(mapped) != fmt.Sprint(sought) {
				t.Errorf("%v: %v in the map, %v; %v sought", in, mapped, err, sought)
			}
			must(t, unix.Fsync(fd))
		}
	}
}
