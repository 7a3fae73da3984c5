package unionmount

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/unionmount/internal/quota"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
)

const kib = 1 << 10

// writeOut makes the filesystem write a file out, and waits for that: ext4 changes the number of its blocks when it
// writes data, which may be at any time. What is no regular file has its blocks at once.
func writeOut(fd int) {
	file, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(file)
	unix.SyncFileRange(file, 0, 0,
		unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}

// newLimited is newUnion with a quota.
func newLimited(t *testing.T, q Quota, lowers ...tree) *fixture {
	t.Helper()
	f := plantUnion(t, t.TempDir(), lowers...)
	f.opts.Quota = q
	f.open()
	t.Cleanup(f.close)
	return f
}

// wantFull wants that a change was refused for lack of room.
func wantFull(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%s: %v, want ENOSPC", what, err)
	}
}

// used returns the running sum, and compares it with a count.
func (f *fixture) used() quota.Usage {
	f.t.Helper()
	counted, err := f.u.recount()
	must(f.t, err)
	if sum := f.u.quota.State().Lasting(); sum != counted {
		f.t.Errorf("charged %+v, counted %+v", sum, counted)
	}
	state := f.u.quota.State()
	if state.Promised != (quota.Usage{}) {
		f.t.Errorf("still promised: %+v", state.Promised)
	}
	return state.Used
}

// fill makes a file and writes to it, size bytes at a time, until there is no room, and returns how many went in.
func (f *fixture) fill(path string, size int) (total int64) {
	f.t.Helper()
	must(f.t, f.create(path, 0o644))
	must(f.t, f.at(path, func(n *Node) error {
		data := make([]byte, size)
		for {
			put, err := f.u.Write(n, data, total, asRoot)
			total += int64(put)
			if errors.Is(err, unix.ENOSPC) {
				return nil
			}
			if err != nil || put == 0 {
				return fmt.Errorf("wrote %d bytes: %w", put, err)
			}
		}
	}))
	return total
}

// isFull wants all but one block to be used, and no more than all.
func (f *fixture) isFull() {
	f.t.Helper()
	q := f.u.quota.State()
	if used := f.used().Bytes + q.Record; used > q.Limit.Bytes || used <= q.Limit.Bytes-q.Block {
		f.t.Errorf("%d bytes are used of %d", used, q.Limit.Bytes)
	}
}

// needMap skips a test where the filesystem does not tell which blocks of a file are allocated.
func (f *fixture) needMap(path string) {
	f.t.Helper()
	must(f.t, f.at(path, func(n *Node) error {
		h, err := f.u.data(n)
		if err != nil {
			return err
		}
		defer f.u.fds.Release(h)
		if !quota.HasMap(h.FD) {
			f.t.Skip("the filesystem has no map of its files' blocks")
		}
		return nil
	}))
}

func TestQuotaBytes(t *testing.T) {
	f := newLimited(t, Quota{Bytes: 1024 * kib}, tree{"lower": file("x")})
	for _, size := range []int{7, 4096, 60_000, 3 << 20} {
		if size == 7 { // which would take long
			must(t, f.create("small", 0o644))
			must(t, f.at("small", func(n *Node) error { return f.u.Fallocate(n, 0, 0, 900*kib, asRoot) }))
		}
		total := f.fill("big", size)
		f.isFull()
		for range 3 { // what is there can be written again
			must(t, f.write("big", strings.Repeat("y", int(total)), 0))
		}
		f.isFull()
		wantFull(t, "a byte more", f.write("big", "x", 1024*kib))
		must(t, f.unlink("big"))
		if size == 7 {
			must(t, f.unlink("small"))
		}
		if used := f.used().Bytes; used > 16*kib {
			t.Errorf("%d bytes are used after the removal", used)
		}
	}
}

// TestQuotaAllocated checks that blocks which are allocated and not written are as good as written ones.
func TestQuotaAllocated(t *testing.T) {
	f := newLimited(t, Quota{Bytes: 256 * kib}, tree{})
	must(t, f.create("a", 0o644))
	f.needMap("a")
	allocate := func(mode uint32, offset, length int64) error {
		return f.at("a", func(n *Node) error { return f.u.Fallocate(n, mode, offset, length, asRoot) })
	}
	wantFull(t, "more than there is", allocate(0, 0, 1024*kib))
	must(t, allocate(0, 0, 192*kib))
	f.fill("b", 4096)
	f.isFull()
	must(t, allocate(0, 0, 192*kib))
	must(t, f.write("a", strings.Repeat("x", 192*kib), 0))
	f.isFull()
	wantFull(t, "behind it", f.write("a", "x", 192*kib))
	must(t, allocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 64*kib, 32*kib))
	must(t, f.write("b", strings.Repeat("x", 32*kib), 64*kib))
	f.isFull()
	wantFull(t, "into the hole", f.write("a", "x", 70*kib))
	must(t, f.write("a", "x", 60*kib))
	must(t, f.truncate("a", 10))
	must(t, f.write("b", "x", 128*kib))
	must(t, f.truncate("a", 1<<40)) // a hole takes nothing
	f.used()
}

func TestQuotaInodes(t *testing.T) {
	f := newLimited(t, Quota{Inodes: 10}, tree{"d/lower": file("x"), "d/other": file("y")})
	makers := []func(string) error{
		func(path string) error { return f.create(path, 0o644) },
		func(path string) error { return f.mkdir(path, 0o755) },
		func(path string) error { return f.symlink("target", path) },
		func(path string) error { return f.mknod(path, unix.S_IFIFO|0o644, 0, Owner{}) },
	}
	made := 0
	for ; ; made++ {
		err := makers[made%len(makers)](fmt.Sprint(made))
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		must(t, err)
	}
	if used := f.used().Inodes; used != 10 || made != 9 { // with the root
		t.Errorf("%d inodes are used by %d files", used, made)
	}
	for i, create := range makers {
		wantFull(t, fmt.Sprint("maker ", i), create("new"))
	}
	must(t, f.link("0", "link"))
	wantFull(t, "copy-up", f.chmod("d/lower", 0o600))
	must(t, f.unlink("0"))
	wantFull(t, "with a link left", f.create("new", 0o644))
	must(t, f.unlink("link"))
	must(t, f.rmdir("1"))
	must(t, f.chmod("d/lower", 0o600)) // of the directory and the file
	wantFull(t, "after that", f.create("new", 0o644))
	f.used()
}

// TestQuotaDeleteLower checks that no removal is refused for lack of room.
func TestQuotaDeleteLower(t *testing.T) {
	lower := tree{"d/e/f/1": file("1"), "d/e/f/2": file("2"), "d/g/1": file("1"), "d/g/2": hardlink("d/g/1"),
		"d/h/i": directory()}
	for name, q := range map[string]Quota{"bytes": {Bytes: 64 * kib}, "inodes": {Inodes: 2}} {
		t.Run(name, func(t *testing.T) {
			f := newLimited(t, q, lower)
			if q.Bytes > 0 {
				f.fill("big", 4096)
			} else {
				must(t, f.create("only", 0o644))
			}
			for _, path := range []string{"d/e/f/1", "d/e/f/2", "d/g/1", "d/g/2"} {
				must(t, f.unlink(path))
				f.want(path, gone)
			}
			for _, path := range []string{"d/e/f", "d/e", "d/g", "d/h/i", "d/h", "d"} {
				must(t, f.rmdir(path))
			}
			f.used()
		})
	}
}

func TestQuotaCopyUp(t *testing.T) {
	data := strings.Repeat("x", 100*kib)
	f := newLimited(t, Quota{Bytes: 64 * kib}, tree{"d/big": file(data), "d/small": file("small")})
	before := f.used()
	wantFull(t, "a write that copies", f.write("d/big", "y", 0))
	wantFull(t, "a truncation that copies", f.truncate("d/big", 50))
	if used := f.used(); used.Bytes > before.Bytes+4096 || used.Inodes > before.Inodes+1 { // the directory
		t.Errorf("%+v is used after the refusal, %+v before", used, before)
	}
	must(t, f.chmod("d/big", 0o600)) // which copies no data
	wantFull(t, "a write that fills the copy", f.write("d/big", "y", 0))
	f.want("d/big", data)
	must(t, f.rename("d", "moved", 0))
	must(t, f.write("moved/small", "SMALL", 0))
	must(t, f.truncate("moved/big", 0))
	must(t, f.write("moved/big", "new", 0))
	f.want("moved/big", "new")
	f.used()
}

func TestQuotaCopyFileRange(t *testing.T) {
	f := newLimited(t, Quota{Bytes: 128 * kib}, tree{"big": file(strings.Repeat("x", 200*kib))})
	must(t, f.create("copy", 0o644))
	clone := func(offset int64) (copied int, err error) {
		err = f.at("big", func(from *Node) error {
			return f.at("copy", func(to *Node) error {
				copied, err = f.u.CopyFileRange(from, offset, to, offset, 1<<30, asRoot)
				return err
			})
		})
		return copied, err
	}
	first, err := clone(0)
	if err != nil || first <= 64*kib || first > 128*kib {
		t.Errorf("copied %d bytes, %v", first, err)
	}
	f.isFull()
	_, err = clone(int64(first))
	wantFull(t, "the rest", err)
	if again, err := clone(0); err != nil || again != first { // over what is there
		t.Errorf("copied %d bytes again, %v", again, err)
	}
}

func TestQuotaXattrs(t *testing.T) {
	f := newLimited(t, Quota{Bytes: 32 * kib}, tree{"lower": file("x")})
	must(t, f.create("file", 0o644))
	must(t, f.setXattr("lower", "user.a", strings.Repeat("x", 1000)))
	must(t, f.setXattr("file", "user.a", "small"))
	f.used()
	must(t, f.at("file", func(n *Node) error { return f.u.Fallocate(n, 0, 0, 16*kib, asRoot) }))
	wantFull(t, "a large one", f.setXattr("file", "user.b", strings.Repeat("x", 60*kib)))
	must(t, f.setXattr("file", "user.a", "other"))
	must(t, f.at("lower", func(n *Node) error { return f.u.RemoveXattr(n, "user.a") }))
	f.used()
}

// TestQuotaOddFiles has files charged that no node is made of, or another than before.
func TestQuotaOddFiles(t *testing.T) {
	f := newLimited(t, Quota{Inodes: 8}, tree{"lower": file("x")})
	long := strings.Repeat("x", 200) // for a target that takes a block
	must(t, f.symlink(long, "link"))
	must(t, f.chown("link", 5, 6)) // on disk, it is a file now, and what it was has its inode number
	must(t, f.link("link", "again"))
	f.used()
	must(t, f.rename("lower", "moved", unix.RENAME_WHITEOUT))
	f.used()
	must(t, f.unlink("lower"))
	must(t, f.unlink("moved"))
	must(t, f.unlink("link"))
	must(t, f.unlink("again"))
	if used := f.used(); used.Inodes != 1 {
		t.Errorf("%d inodes are used in the end", used.Inodes)
	}
}

// TestQuotaConcurrent has many write at once, of whom all together get no more than there is.
func TestQuotaConcurrent(t *testing.T) {
	f := newLimited(t, Quota{Bytes: 2048 * kib}, tree{})
	var writers sync.WaitGroup
	done := make(chan struct{})
	for i := range 8 {
		path := fmt.Sprint(i)
		must(t, f.create(path, 0o644))
		writers.Go(func() {
			data := make([]byte, (1+i)*3000)
			for offset := int64(0); ; {
				var put int
				err := f.at(path, func(n *Node) (err error) {
					put, err = f.u.Write(n, data, offset, asRoot)
					return err
				})
				if err != nil {
					wantFull(t, "write", err)
					return
				}
				offset += int64(put)
			}
		})
	}
	go func() {
		writers.Wait()
		close(done)
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			runtime.Gosched()
		}
		if sum := f.u.quota.State().Used.Bytes; sum > 2048*kib {
			t.Errorf("%d bytes are used", sum)
		}
	}
	f.isFull()
}

// TestQuotaForgotten has a change wait for the kernel to forget a file that was removed, and no change for one that is
// removed and open.
func TestQuotaForgotten(t *testing.T) {
	f := newLimited(t, Quota{Bytes: 256 * kib}, tree{})
	f.fill("big", 4096)
	must(t, f.create("new", 0o644))
	big, err := f.walk("big")
	must(t, err)
	must(t, f.unlink("big"))
	if _, err := f.u.Write(big, []byte("open"), 0, asRoot); err != nil {
		t.Errorf("write to the removed file: %v", err)
	}
	wantFull(t, "as long as it is open", f.write("new", "x", 0))

	result := make(chan error)
	f.u.quota.Patience, f.u.quota.Delay = time.Hour, time.Hour // as if it was removed just now
	go func() { result <- f.write("new", "x", 0) }()
	for waiting := 0; waiting == 0; runtime.Gosched() {
		waiting = f.u.quota.State().Waiting
	}
	f.u.Forget(big, 1)
	if err := <-result; err != nil {
		t.Errorf("after it was forgotten: %v", err)
	}
	if used, left := f.used(), f.u.quota.State().Leaving; used.Bytes > 16*kib || left != (quota.Usage{}) {
		t.Errorf("%+v is used, %+v of it by removed files", used, left)
	}
}

// TestQuotaUnnamed counts a file without a name for as long as it is known.
func TestQuotaUnnamed(t *testing.T) {
	f := newLimited(t, Quota{Bytes: 256 * kib, Inodes: 3}, tree{"lower": file(strings.Repeat("x", 64*kib))})
	before := f.used()
	n, _, err := f.u.Tmpfile(f.u.Root(), 0o600, Owner{})
	must(t, err)
	_, err = f.u.Write(n, make([]byte, 100*kib), 0, asRoot)
	must(t, err)
	lower, err := f.walk("lower")
	must(t, err)
	must(t, f.unlink("lower"))
	_, err = f.u.Write(lower, []byte("copied"), 0, asRoot)
	must(t, err)
	if used := f.used(); used.Inodes != 3 || used.Bytes < before.Bytes+160*kib {
		t.Errorf("%+v is used", used)
	}
	wantFull(t, "a file more", f.create("new", 0o644))
	f.u.Forget(n, 1)
	f.u.Forget(lower, 1)
	if used := f.used(); used.Inodes != before.Inodes {
		t.Errorf("%+v is used in the end, %+v at the start", used, before)
	}
}

func TestQuotaStatfs(t *testing.T) {
	f := newLimited(t, Quota{Bytes: 1024 * kib, Inodes: 100}, tree{})
	must(t, f.create("file", 0o644))
	must(t, f.write("file", strings.Repeat("x", 100*kib), 0))
	st, err := f.u.Statfs()
	must(t, err)
	unit := uint64(st.Frsize)
	used := f.used()
	free := uint64(1024*kib - used.Bytes - f.u.quota.State().Record)
	if st.Blocks*unit != 1024*kib || st.Bfree != free/unit || st.Bavail != st.Bfree || st.Files != 100 ||
		st.Ffree != 98 {
		t.Errorf("with %+v used: %+v", used, st)
	}
	f.close()
	f.opts.Quota = Quota{Bytes: 1 << 60, Inodes: 1 << 60}
	f.open()
	var host unix.Statfs_t
	must(t, unix.Statfs(f.opts.Upper, &host))
	if host.Files == 0 { // a filesystem that does not count them
		host.Files = 1 << 60
	}
	if st, err = f.u.Statfs(); err != nil || st.Blocks != host.Blocks || st.Files != host.Files {
		t.Errorf("with more than there is: %+v, %v", st, err)
	}
	f.close()
	f.opts.Quota = Quota{Bytes: 4096}
	f.open()
	if st, err = f.u.Statfs(); err != nil || st.Bfree != 0 || st.Bavail != 0 {
		t.Errorf("with more used than there may be: %+v, %v", st, err)
	}
}

// TestQuotaRecord checks when what was used is taken from the record, and when it is counted.
func TestQuotaRecord(t *testing.T) {
	f := newLimited(t, Quota{Bytes: 1024 * kib}, tree{"lower": file("x")})
	must(t, f.create("file", 0o644))
	want := f.used()
	record := f.opts.Work + "/" + workdir.UsageName
	extra := quota.Usage{Bytes: 4096, Inodes: 1}
	plant := func() { must(t, os.WriteFile(f.opts.Upper+"/extra", []byte("x"), 0o600)) } // behind the union's back
	f.close()
	plant()
	f.open()
	if got := f.u.quota.State().Lasting(); got != want {
		t.Errorf("from the record: %+v, want %+v", got, want)
	}
	if _, err := os.Stat(record); err == nil {
		t.Error("the record is still there")
	}
	must(t, f.u.Close())
	must(t, os.Remove(record)) // as after a crash
	f.open()
	if got := f.u.quota.State().Lasting(); got != want.Plus(extra) {
		t.Errorf("without a record: %+v, want %+v", got, want.Plus(extra))
	}
	must(t, os.Remove(f.opts.Upper+"/extra"))
	must(t, f.u.Close())
	must(t, os.WriteFile(record, []byte(`{"boot":"another","bytes":1,"inodes":1}`), 0o600))
	f.open()
	f.used()
	f.close()
	f.opts.Quota = Quota{}
	f.open()
	if _, err := os.Stat(record); err == nil {
		t.Error("a union without a quota leaves a record that may become wrong")
	}
}

// splitLater makes a file of four extents, as many as the inode of ext4 has room for, of which one is split when data
// is written out.
func (f *fixture) splitLater(name string) *Node {
	f.t.Helper()
	must(f.t, f.create(name, 0o644))
	n, err := f.walk(name)
	must(f.t, err)
	for part := range int64(4) {
		must(f.t, f.u.Fallocate(n, 0, part*16*kib, 8*kib, asRoot))
	}
	_, err = f.u.Write(n, []byte("x"), 0, asRoot)
	must(f.t, err)
	return n
}

// TestQuotaWrittenLater checks what becomes of blocks that a filesystem allocates, or takes back, when it writes data
// out.
func TestQuotaWrittenLater(t *testing.T) {
	f := newLimited(t, Quota{Bytes: 4096 * kib}, tree{"lower": file("x")})
	var nodes []*Node
	for i := range 40 {
		nodes = append(nodes, f.splitLater(fmt.Sprint(i)))
	}
	charged := f.u.quota.State().Lasting()
	for i := range nodes {
		fd, err := unix.Open(fmt.Sprintf("%s/%d", f.opts.Upper, i), unix.O_RDWR, 0)
		must(t, err)
		must(t, unix.Fsync(fd))
		unix.Close(fd)
	}
	counted, err := f.u.recount()
	must(t, err)
	t.Logf("charged %+v, counted %+v", charged, counted)
	for i, n := range nodes {
		if i%2 == 0 {
			_, err := f.u.Write(n, []byte("y"), 0, asRoot)
			must(t, err)
		}
		f.u.Forget(n, 1)
	}
	if now, half := f.u.quota.State().Lasting().Bytes, (charged.Bytes+counted.Bytes)/2; now != half {
		t.Errorf("when half of the files have changed again, %d bytes are charged, want %d", now, half)
	}
	f.close()
	f.opts.Quota.Bytes = 2 * counted.Bytes // of which more than a quarter was written
	f.open()
	f.used()
	if f.u.quota.State().Grown != 0 {
		t.Errorf("counted, there are %d bytes that came since", f.u.quota.State().Grown)
	}
}

// TestQuotaRecordOfShared checks that what others may have written is counted.
func TestQuotaRecordOfShared(t *testing.T) {
	f := plantUnion(t, t.TempDir(), tree{"lower": file("x")})
	f.describe(rootIsMe())
	f.opts.Quota = Quota{Bytes: 1024 * kib}
	f.open()
	must(t, f.create("file", 0o644))
	must(t, f.mkdir("closed", 0o755))
	must(t, f.create("closed/file", 0o644))
	must(t, f.chmod("closed", 0))
	f.used()
	f.close()
	must(t, os.WriteFile(f.opts.Upper+"/extra", []byte("x"), 0o600))
	f.open()
	f.used()
	if info, err := os.Stat(f.opts.Upper + "/closed"); err != nil || info.Mode().Perm() != 0 {
		t.Errorf("counted, a directory has another mode: %v, %v", info.Mode(), err)
	}
	must(t, f.chmod("closed", 0o755))
	f.close()
}

// TestRecountDeep counts a tree that is deeper than there are descriptors, and wide.
func TestRecountDeep(t *testing.T) {
	f := newLimited(t, Quota{Inodes: 1 << 20}, tree{})
	const depth = 3000
	dir, err := unix.Open(f.opts.Upper, unix.O_PATH, 0)
	must(t, err)
	for range depth {
		must(t, unix.Mkdirat(dir, "d", 0o755))
		must(t, unix.Mkdirat(dir, "e", 0o755))
		next, err := unix.Openat(dir, "d", unix.O_PATH, 0)
		must(t, err)
		unix.Close(dir)
		dir = next
	}
	unix.Close(dir)
	before, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	counted, err := f.u.recount()
	if err != nil || counted.Inodes != 1+2*depth {
		t.Errorf("counted %+v, %v", counted, err)
	}
	if after, err := os.ReadDir("/proc/self/fd"); err != nil || len(after) != len(before) {
		t.Errorf("%d descriptors are open, %d before", len(after), len(before))
	}
}

// TestQuotaNotes counts after special files were copied up, of whose inode numbers there are notes.
func TestQuotaNotes(t *testing.T) {
	f := plantUnion(t, t.TempDir(), tree{"d/pipe": entry{typ: unix.S_IFIFO}, "d/link": symlink("target")})
	f.describe(rootIsMe())
	f.opts.Quota = Quota{Inodes: 100}
	f.open()
	defer f.close()
	must(t, f.chmod("d/pipe", 0o640))
	must(t, f.link("d/link", "again"))
	f.used()
	must(t, f.unlink("d/pipe"))
	must(t, f.unlink("d/link"))
	f.used()
}
