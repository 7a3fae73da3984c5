package tree

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// ReadStat returns the logical identity of a file of a layer tree that has its xattrs on disk.
func ReadStat(path string) (layerfmt.Stat, error) {
	return readStat(location{path: path, xattrs: onDisk{}})
}

// readStat returns the logical identity of a file.
func readStat(at location) (layerfmt.Stat, error) {
	st, err := at.stat()
	if err != nil {
		return layerfmt.Stat{}, err
	}
	return logicalStat(at, &st)
}

// logicalStat returns the logical identity of a file whose identity on disk is st.
func logicalStat(at location, st *unix.Stat_t) (layerfmt.Stat, error) {
	plain := layerfmt.Stat{Mode: st.Mode &^ (unix.S_ISUID | unix.S_ISGID | unix.S_ISVTX)}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		plain.Mode = unix.S_IFLNK | 0o777
		return plain, nil
	}
	value, err := at.getXattr(layerfmt.StatXattr)
	if isNoXattr(err) {
		return plain, nil
	}
	if err != nil {
		return layerfmt.Stat{}, &os.PathError{Op: "read owner and mode of", Path: at.path, Err: err}
	}
	logical, err := layerfmt.Decode(value, st.Mode)
	if err != nil {
		return layerfmt.Stat{}, &os.PathError{Op: "read owner and mode of", Path: at.path, Err: err}
	}
	return logical, nil
}

// WriteStat makes the directory at path the given one of a container, by an xattr on disk.
func WriteStat(path string, st layerfmt.Stat) error {
	fd, err := openDir(unix.AT_FDCWD, path)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if err := (meta{stat: st}).apply(onDisk{}, fd); err != nil {
		return &os.PathError{Op: "set owner and mode of", Path: path, Err: err}
	}
	return nil
}

// getXattr returns the value of an xattr of the file itself, whatever its length.
func getXattr(path, name string) (string, error) {
	buf := make([]byte, 256)
	for {
		n, err := unix.Lgetxattr(path, name, buf)
		if err == nil {
			return string(buf[:n]), nil
		}
		if !errors.Is(err, unix.ERANGE) {
			return "", err
		}
		if n, err = unix.Lgetxattr(path, name, nil); err != nil {
			return "", err
		}
		buf = make([]byte, n)
	}
}

// containerXattrs returns the xattrs that a container sees, by the names that it sees.
func containerXattrs(at location) (map[string]string, error) {
	names, err := at.listXattrs()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	var m meta
	for _, disk := range names {
		name, ok := layerfmt.UnescapeXattr(disk)
		if !ok {
			continue
		}
		value, err := at.getXattr(disk)
		if err != nil {
			return nil, &os.PathError{Op: "read xattr " + disk + " of", Path: at.path, Err: err}
		}
		m.setXattr(name, value)
	}
	return m.xattrs, nil
}

func listXattrs(path string) ([]string, error) {
	var most [512]byte
	buf := most[:]
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.ERANGE) {
		if n, err = unix.Llistxattr(path, nil); err == nil {
			buf = make([]byte, n)
			n, err = unix.Llistxattr(path, buf)
		}
	}
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "list xattrs of", Path: path, Err: err}
	}
	return strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 }), nil
}
