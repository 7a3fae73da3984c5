package fusefs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/unionmount"
)

const fdatasync = 1 // FsyncIn.FsyncFlags: data only

// Read answers READ.
func (s *server) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return nil, code
	}
	got, err := s.union.Read(n, buf, int64(in.Offset))
	if err != nil {
		return nil, s.status("read", err)
	}
	s.counters.bytes.read.Add(uint64(got))
	return fuse.ReadResultData(buf[:got]), fuse.OK
}

// openRead implements source.
func (s *server) openRead(node uint64, offset int64, size int) (fd, length int, release func(), ok bool) {
	defer func() {
		if cause := recover(); cause != nil { // as go-fuse does for all other requests
			s.panicked(cause)
			ok = false
		}
	}()
	n, code := s.node(node)
	if !code.Ok() {
		return -1, 0, nil, false
	}
	return s.union.OpenRead(n, offset, size)
}

// readDone implements source.
func (s *server) readDone(length int) { s.counters.bytes.read.Add(uint64(length)) }

// Write answers WRITE.
func (s *server) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return 0, code
	}
	by := s.callerOf(&in.InHeader)
	by.Privileged = in.WriteFlags&fuse.WRITE_KILL_SUIDGID == 0
	if !by.Privileged && n.Privileged() {
		defer s.staleMode(n)
	}
	put, err := s.union.Write(n, data, int64(in.Offset), by)
	s.counters.bytes.write.Add(uint64(put))
	return uint32(put), s.status("write", err)
}

// callerOf returns the caller of a request. Where the kernel does not say whether the caller is privileged, root of
// the host is taken to be, and root of a user namespace is not.
func (s *server) callerOf(in *fuse.InHeader) unionmount.Caller {
	return unionmount.Caller{UID: in.Uid, GID: in.Gid, Privileged: in.Uid == 0 && s.hostRoot}
}

// staleMode makes the kernel ask for the mode of a file again. The kernel leaves dropping suid and sgid to the
// server, but goes on using the mode that it knows, also to execute the file.
func (s *server) staleMode(n *unionmount.Node) {
	if err := s.link.attributesChanged(n.ID()); err != nil && err != unix.ENOENT {
		s.log.Error("tell the kernel of a changed mode", "error", err)
	}
}

// Fallocate answers FALLOCATE.
func (s *server) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	if n.Privileged() {
		defer s.staleMode(n)
	}
	by := s.callerOf(&in.InHeader)
	return s.status("fallocate", s.union.Fallocate(n, in.Mode, int64(in.Offset), int64(in.Length), by))
}

// Lseek answers LSEEK, which the kernel sends for SEEK_DATA and SEEK_HOLE.
func (s *server) Lseek(_ <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	at, err := s.union.Lseek(n, int64(in.Offset), int(in.Whence))
	out.Offset = uint64(at)
	return s.status("lseek", err)
}

// CopyFileRange answers COPY_FILE_RANGE.
func (s *server) CopyFileRange(_ <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	from, code := s.node(in.NodeId)
	if !code.Ok() {
		return 0, code
	}
	to, code := s.node(in.NodeIdOut)
	if !code.Ok() {
		return 0, code
	}
	if to.Privileged() {
		defer s.staleMode(to)
	}
	const most = 1 << 30 // the answer has 32 bits
	length, by := int(min(in.Len, most)), s.callerOf(&in.InHeader)
	n, err := s.union.CopyFileRange(from, int64(in.OffIn), to, int64(in.OffOut), length, by)
	s.counters.bytes.copyFileRange.Add(uint64(n))
	return uint32(n), s.status("copy_file_range", err)
}

// Fsync answers FSYNC.
func (s *server) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return s.fsync(in)
}

func (s *server) fsync(in *fuse.FsyncIn) fuse.Status {
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	return s.status("fsync", s.union.Fsync(n, in.FsyncFlags&fdatasync != 0))
}

// StatFs answers STATFS.
func (s *server) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	st, err := s.union.Statfs()
	if err != nil {
		return s.status("statfs", err)
	}
	*out = fuse.StatfsOut{
		Blocks: st.Blocks, Bfree: st.Bfree, Bavail: st.Bavail, Files: st.Files, Ffree: st.Ffree,
		Bsize: uint32(st.Bsize), Frsize: uint32(st.Frsize), NameLen: uint32(st.Namelen),
	}
	return fuse.OK
}

// Ioctl answers IOCTL: reading and setting the flags of chattr(1). All others are ENOTTY.
func (s *server) Ioctl(_ <-chan struct{}, in *fuse.IoctlIn, value []byte, _ *fuse.IoctlOut,
	answer []byte) fuse.Status {
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	if len(answer) == 0 {
		return s.status("ioctl", s.union.Ioctl(n, in.Cmd, value))
	}
	return s.status("ioctl", s.union.Ioctl(n, in.Cmd, answer))
}
