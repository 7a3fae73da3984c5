package tree

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/filecopy"
)

// Files gives the contents of the regular files of a tree, by their names in the tar that it was unpacked from.
type Files struct {
	mu     sync.Mutex // guards the walker
	walker *walker
	root   *os.File
}

// OpenFiles opens a tree.
func OpenFiles(t Tree) (*Files, error) {
	pool := &beneath.Pool{}
	defer pool.Close()
	at, err := t.open(pool)
	if err != nil {
		return nil, err
	}
	root, err := os.Open(t.Dir)
	if err != nil {
		return nil, errors.Join(err, at.xattrs.close())
	}
	return &Files{walker: newWalker(int(root.Fd()), at.xattrs), root: root}, nil
}

// Get opens a file. It resolves the name as Unpack does, by way of links in the tree.
func (f *Files) Get(name string) (io.ReadCloser, error) {
	file, err := f.open(name)
	if err != nil {
		return nil, err
	}
	st, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return content{filecopy.NewReader(file, st.Size()), file}, nil
}

// content is the content of an open file.
type content struct {
	io.Reader
	io.Closer
}

// Resolve returns the path in the tree that a name of its tar leads to, without links except for the last component. If
// a name leads nowhere, it is returned cleaned.
func (f *Files) Resolve(name string) string {
	parts, err := splitName(name)
	if err != nil || len(parts) == 0 {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(parts) - 1
	_, dir, err := f.walker.enter(parts[:last], nil)
	if err != nil {
		dir = parts[:last]
	}
	return strings.Join(append(slices.Clone(dir), parts[last]), "/")
}

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
	dirfd, _, err := f.walker.enter(parts[:last], nil)
	if err != nil {
		return nil, fmt.Errorf("open %q in layer: %w", name, err)
	}
	fd, err := beneath.Open(dirfd, parts[last], unix.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open %q in layer: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Close releases the tree. Open files stay open.
func (f *Files) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.walker.forget()
	return errors.Join(f.walker.xattrs.close(), f.root.Close())
}
