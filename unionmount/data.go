package unionmount

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/eintr"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// Readlink returns the target of a symbolic link.
func (u *Union) Readlink(n *Node) (string, error) {
	if n.kind != unix.S_IFLNK {
		return "", unix.EINVAL
	}
	n.meta.RLock()
	defer n.meta.RUnlock()
	u.wasRead(n)
	return u.linkTarget(n)
}

// linkTarget returns the target of a link, "" of anything else. Meta of n is held.
func (u *Union) linkTarget(n *Node) (string, error) {
	if n.kind != unix.S_IFLNK {
		return "", nil
	}
	if k := n.known(); k != nil {
		return k.target, nil
	}
	h, err := u.backing(n, n.firstSlot())
	if err != nil {
		return "", err
	}
	defer u.fds.Release(h)
	target, err := readTarget(h.FD)
	return target, n.fault("read link", err)
}

// readTarget reads the target of a link from its backing file, which is a link or a file whose content is the target.
// fd may be O_PATH.
func readTarget(fd int) (string, error) {
	st, err := sys.Stat(fd)
	if err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return beneath.Readlink(fd, "")
	}
	file, err := sys.Reopen(fd, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(file)
	buf := make([]byte, unix.PathMax)
	n, err := eintr.Retry(func() (int, error) { return unix.Pread(file, buf, 0) })
	return string(buf[:max(n, 0)]), err
}

// Read reads from a regular file into buf. It reads less than its length only at the end of the file.
func (u *Union) Read(n *Node, buf []byte, offset int64) (int, error) {
	h, err := u.readable(n)
	if h == nil || err != nil {
		return 0, err
	}
	defer u.fds.Release(h)
	u.wasRead(n)
	if n.snapshot != nil && !n.inUpper.Load() { // the end is known, so no call is needed to find it
		buf = buf[:max(0, min(int64(len(buf)), n.snapshot.Size-offset))]
	}
	total := 0
	for total < len(buf) {
		got, err := eintr.Retry(func() (int, error) { return unix.Pread(h.FD, buf[total:], offset+int64(total)) })
		if err != nil {
			return total, n.fault("read", err)
		}
		if got == 0 {
			break
		}
		total += got
	}
	return total, nil
}

// OpenRead returns a descriptor to read a regular file from, how many of the size bytes at offset the file has, and a
// function that gives the descriptor back. If ok is false the caller must use Read, which then reads or returns the
// error.
func (u *Union) OpenRead(n *Node, offset int64, size int) (fd, length int, release func(), ok bool) {
	h, err := u.readable(n)
	if h == nil || err != nil {
		return -1, 0, nil, false
	}
	u.wasRead(n)
	end := int64(0)
	if n.snapshot != nil && !n.inUpper.Load() {
		end = n.snapshot.Size
	} else if st, err := sys.Stat(h.FD); err == nil {
		end = st.Size
	}
	return h.FD, int(max(0, min(int64(size), end-offset))), func() { u.fds.Release(h) }, true
}

// readable returns the data of n for reading; nil for the empty file that stands for a mount point.
func (u *Union) readable(n *Node) (*fdcache.Handle, error) {
	if n.kind != unix.S_IFREG {
		return nil, unix.EINVAL
	}
	n.meta.RLock()
	defer n.meta.RUnlock()
	if n.foreign != nil && !n.inUpper.Load() {
		return nil, nil
	}
	return u.data(n)
}

// writable returns the data of n in the upper, for a change by a caller. All changes of data go through it.
func (u *Union) writable(n *Node, by Caller) (*fdcache.Handle, error) {
	if n.kind != unix.S_IFREG {
		return nil, unix.EINVAL
	}
	if err := u.copyUp(n, contentOwn); err != nil {
		return nil, err
	}
	if err := u.dropPriv(n, by); err != nil {
		return nil, n.fault("drop privileges of", err)
	}
	n.meta.RLock()
	defer n.meta.RUnlock()
	return u.data(n)
}

// Write writes data to a regular file. It writes less than all of it if there is no room for more.
func (u *Union) Write(n *Node, data []byte, offset int64, by Caller) (int, error) {
	h, err := u.writable(n, by)
	if err != nil {
		return 0, err
	}
	defer u.fds.Release(h)
	g, err := n.account.Allot(h.FD, offset, int64(len(data)), true)
	if err != nil {
		return 0, n.fault("write", err)
	}
	defer n.account.Settle(h.FD, &g)
	data = data[:g.Length]
	total := 0
	for total < len(data) {
		put, err := eintr.Retry(func() (int, error) { return unix.Pwrite(h.FD, data[total:], offset+int64(total)) })
		if err != nil && total > 0 {
			return total, nil // the next write will meet the error
		}
		if err != nil {
			return 0, n.fault("write", err)
		}
		total += put
	}
	return total, nil
}

// truncateHeld sets the size of n, which is in the upper. Meta of n is held.
func (u *Union) truncateHeld(n *Node, size int64) error {
	h, err := u.data(n)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	defer n.account.Shrinking()()
	_, err = eintr.Retry(func() (int, error) { return 0, unix.Ftruncate(h.FD, size) })
	return err
}

// Fallocate is fallocate(2).
func (u *Union) Fallocate(n *Node, mode uint32, offset, length int64, by Caller) error {
	h, err := u.writable(n, by)
	if err != nil {
		return err
	}
	defer u.fds.Release(h)
	g, err := n.account.AllotFor(h.FD, mode, offset, length)
	if err != nil {
		return n.fault("allocate", err)
	}
	defer n.account.Settle(h.FD, &g)
	_, err = eintr.Retry(func() (int, error) { return 0, unix.Fallocate(h.FD, mode, offset, length) })
	return n.fault("allocate", err)
}

// Lseek finds data or a hole at or after offset; whence is unix.SEEK_DATA or unix.SEEK_HOLE.
func (u *Union) Lseek(n *Node, offset int64, whence int) (int64, error) {
	if whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE {
		return 0, unix.EINVAL
	}
	h, err := u.readable(n)
	if err != nil {
		return 0, err
	}
	if h == nil {
		return 0, unix.ENXIO
	}
	defer u.fds.Release(h)
	at, err := unix.Seek(h.FD, offset, whence)
	return at, n.fault("seek in", err)
}

// CopyFileRange copies data between files, sharing it where the filesystem can, and returns how much.
func (u *Union) CopyFileRange(in *Node, inOffset int64, out *Node, outOffset int64, length int,
	by Caller) (int, error) {
	to, err := u.writable(out, by)
	if err != nil {
		return 0, err
	}
	defer u.fds.Release(to)
	from, err := u.readable(in)
	if from == nil || err != nil {
		return 0, err
	}
	defer u.fds.Release(from)
	u.wasRead(in)
	g, err := out.account.AllotCopy(to.FD, outOffset, from.FD, inOffset, int64(length))
	if err != nil {
		return 0, out.fault("copy to", err)
	}
	defer out.account.Settle(to.FD, &g)
	n, err := eintr.Retry(func() (int, error) {
		return unix.CopyFileRange(from.FD, &inOffset, to.FD, &outOffset, int(g.Length), 0)
	})
	return max(n, 0), out.fault("copy to", err)
}

// Fsync writes a node to the disk, without its metadata if dataOnly. A file that only a lower has needs none.
func (u *Union) Fsync(n *Node, dataOnly bool) error {
	if !n.inUpper.Load() || u.opts.Volatile {
		return nil
	}
	n.meta.RLock()
	defer n.meta.RUnlock()
	fd, err := u.openSync(n)
	if fd < 0 || err != nil {
		return err
	}
	defer unix.Close(fd)
	// The xattrs first: after a crash a missing file is better than one with another owner.
	if err := u.upper.Xattrs.Sync(); err != nil {
		return n.fault("sync xattrs of", err)
	}
	sync := unix.Fsync
	if dataOnly {
		sync = unix.Fdatasync
	}
	return n.fault("sync", sync(fd))
}

// openSync opens the backing file of n for fsync(2). It returns -1 for types of files that cannot be opened.
func (u *Union) openSync(n *Node) (int, error) {
	if !encoding.CarriesXattrs(u.upper.Policy.Backing(n.stat)) {
		return -1, nil
	}
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return -1, err
	}
	defer u.fds.Release(h)
	fd, err := sys.Reopen(h.FD, unix.O_RDONLY)
	return fd, n.fault("open", err)
}

// Statfs describes the filesystem of the upper, or of the topmost lower if there is no upper.
func (u *Union) Statfs() (unix.Statfs_t, error) {
	l := u.stack()[0]
	var st unix.Statfs_t
	_, err := eintr.Retry(func() (int, error) { return 0, unix.Fstatfs(l.Root, &st) })
	st.Namelen = unix.NAME_MAX
	if u.work != nil && !u.work.Devices {
		st.Namelen -= int64(len(layerfmt.WhiteoutPrefix)) // a longer name could not be deleted from a lower layer
	}
	u.quota.Show(&st)
	return st, fault("stat filesystem", l, "/", err)
}
