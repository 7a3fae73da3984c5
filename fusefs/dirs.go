package fusefs

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/rcrun/rcrun/unionmount"
)

// ReadDirPlus answers READDIRPLUS: every entry with its attributes, as if it had been looked up.
func (s *server) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return s.readDir(in, func(e *unionmount.Dirent) bool {
		entry := out.AddDirLookupEntry(dirEntry(e))
		if entry == nil {
			return false
		}
		if e.Node != nil {
			s.fillEntry(entry, e.Node, &e.Attr)
		}
		return true
	})
}

// ReadDir answers READDIR, which a kernel sends that does not know READDIRPLUS.
func (s *server) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return s.readDir(in, func(e *unionmount.Dirent) bool {
		taken := out.AddDirEntry(dirEntry(e))
		if taken && e.Node != nil {
			s.union.Forget(e.Node, 1)
		}
		return taken
	})
}

func (s *server) readDir(in *fuse.ReadIn, emit func(*unionmount.Dirent) bool) fuse.Status {
	dir, code := s.node(in.NodeId)
	if !code.Ok() {
		return code
	}
	return s.status("readdir", s.union.Readdir(dir, in.Offset, emit))
}

func dirEntry(e *unionmount.Dirent) fuse.DirEntry {
	return fuse.DirEntry{Name: e.Name, Mode: e.Attr.Mode, Ino: e.Attr.Ino, Off: e.Cookie}
}

// FsyncDir answers FSYNCDIR.
func (s *server) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return s.fsync(in)
}
