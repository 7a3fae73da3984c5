package beneath

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/eintr"
)

// Entry is one record of getdents64(2).
type Entry struct {
	Name string
	Ino  uint64
	Type uint8 // DT_*
}

// ReadDir calls f with every entry, except "." and "..", of the directory behind fd, which must be at its start.
func ReadDir(fd int, f func(Entry)) error {
	var buf [16 << 10]byte // small enough for the stack, where it costs nothing
	for {
		n, err := eintr.Retry(func() (int, error) { return unix.Getdents(fd, buf[:]) })
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		ParseDirents(buf[:n], f)
	}
}

// ParseDirents reads linux_dirent64 records: ino(8) off(8) reclen(2) type(1) name, zero-terminated.
func ParseDirents(buf []byte, f func(Entry)) {
	const header = 19
	for len(buf) > header {
		reclen := int(*(*uint16)(unsafe.Pointer(&buf[16])))
		if reclen <= header || reclen > len(buf) {
			return
		}
		name, _, _ := bytes.Cut(buf[header:reclen], []byte{0})
		if s := string(name); s != "." && s != ".." {
			f(Entry{Name: s, Ino: *(*uint64)(unsafe.Pointer(&buf[0])), Type: buf[18]})
		}
		buf = buf[reclen:]
	}
}
