package fusefs

import (
	"errors"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/unionmount"
)

// Lookup answers LOOKUP. A missing name is not an error here but an answer, which the kernel remembers.
func (s *server) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	dir, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	n, a, err := s.lookup(dir, name)
	if errors.Is(err, unix.ENOENT) {
		out.EntryValid, out.EntryValidNsec = s.leases.negative.seconds, s.leases.negative.nanoseconds
		return fuse.OK
	}
	return s.entry("lookup", n, a, err, out)
}

// lookup finds a name. The kernel asks for "." and ".." when a file was opened by its handle and it no longer knows
// the directories above.
func (s *server) lookup(dir *unionmount.Node, name string) (*unionmount.Node, unionmount.Attr, error) {
	switch name {
	case ".":
		return s.union.LookupAgain(dir)
	case "..":
		return s.union.LookupParent(dir)
	}
	return s.union.Lookup(dir, name)
}

// entry answers with a node that was looked up or made.
func (s *server) entry(op string, n *unionmount.Node, a unionmount.Attr, err error, out *fuse.EntryOut) fuse.Status {
	if err != nil {
		return s.status(op, err)
	}
	s.fillEntry(out, n, &a)
	return fuse.OK
}

// Forget answers FORGET and each part of BATCH_FORGET.
func (s *server) Forget(id, count uint64) {
	if n, ok := s.union.Node(id); ok {
		s.union.Forget(n, count)
	}
}

// Mknod answers MKNOD.
func (s *server) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	dir, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	mode := in.Mode
	if mode&unix.S_IFMT == 0 {
		mode |= unix.S_IFREG
	}
	mode = s.union.Masked(dir, mode, in.Umask)
	n, a, err := s.union.Mknod(dir, name, mode, fromKernelDevice(in.Rdev), ownerOf(&in.InHeader))
	return s.entry("mknod", n, a, err, out)
}

// Tmpfile answers TMPFILE. O_TMPFILE is the only way to open a file that needs the server.
func (s *server) Tmpfile(_ <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	dir, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	n, a, err := s.union.Tmpfile(dir, s.union.Masked(dir, in.Mode, in.Umask), ownerOf(&in.InHeader))
	out.OpenFlags = s.tuning.openFlags()
	return s.entry("tmpfile", n, a, err, &out.EntryOut)
}

// Mkdir answers MKDIR.
func (s *server) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	dir, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	n, a, err := s.union.Mkdir(dir, name, s.union.Masked(dir, in.Mode, in.Umask), ownerOf(&in.InHeader))
	return s.entry("mkdir", n, a, err, out)
}

// Symlink answers SYMLINK.
func (s *server) Symlink(_ <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	dir, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	n, a, err := s.union.Symlink(dir, name, target, ownerOf(in))
	return s.entry("symlink", n, a, err, out)
}

// Link answers LINK.
func (s *server) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	dir, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	n, code := s.node(in.Oldnodeid)
	if !code.Ok() {
		return code
	}
	a, err := s.union.Link(n, dir, name)
	return s.entry("link", n, a, err, out)
}

// Unlink answers UNLINK.
func (s *server) Unlink(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	dir, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	return s.status("unlink", s.union.Unlink(dir, name))
}

// Rmdir answers RMDIR.
func (s *server) Rmdir(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	dir, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	return s.status("rmdir", s.union.Rmdir(dir, name))
}

// Rename answers RENAME and RENAME2.
func (s *server) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	oldDir, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	newDir, code := s.node(in.Newdir)
	if !code.Ok() {
		return code
	}
	return s.status("rename", s.union.Rename(oldDir, oldName, newDir, newName, uint(in.Flags)))
}

// Readlink answers READLINK.
func (s *server) Readlink(_ <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	n, code := s.node(in.NodeId)
	if !code.Ok() {
		return nil, code
	}
	target, err := s.union.Readlink(n)
	return []byte(target), s.status("readlink", err)
}

func ownerOf(in *fuse.InHeader) unionmount.Owner {
	return unionmount.Owner{UID: in.Uid, GID: in.Gid}
}
