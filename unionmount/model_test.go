package unionmount

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/filecopy"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// TestModel does the same random operations on a union and on a plain directory of the host, and wants the same
// errors and the same trees. The lower layers of the union together show what the directory has at the start.
// RCRUN_MODEL_SEED repeats a run, and with RCRUN_MODEL_RUNS those that follow it; RCRUN_MODEL_FACTOR makes so many
// times as many, which is how a million steps are made where there is time for them.
func TestModel(t *testing.T) {
	for kind, as := range modelLayers() {
		t.Run(kind, func(t *testing.T) { testModel(t, as) })
	}
}

// modelLayers describes the kinds of layers that models have, nil meaning the caller's.
func modelLayers() map[string]*Layer {
	host, referring := rootIsMe(), referringLayer()
	return map[string]*Layer{"caller": nil, "host": &host, "referring": &referring}
}

// testModel is TestModel for layers that are as described, nil meaning the caller's.
func testModel(t *testing.T, as *Layer) {
	usual := 12
	if factor, err := strconv.Atoi(os.Getenv("RCRUN_MODEL_FACTOR")); err == nil {
		usual *= factor
	}
	runs, seed := modelRuns(usual)
	for i := range runs {
		run := seed + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", run), func(t *testing.T) {
			t.Parallel()
			m := newModel(t, rand.New(rand.NewPCG(run, 0)), t.TempDir(), as)
			for step := 0; step < 400 && !t.Failed(); step++ {
				m.run(step)
			}
			if t.Failed() {
				t.Logf("last operations:\n%s", strings.Join(m.log[max(0, len(m.log)-60):], "\n"))
			}
			m.releaseAll()
			m.close()
		})
	}
}

// modelRuns returns how many runs to make and the seed of the first; others follow.
func modelRuns(usual int) (runs int, seed uint64) {
	runs, seed = usual, uint64(time.Now().UnixNano())
	if text := os.Getenv("RCRUN_MODEL_SEED"); text != "" {
		runs = 1
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	if text := os.Getenv("RCRUN_MODEL_RUNS"); text != "" {
		runs, _ = strconv.Atoi(text)
	}
	return runs, seed
}

// model is a union and its oracle.
type model struct {
	*fixture
	r      *rand.Rand
	oracle string
	held   []heldFile
	log    []string
	inos   map[identity]uint64 // st_ino in the union of the oracle's inodes; nil not to look at them
	paths  []string            // of what there was at the last comparison

	crashed bool // the union was left by a process that was killed
}

// identity is an inode of the oracle, for all time: its file handle.
type identity string

// heldFile is a file that is open in both.
type heldFile struct {
	node *Node
	fd   int
}

// newModel makes a model with directories in dir, described by as if it is not nil.
func newModel(t *testing.T, r *rand.Rand, dir string, as *Layer) *model {
	layers := randomLayers(r)
	for _, layer := range layers {
		if as != nil {
			delete(layer, "h/5") // since links that cannot note that they are copies become two
		}
	}
	m := &model{fixture: plantUnion(t, dir, layers...), r: r, oracle: dir + "/oracle", inos: map[identity]uint64{}}
	m.writesOut = true
	if as != nil {
		m.describe(*as)
	}
	if r.IntN(2) == 0 {
		m.opts.Quota = Quota{Bytes: 1 << 40, Inodes: 1 << 40}
	}
	m.open()
	must(t, os.Mkdir(m.oracle, 0o755))
	flatten(layers).plant(t, m.oracle)
	m.compareTrees()
	return m
}

// run does the next operation, and now and then compares everything.
func (m *model) run(step int) {
	m.step()
	if step%40 == 39 {
		m.compareTrees()
	}
}

// path returns one of few paths, so that operations meet, and often one of something.
func (m *model) path() string {
	if len(m.paths) == 0 || m.r.IntN(2) == 0 {
		return randomPath(m.r)
	}
	return m.paths[m.r.IntN(len(m.paths))]
}

// modelSteps are the operations, some of them more than once so that they are done more often.
var modelSteps = []func(*model){
	(*model).doCreate, (*model).doCreate, (*model).doMkdir, (*model).doMkdir, (*model).doSymlink, (*model).doLink,
	(*model).doLink,
	(*model).doUnlink, (*model).doUnlink, (*model).doRmdir, (*model).doRename, (*model).doRename, (*model).doRename,
	(*model).doWrite, (*model).doWrite,
	(*model).doTruncate, (*model).doChmod, (*model).doSetxattr, (*model).doHold, (*model).doWriteHeld,
	(*model).doRelease, (*model).doReopen,
	(*model).doChown, (*model).doUtimes, (*model).doTmpfile, (*model).doAllocate,
}

// step does one operation on both.
func (m *model) step() { modelSteps[m.r.IntN(len(modelSteps))](m) }

// same compares the results of one operation.
func (m *model) same(what string, union, oracle error) {
	m.log = append(m.log, fmt.Sprintf("%s: %v", what, union))
	if errnoOf(union) != errnoOf(oracle) {
		m.t.Errorf("%s: union says %v, a plain directory %v", what, union, oracle)
	}
}

// oracleIn calls do with the open directory and the name a path ends in, following no link, as fixture.in does.
func (m *model) oracleIn(path string, do func(dirfd int, name string) error) error {
	names := strings.Split(path, "/")
	fd, err := unix.Open(m.oracle, unix.O_PATH, 0)
	must(m.t, err)
	defer func() { unix.Close(fd) }()
	for _, name := range names[:len(names)-1] {
		next, err := unix.Openat(fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		unix.Close(fd)
		fd = next
	}
	return do(fd, names[len(names)-1])
}

// oracleFile opens a file of the oracle as fixture.at finds a node; directories for reading.
func (m *model) oracleFile(path string, do func(fd int) error) error {
	return m.oracleIn(path, func(dir int, name string) error {
		fd, err := unix.Openat(dir, name, unix.O_RDWR|unix.O_NOFOLLOW, 0)
		if err == unix.EISDIR {
			fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW, 0)
		}
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return do(fd)
	})
}

// regular does an operation on a regular file or directory only: what both say of others is the kernel's matter.
func (m *model) regular(path string) bool {
	n, err := m.walk(path)
	if err != nil {
		return true
	}
	defer m.u.Forget(n, 1)
	return n.kind == unix.S_IFREG
}

func (m *model) doCreate() {
	path, mode := m.path(), uint32(0o600|m.r.IntN(0o200))
	m.same("create "+path, m.create(path, mode), m.oracleIn(path, func(dir int, name string) error {
		fd, err := unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, mode)
		if err == nil {
			must(m.t, unix.Fchmod(fd, mode))
			unix.Close(fd)
		}
		return err
	}))
}

func (m *model) doMkdir() {
	path := m.path()
	m.same("mkdir "+path, m.mkdir(path, 0o755), m.oracleIn(path, func(dir int, name string) error {
		return unix.Mkdirat(dir, name, 0o755)
	}))
}

func (m *model) doSymlink() {
	path, target := m.path(), m.path()
	m.same("symlink "+path, m.symlink(target, path), m.oracleIn(path, func(dir int, name string) error {
		return unix.Symlinkat(target, dir, name)
	}))
}

func (m *model) doLink() {
	from, to := m.path(), m.path()
	m.same("link "+from+" "+to, m.link(from, to), m.oracleIn(from, func(d1 int, n1 string) error {
		if _, err := beneath.Stat(d1, n1); err != nil {
			return err
		}
		return m.oracleIn(to, func(d2 int, n2 string) error {
			st, _ := beneath.Stat(d1, n1)
			if err := unix.Linkat(d1, n1, d2, n2, 0); st.Mode&unix.S_IFMT == unix.S_IFDIR && err == unix.EEXIST {
				return unix.EPERM // the union looks at the source first; the kernel never asks either
			} else {
				return err
			}
		})
	}))
}

func (m *model) doUnlink() {
	path := m.path()
	m.same("unlink "+path, m.unlink(path), m.oracleIn(path,
		func(dir int, name string) error { return unix.Unlinkat(dir, name, 0) }))
}

func (m *model) doRmdir() {
	path := m.path()
	m.same("rmdir "+path, m.rmdir(path), m.oracleIn(path, func(dir int, name string) error {
		return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	}))
}

func (m *model) doRename() {
	from, to := m.path(), m.path()
	flags := []uint{0, 0, 0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE}[m.r.IntN(5)]
	err := m.rename(from, to, flags)
	what := fmt.Sprintf("rename %s %s %d", from, to, flags)
	want := m.oracleIn(from, func(d1 int, n1 string) error {
		return m.oracleIn(to, func(d2 int, n2 string) error { return unix.Renameat2(d1, n1, d2, n2, flags) })
	})
	if got := errnoOf(err); got != errnoOf(want) && isRenameRefusal(got) && isRenameRefusal(errnoOf(want)) {
		return // both refuse; which of several reasons is named first differs among filesystems
	}
	m.same(what, err, want)
}

func isRenameRefusal(errno unix.Errno) bool {
	return slices.Contains([]unix.Errno{unix.EINVAL, unix.ENOTEMPTY, unix.EEXIST, unix.ENOTDIR, unix.EISDIR}, errno)
}

func (m *model) doWrite() {
	path, data, offset := m.path(), m.path(), int64(m.r.IntN(20))
	if !m.regular(path) {
		return
	}
	m.same(fmt.Sprintf("write %s %s at %d", path, data, offset), m.write(path, data, offset),
		m.oracleFile(path, func(fd int) error {
			_, err := unix.Pwrite(fd, []byte(data), offset)
			return err
		}))
}

// doAllocate has blocks allocated or given back.
func (m *model) doAllocate() {
	path, offset, length := m.path(), int64(m.r.IntN(40)<<10), int64(1+m.r.IntN(40<<10))
	mode := []uint32{0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_KEEP_SIZE | unix.FALLOC_FL_PUNCH_HOLE}[m.r.IntN(3)]
	keeps := mode == unix.FALLOC_FL_KEEP_SIZE && m.u.quota != nil && m.u.quota.AllocatesAhead() // which is refused then
	if !m.regular(path) || keeps {
		return
	}
	m.same(fmt.Sprintf("allocate %s %d %d+%d", path, mode, offset, length),
		m.at(path, func(n *Node) error { return m.u.Fallocate(n, mode, offset, length, asRoot) }),
		m.oracleFile(path, func(fd int) error { return unix.Fallocate(fd, mode, offset, length) }))
}

func (m *model) doTruncate() {
	path, size := m.path(), int64(m.r.IntN(12)/2*2)
	if !m.regular(path) {
		return
	}
	m.same(fmt.Sprintf("truncate %s %d", path, size), m.truncate(path, size), m.oracleFile(path, func(fd int) error {
		return unix.Ftruncate(fd, size)
	}))
}

func (m *model) doChmod() {
	path, mode := m.path(), uint32(0o700|m.r.IntN(0o100))
	if n, err := m.walk(path); err == nil {
		m.u.Forget(n, 1)
		if n.kind == unix.S_IFLNK {
			return
		}
	}
	m.same("chmod "+path, m.chmod(path, mode), m.oracleFile(path, func(fd int) error { return unix.Fchmod(fd, mode) }))
}

// changeable tells whether a path leads to something whose metadata both can change alike.
func (m *model) changeable(path string) bool {
	n, err := m.walk(path)
	if err != nil {
		return true
	}
	defer m.u.Forget(n, 1)
	return n.kind != unix.S_IFLNK
}

// doChown lets the oracle note the owner in an xattr, where describeOracle looks for it.
func (m *model) doChown() {
	path, uid := m.path(), uint32(m.r.IntN(3))
	if !m.changeable(path) || m.opts.UpperAs != nil { // where other ids than the test's cannot be had
		return
	}
	m.same(fmt.Sprintf("chown %s %d", path, uid), m.chown(path, uid, uid), m.oracleFile(path, func(fd int) error {
		return unix.Fsetxattr(fd, "user.owner", []byte{byte('0' + uid)}, 0)
	}))
}

// latestSet bounds the times that doUtimes sets, in seconds.
const latestSet = 1000

func (m *model) doUtimes() {
	path, mtime := m.path(), unix.Timespec{Sec: int64(m.r.IntN(latestSet)), Nsec: int64(m.r.IntN(1000))}
	if !m.changeable(path) {
		return
	}
	m.same("utimes "+path, m.setattr(path, SetAttr{Mtime: &mtime}), m.oracleFile(path, func(fd int) error {
		return sys.SetTimes(fd, unix.Timespec{Nsec: unix.UTIME_OMIT}, mtime)
	}))
	if n, err := m.walk(path); err == nil {
		a, err := m.u.Getattr(n)
		if err != nil || a.Mtime != mtime {
			m.t.Errorf("utimes %s: mtime %v, %v; want %v", path, a.Mtime, err, mtime)
		}
		m.u.Forget(n, 1)
	}
}

// doTmpfile makes a file without a name and gives it one.
func (m *model) doTmpfile() {
	path, data := m.path(), m.path()
	err := m.in(path, func(dir *Node, name string) error {
		n, _, err := m.u.Tmpfile(dir, 0o644, Owner{})
		if err != nil {
			return err
		}
		defer m.u.Forget(n, 1)
		_, err = m.u.Write(n, []byte(data), 0, asRoot)
		must(m.t, err)
		if _, err = m.u.Link(n, dir, name); err == nil {
			m.u.Forget(n, 1)
		}
		return err
	})
	m.same("tmpfile "+path, err, m.oracleIn(path, func(dir int, name string) error {
		fd, err := unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o644)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return filecopy.WriteAll(fd, []byte(data), 0)
	}))
}

func (m *model) doSetxattr() {
	path, value := m.path(), m.path()
	if n, err := m.walk(path); err == nil {
		m.u.Forget(n, 1)
		if n.kind == unix.S_IFLNK {
			return
		}
	}
	m.same("setxattr "+path, m.at(path, func(n *Node) error { return m.u.SetXattr(n, "user.t", []byte(value), 0) }),
		m.oracleFile(path, func(fd int) error { return unix.Fsetxattr(fd, "user.t", []byte(value), 0) }))
}

func (m *model) doHold() {
	path := m.path()
	n, err := m.walk(path)
	if err != nil {
		return
	}
	if n.kind != unix.S_IFREG {
		m.u.Forget(n, 1)
		return
	}
	must(m.t, m.oracleFile(path, func(fd int) error {
		fd, err := unix.Dup(fd)
		m.held = append(m.held, heldFile{n, fd})
		return err
	}))
	m.log = append(m.log, "hold "+path)
}

func (m *model) doWriteHeld() {
	if len(m.held) == 0 {
		return
	}
	h, data := m.held[m.r.IntN(len(m.held))], m.path()
	_, err := m.u.Write(h.node, []byte(data), 1, asRoot)
	_, want := unix.Pwrite(h.fd, []byte(data), 1)
	m.same("write held", err, want)
	st, err := sys.Stat(h.fd)
	must(m.t, err)
	a, err := m.u.Getattr(h.node)
	must(m.t, err)
	if a.Size != st.Size || a.Nlink != uint32(st.Nlink) {
		m.t.Errorf("held file: size %d, nlink %d; want %d, %d", a.Size, a.Nlink, st.Size, st.Nlink)
	}
	got, err := m.contentOf(h.node)
	must(m.t, err)
	buf := make([]byte, st.Size)
	unix.Pread(h.fd, buf, 0)
	if got != string(buf) {
		m.t.Errorf("held file holds %q, want %q", got, buf)
	}
}

func (m *model) doRelease() {
	if len(m.held) == 0 {
		return
	}
	h := m.held[0]
	m.held = m.held[1:]
	m.u.Forget(h.node, 1)
	unix.Close(h.fd)
	m.log = append(m.log, "release")
}

func (m *model) releaseAll() {
	for len(m.held) > 0 {
		m.doRelease()
	}
}

func (m *model) doReopen() {
	m.releaseAll()
	m.reopen()
	m.log = append(m.log, "reopen")
}
