package fusefs

import "github.com/hanwen/go-fuse/v2/fuse"

// The requests that are answered ENOSYS on purpose, and counted. After the first answer the kernel does without them.

// Open makes the kernel open files by itself.
func (s *server) Open(_ <-chan struct{}, _ *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	s.counters.count(&s.counters.Open)
	return fuse.ENOSYS
}

// OpenDir makes the kernel open directories by itself.
func (s *server) OpenDir(_ <-chan struct{}, _ *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	s.counters.count(&s.counters.OpenDir)
	return fuse.ENOSYS
}

// Create makes the kernel use MKNOD and open by itself.
func (s *server) Create(_ <-chan struct{}, _ *fuse.CreateIn, _ string, _ *fuse.CreateOut) fuse.Status {
	s.counters.count(&s.counters.Create)
	return fuse.ENOSYS
}
