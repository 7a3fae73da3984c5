package tree

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

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
	if _, plain := at.xattrs.(onHost); plain {
		return layerfmt.Stat{UID: st.Uid, GID: st.Gid, Mode: st.Mode, Rdev: st.Rdev}, nil
	}
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
		return layerfmt.Stat{}, at.fault("read owner and mode of", err)
	}
	logical, err := layerfmt.Decode(value, st.Mode)
	if err != nil {
		if now, statErr := at.stat(); statErr != nil || now.Ino != st.Ino {
			err = errChanged
		}
		return layerfmt.Stat{}, at.fault("read owner and mode of", err)
	}
	return logical, nil
}

// WriteStat gives the directory at path an owner and mode for containers, by an xattr on disk.
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
		if isNoXattr(err) {
			continue // it is gone
		}
		if err != nil {
			return nil, at.fault("read xattr "+disk+" of", err)
		}
		m.setXattr(name, value)
	}
	return m.xattrs, nil
}
