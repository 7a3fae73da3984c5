package fusefs

import "github.com/hanwen/go-fuse/v2/fuse"

// These requests are answered ENOSYS on purpose. After the first answer the kernel sends no more of them.

// Open makes the kernel open files by itself, except with DirectIO, which it must be told at each open.
func (s *server) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if s.tuning.DirectIO {
		out.OpenFlags = s.tuning.openFlags()
		return fuse.OK
	}
	return fuse.ENOSYS
}

// OpenDir makes the kernel open directories by itself, except with strict access times, where it must read them from
// the server each time.
func (s *server) OpenDir(_ <-chan struct{}, _ *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	if s.strict {
		return fuse.OK
	}
	return fuse.ENOSYS
}

// Create makes the kernel use MKNOD and open by itself.
func (s *server) Create(_ <-chan struct{}, _ *fuse.CreateIn, _ string, _ *fuse.CreateOut) fuse.Status {
	return fuse.ENOSYS
}

// Flush makes the kernel close files by itself.
func (s *server) Flush(_ <-chan struct{}, _ *fuse.FlushIn) fuse.Status { return fuse.ENOSYS }
