package xattrlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Log is a log that is open for writing. No other process may have it open for writing. It may be used by any number
// of goroutines.
type Log struct {
	dir     int // the directory of the file
	unclean bool

	mu      sync.Mutex // guards what follows
	records Records
	file    *os.File
	root    uint64
	size    int64 // of the file
	useful  int64 // size that the file would have if it were written again
	broken  error // the reason why nothing can be written any more
	watch   func(size int64)
}

// newName is the name of a log while it is written again.
const newName = Name + ".new"

// slack is the number of bytes beyond twice the useful ones that a log may have before it is written again.
const slack = 256 << 10

// Create makes an empty log in the directory behind dirfd, for the tree whose root has the given inode number, and
// opens it.
func Create(dirfd int, root uint64) (*Log, error) {
	file, err := install(dirfd, encodeHead(root))
	if err != nil {
		return nil, fmt.Errorf("make a record of owners and xattrs: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("make a record of owners and xattrs: %w", err)
	}
	return Open(dirfd, root)
}

// install puts a log into a directory in one step, in place of one that is there, and returns once it is on disk.
func install(dirfd int, data []byte) (*os.File, error) {
	fd, err := unix.Openat(dirfd, newName, unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), newName)
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = unix.Renameat(dirfd, newName, dirfd, Name)
	}
	if err == nil {
		err = syncDir(dirfd)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// syncDir writes the names in a directory to the disk.
func syncDir(dirfd int) error {
	fd, err := unix.Openat(dirfd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// which means that the filesystem needs no sync
	if err := unix.Fsync(fd); err != nil && err != unix.EINVAL && err != unix.ENOSYS {
		return err
	}
	return nil
}

// Open opens the log in the directory behind dirfd. The error is os.ErrNotExist if there is none.
func Open(dirfd int, root uint64) (_ *Log, err error) {
	fd, err := unix.Openat(dirfd, Name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: Name, Err: err}
	}
	l := &Log{dir: -1, file: os.NewFile(uintptr(fd), Name), root: root}
	defer func() {
		if err != nil {
			l.release()
		}
	}()
	if l.dir, err = unix.FcntlInt(uintptr(dirfd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(l.file)
	if err != nil {
		return nil, err
	}
	if err := checkHead(data, root); err != nil {
		return nil, err
	}
	whole, closed := l.records.replay(data[headSize:])
	l.unclean = !closed && len(data) > headSize
	l.size = int64(headSize + whole)
	l.useful = int64(len(l.encode()))
	if l.size < int64(len(data)) {
		return l, l.file.Truncate(l.size)
	}
	return l, nil
}

// Unclean tells whether the log was not closed when it was last open. Then it may have records of files that are
// gone.
func (l *Log) Unclean() bool { return l.unclean }

// Get returns the value of an xattr.
func (l *Log) Get(ino uint64, name string) (value string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records.Get(ino, name)
}

// Names returns the names of a file's xattrs, sorted.
func (l *Log) Names(ino uint64) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records.Names(ino)
}

// Set sets an xattr of a file. flags are those of setxattr(2).
func (l *Log) Set(ino uint64, name, value string, flags int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, exists := l.records.Get(ino, name)
	switch {
	case exists && flags&unix.XATTR_CREATE != 0:
		return unix.EEXIST
	case !exists && flags&unix.XATTR_REPLACE != 0:
		return unix.ENODATA
	case exists && old == value:
		return nil
	}
	record := appendRecord(nil, opSet, ino, name, value)
	if err := l.appendLocked(record); err != nil {
		return err
	}
	l.useful += int64(len(record))
	if exists {
		l.useful -= int64(len(appendRecord(nil, opSet, ino, name, old)))
	}
	l.records.Set(ino, name, value)
	return nil
}

// Remove removes an xattr; ENODATA if there is none.
func (l *Log) Remove(ino uint64, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, exists := l.records.Get(ino, name)
	if !exists {
		return unix.ENODATA
	}
	if err := l.appendLocked(appendRecord(nil, opRemove, ino, name, "")); err != nil {
		return err
	}
	l.useful -= int64(len(appendRecord(nil, opSet, ino, name, old)))
	l.records.Remove(ino, name)
	return nil
}

// Forget removes all xattrs of a file that is new or gone. If there are none, it writes nothing.
func (l *Log) Forget(ino uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.forgetLocked(ino)
}

func (l *Log) forgetLocked(ino uint64) error {
	xattrs := l.records.files[ino]
	if len(xattrs) == 0 {
		return nil
	}
	if err := l.appendLocked(appendRecord(nil, opForget, ino, "", "")); err != nil {
		return err
	}
	for name, value := range xattrs {
		l.useful -= int64(len(appendRecord(nil, opSet, ino, name, value)))
	}
	l.records.Forget(ino)
	return nil
}

// Retain removes the xattrs of all inode numbers except the given ones.
func (l *Log) Retain(inos map[uint64]bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ino := range l.records.files {
		if inos[ino] {
			continue
		}
		if err := l.forgetLocked(ino); err != nil {
			return err
		}
	}
	return nil
}

// appendLocked appends records in one write, all or none. If most of the log is outdated, it writes the log again
// before.
func (l *Log) appendLocked(b []byte) error {
	if l.broken != nil {
		return l.broken
	}
	if l.size > 2*l.useful+slack {
		if err := l.rewriteLocked(); err != nil {
			return err
		}
	}
	if _, err := l.file.WriteAt(b, l.size); err != nil {
		if back := l.file.Truncate(l.size); back != nil {
			l.broken = errors.Join(err, back) // readers would take the partial record for the end of the log
		}
		return bare(err)
	}
	l.resizeLocked(l.size + int64(len(b)))
	return nil
}

func (l *Log) resizeLocked(size int64) {
	l.size = size
	if l.watch != nil {
		l.watch(size)
	}
}

// Watch calls f with the size of the file now, and whenever it changes. f must not use the log.
func (l *Log) Watch(f func(size int64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch = f
	f(l.size)
}

// bare returns the errno of a write that failed, as setxattr(2) would.
func bare(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// encode returns the whole log without outdated records.
func (l *Log) encode() []byte {
	b := encodeHead(l.root)
	for ino, xattrs := range l.records.files {
		for name, value := range xattrs {
			b = appendRecord(b, opSet, ino, name, value)
		}
	}
	return b
}

// rewriteLocked writes the log without outdated records, into a file that takes its place once it is on disk.
func (l *Log) rewriteLocked() error {
	b := l.encode()
	file, err := install(l.dir, b)
	if err != nil {
		return bare(err)
	}
	l.file.Close() // an error does not matter any more
	l.file, l.useful = file, int64(len(b))
	l.resizeLocked(int64(len(b)))
	return nil
}

// Sync writes all changes so far to the disk.
func (l *Log) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bare(l.file.Sync())
}

// Close notes that the log is complete, and closes it.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.appendLocked(appendRecord(nil, opClosed, 0, "", ""))
	return errors.Join(err, l.release())
}

func (l *Log) release() error {
	if l.dir >= 0 {
		unix.Close(l.dir)
	}
	return l.file.Close()
}
