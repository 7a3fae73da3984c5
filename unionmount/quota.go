package unionmount

import (
	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/eintr"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/layer"
	"github.com/rcrun/rcrun/unionmount/internal/quota"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"github.com/rcrun/rcrun/unionmount/internal/workdir"
	"golang.org/x/sys/unix"
)

// Quota limits what an upper may take on disk. The package comment says what counts. Zero fields limit nothing.
type Quota struct {
	Bytes  int64 `json:"bytes,omitempty"`
	Inodes int64 `json:"inodes,omitempty"`
}

// Gone implements quota.File.
func (n *Node) Gone(links uint64) bool {
	if n.isDir() {
		return n.dead.Load()
	}
	return links == 0
}

// settleAll charges nodes that are in the upper what they take now. Nil nodes are ignored.
func (u *Union) settleAll(nodes ...*Node) {
	if u.quota == nil {
		return
	}
	for _, n := range nodes {
		if n == nil || !n.inUpper.Load() {
			continue
		}
		if h, err := u.backing(n, fdcache.Upper); err == nil { // else the next change settles this one, too
			n.account.Settle(h.FD, &quota.Grant{})
			u.fds.Release(h)
		}
	}
}

// chargeFile charges a new file that has no node, to no account.
func (u *Union) chargeFile(fd int) {
	if u.quota == nil {
		return
	}
	if st, err := sys.Stat(fd); err == nil {
		u.quota.Charge(quota.UsageOf(&st))
	}
}

// usageOf returns the record with which the next Open begins.
func usageOf(state quota.State) workdir.Usage {
	lasting := state.Lasting()
	return workdir.Usage{Boot: workdir.BootID(), Bytes: lasting.Bytes, Inodes: lasting.Inodes, Grown: state.Grown}
}

// openQuota finds out what the upper takes, if that is limited. It removes the record in any case, because changes
// make the record wrong.
func (u *Union) openQuota() error {
	if u.upper == nil {
		return nil
	}
	record, recorded := u.work.TakeUsage()
	if u.opts.Quota == (Quota{}) {
		return nil
	}
	var fs unix.Statfs_t
	if _, err := eintr.Retry(func() (int, error) { return 0, unix.Fstatfs(u.upper.Root, &fs) }); err != nil {
		return fault("stat filesystem", u.upper, "/", err)
	}
	u.quota = quota.New(quota.Usage(u.opts.Quota), &fs)
	if beside, ok := u.upper.Xattrs.(encoding.Beside); ok {
		beside.Watch(u.quota.RecordIs)
	}
	// Other programs may have written to a HostOwned upper meanwhile.
	if recorded && !u.upper.HostOwned && u.quota.Trusts(record.Grown) {
		u.quota.Begin(quota.Usage{Bytes: record.Bytes, Inodes: record.Inodes}, record.Grown)
		return nil
	}
	used, err := u.recount()
	if err != nil {
		return fault("count what is in", u.upper, "/", err)
	}
	u.quota.Begin(used, 0)
	return nil
}

// counter adds up what files take, each file once.
type counter struct {
	q    *quota.Ledger
	sum  quota.Usage
	seen map[uint64]bool // inode numbers of files with several names
	// index says that the files are in the index of hard links, whose notes do not count. Notes of hidden names are
	// made when something is removed, which must not be refused. There are no more notes of origins than the lowers
	// have special files and links.
	index bool
}

func (c *counter) add(dir int, name string, st *unix.Stat_t) {
	if c.index && workdir.IsNote(name) {
		return
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
		if c.seen[st.Ino] {
			return
		}
		c.seen[st.Ino] = true
	}
	if !c.q.GrowsAhead(st) {
		c.sum = c.sum.Plus(quota.UsageOf(st))
		return
	}
	fd, err := beneath.Open(dir, name, unix.O_PATH, 0)
	if err != nil {
		c.sum = c.sum.Plus(quota.UsageOf(st))
		return
	}
	defer unix.Close(fd)
	c.sum = c.sum.Plus(c.q.Takes(fd, st))
}

// recount adds up what the files in the upper and in the index take.
func (u *Union) recount() (quota.Usage, error) {
	root, err := sys.Stat(u.upper.Root)
	if err != nil {
		return quota.Usage{}, err
	}
	c := &counter{q: u.quota, sum: quota.UsageOf(&root), seen: map[uint64]bool{}}
	w := layer.Walk{Visit: c.add}
	if err := w.Tree(u.upper.Root); err != nil {
		return quota.Usage{}, err
	}
	c.index = true
	_, err = w.Dir(u.work.Index)
	return c.sum, err
}
