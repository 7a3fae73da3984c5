package unionmount

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
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
	defer u.fds.release(h)
	target, err := readTarget(h.fd)
	return target, n.fault("read link", err)
}

// readTarget reads the target of a link from the backing file behind an O_PATH descriptor: a link, or a file whose
// content is the target.
func readTarget(fd int) (string, error) {
	st, err := statFD(fd)
	if err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return beneath.Readlink(fd, "")
	}
	file, err := reopen(fd, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(file)
	buf := make([]byte, unix.PathMax)
	n, err := retry(func() (int, error) { return unix.Pread(file, buf, 0) })
	return string(buf[:max(n, 0)]), err
}

// Read reads from a regular file into buf; less than its length only at the end of the file.
func (u *Union) Read(n *Node, buf []byte, offset int64) (int, error) {
	h, err := u.readable(n)
	if h == nil || err != nil {
		return 0, err
	}
	defer u.fds.release(h)
	u.wasRead(n)
	if n.still != nil && !n.inUpper.Load() { // whose end is known, so that it need not be met
		buf = buf[:max(0, min(int64(len(buf)), n.still.Size-offset))]
	}
	total := 0
	for total < len(buf) {
		got, err := retry(func() (int, error) { return unix.Pread(h.fd, buf[total:], offset+int64(total)) })
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

// OpenRead returns a descriptor to read a regular file from, how many of size bytes at offset there are to be read, and
// what gives the descriptor back. ok is false where only Read reads, or tells the error.
func (u *Union) OpenRead(n *Node, offset int64, size int) (fd, length int, release func(), ok bool) {
	h, err := u.readable(n)
	if h == nil || err != nil {
		return -1, 0, nil, false
	}
	u.wasRead(n)
	end := int64(0)
	if n.still != nil && !n.inUpper.Load() {
		end = n.still.Size
	} else if st, err := statFD(h.fd); err == nil {
		end = st.Size
	}
	return h.fd, int(max(0, min(int64(size), end-offset))), func() { u.fds.release(h) }, true
}

// readable returns the data of n for reading; nil for the empty file that stands for a mount point.
func (u *Union) readable(n *Node) (*handle, error) {
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

// writable returns the data of n in the upper, to be changed by a caller. All that changes data goes through it.
func (u *Union) writable(n *Node, by Caller) (*handle, error) {
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

// Write writes data to a regular file, less than all of it where there is no room for more.
func (u *Union) Write(n *Node, data []byte, offset int64, by Caller) (int, error) {
	h, err := u.writable(n, by)
	if err != nil {
		return 0, err
	}
	defer u.fds.release(h)
	g, err := u.allot(n, h.fd, offset, int64(len(data)), true)
	if err != nil {
		return 0, n.fault("write", err)
	}
	defer u.settle(n, h.fd, &g)
	data = data[:g.length]
	total := 0
	for total < len(data) {
		put, err := retry(func() (int, error) { return unix.Pwrite(h.fd, data[total:], offset+int64(total)) })
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
	defer u.fds.release(h)
	defer n.account.shrinking()()
	_, err = retry(func() (int, error) { return 0, unix.Ftruncate(h.fd, size) })
	return err
}

// Fallocate is fallocate(2).
func (u *Union) Fallocate(n *Node, mode uint32, offset, length int64, by Caller) error {
	h, err := u.writable(n, by)
	if err != nil {
		return err
	}
	defer u.fds.release(h)
	g, err := u.allotFor(n, h.fd, mode, offset, length)
	if err != nil {
		return n.fault("allocate", err)
	}
	defer u.settle(n, h.fd, &g)
	_, err = retry(func() (int, error) { return 0, unix.Fallocate(h.fd, mode, offset, length) })
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
	defer u.fds.release(h)
	at, err := unix.Seek(h.fd, offset, whence)
	return at, n.fault("seek in", err)
}

// CopyFileRange copies data between files, sharing it where the filesystem can, and returns how much.
func (u *Union) CopyFileRange(in *Node, inOffset int64, out *Node, outOffset int64, length int, by Caller) (int, error) {
	to, err := u.writable(out, by)
	if err != nil {
		return 0, err
	}
	defer u.fds.release(to)
	from, err := u.readable(in)
	if from == nil || err != nil {
		return 0, err
	}
	defer u.fds.release(from)
	u.wasRead(in)
	g, err := u.allotCopy(out, to.fd, outOffset, from.fd, inOffset, int64(length))
	if err != nil {
		return 0, out.fault("copy to", err)
	}
	defer u.settle(out, to.fd, &g)
	n, err := retry(func() (int, error) {
		return unix.CopyFileRange(from.fd, &inOffset, to.fd, &outOffset, int(g.length), 0)
	})
	return max(n, 0), out.fault("copy to", err)
}

// Fsync has what was written to a node on disk, without its metadata if dataOnly. What the lowers have needs none.
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
	if err := u.upper.xattrs.sync(); err != nil { // first: better without the file than with another owner
		return n.fault("sync xattrs of", err)
	}
	sync := unix.Fsync
	if dataOnly {
		sync = unix.Fdatasync
	}
	return n.fault("sync", sync(fd))
}

// openSync opens the backing file of n for fsync(2); -1 of what cannot be opened.
func (u *Union) openSync(n *Node) (int, error) {
	if !carriesXattrs(u.upper.policy.backing(n.stat)) {
		return -1, nil
	}
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return -1, err
	}
	defer u.fds.release(h)
	fd, err := reopen(h.fd, unix.O_RDONLY)
	return fd, n.fault("open", err)
}

// Statfs describes the filesystem that takes the changes, or that of the topmost layer.
func (u *Union) Statfs() (unix.Statfs_t, error) {
	l := u.stack()[0]
	var st unix.Statfs_t
	_, err := retry(func() (int, error) { return 0, unix.Fstatfs(l.root, &st) })
	st.Namelen = unix.NAME_MAX
	if u.stage != nil && !u.stage.devices {
		st.Namelen -= int64(len(layerfmt.WhiteoutPrefix)) // a longer one could not be deleted from a lower layer
	}
	u.quota.show(&st)
	return st, fault("stat filesystem", l, "/", err)
}
