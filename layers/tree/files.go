package tree

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Files gives the contents of the regular files of a tree by the names that they have in the tar it was unpacked from.
type Files struct {
	mu     sync.Mutex // guards the walker
	walker *walker
	root   *os.File
}

// OpenFiles opens the tree at dir.
func OpenFiles(dir string) (*Files, error) {
	root, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return &Files{walker: newWalker(root), root: root}, nil
}

// Get opens a file. Names are resolved as Unpack does it, and follow no link either.
func (f *Files) Get(name string) (io.ReadCloser, error) { return f.open(name) }

func (f *Files) open(name string) (*os.File, error) {
	parts, err := splitName(name)
	if err == nil && len(parts) == 0 {
		err = unix.EISDIR
	}
	if err != nil {
		return nil, fmt.Errorf("open %q in layer: %w", name, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(parts) - 1
	dirfd, err := f.walker.open(parts[:last], nil)
	if err != nil {
		return nil, fmt.Errorf("open %q in layer: %w", name, err)
	}
	fd, err := retry(func() (int, error) {
		return unix.Openat(dirfd, parts[last], unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, fmt.Errorf("open %q in layer: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Close releases the tree. Files that are open stay so.
func (f *Files) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.walker.forget()
	return f.root.Close()
}
