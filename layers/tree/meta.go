package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
)

// paxXattr starts the PAX records that hold xattrs.
const paxXattr = "SCHILY.xattr."

// meta is what an entry has besides its name, content and times.
type meta struct {
	stat   layerfmt.Stat
	xattrs map[string]string // by the name that a container sees
}

// headerMeta reads the metadata of an entry.
func headerMeta(hdr *tar.Header) (meta, error) {
	typ, err := headerType(hdr.Typeflag)
	if err != nil {
		return meta{}, err
	}
	if !validID(hdr.Uid) || !validID(hdr.Gid) {
		return meta{}, fmt.Errorf("owner %d:%d is not a pair of ids", hdr.Uid, hdr.Gid)
	}
	m := meta{stat: layerfmt.Stat{UID: uint32(hdr.Uid), GID: uint32(hdr.Gid), Mode: typ | uint32(hdr.Mode&0o7777)}}
	switch typ {
	case unix.S_IFLNK:
		m.stat.Mode = typ | 0o777
	case unix.S_IFCHR, unix.S_IFBLK:
		if !validDevice(hdr.Devmajor) || !validDevice(hdr.Devminor) {
			return meta{}, fmt.Errorf("%d:%d is not a device number", hdr.Devmajor, hdr.Devminor)
		}
		m.stat.Rdev = unix.Mkdev(uint32(hdr.Devmajor), uint32(hdr.Devminor))
	}
	for key, value := range hdr.PAXRecords {
		if name, ok := strings.CutPrefix(key, paxXattr); ok {
			m.setXattr(name, value)
		}
	}
	return m, nil
}

func (m *meta) setXattr(name, value string) {
	if m.xattrs == nil {
		m.xattrs = map[string]string{}
	}
	m.xattrs[name] = value
}

// headerType returns the S_IF* type of an entry that makes an inode.
func headerType(flag byte) (uint32, error) {
	switch flag {
	case tar.TypeReg, tar.TypeCont:
		return unix.S_IFREG, nil
	case tar.TypeDir:
		return unix.S_IFDIR, nil
	case tar.TypeSymlink:
		return unix.S_IFLNK, nil
	case tar.TypeChar:
		return unix.S_IFCHR, nil
	case tar.TypeBlock:
		return unix.S_IFBLK, nil
	case tar.TypeFifo:
		return unix.S_IFIFO, nil
	}
	return 0, fmt.Errorf("entries of type %q are not known", flag)
}

// validID refuses the id -1, which a header can have and which means "no id" to the kernel.
func validID(id int) bool { return id >= 0 && int64(id) < math.MaxUint32 }

func validDevice(n int64) bool { return n >= 0 && n <= math.MaxUint32 }

// backingType is the type of the file on disk. A link with xattrs is a file, because a user may set none on a link.
func (m meta) backingType() uint32 {
	if len(m.xattrs) > 0 && m.stat.BackingType() == unix.S_IFLNK {
		return unix.S_IFREG
	}
	return m.stat.BackingType()
}

// apply gives an open file or directory its permissions and metadata. Xattrs that m does not have stay.
func (m meta) apply(k keeper, fd int) error {
	if !m.needsStat() {
		if err := k.remove(fd, layerfmt.StatXattr); err != nil {
			return fmt.Errorf("reset owner and mode: %w", err)
		}
	}
	return m.applyNew(k, fd)
}

// needsStat tells whether the file on disk, which is not a link, must have a StatXattr.
func (m meta) needsStat() bool {
	return m.stat.NeedsXattr() || m.stat.Mode&unix.S_IFMT == unix.S_IFLNK
}

// applyNew is apply for a file without xattrs.
func (m meta) applyNew(k keeper, fd int) error {
	if err := unix.Fchmod(fd, layerfmt.BackingPerm(m.stat.Mode)); err != nil {
		return fmt.Errorf("set permissions: %w", err)
	}
	if m.needsStat() {
		if err := k.set(fd, layerfmt.StatXattr, m.stat.Encode()); err != nil {
			return fmt.Errorf("set owner and mode: %w", err)
		}
	}
	for name, value := range m.xattrs {
		if err := k.set(fd, layerfmt.EscapeXattr(name), value); err != nil {
			return fmt.Errorf("set xattr %q: %w", name, err)
		}
	}
	return nil
}

func setXattr(fd int, name, value string) error {
	err := unix.Fsetxattr(fd, name, []byte(value), 0)
	if errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("the store's filesystem keeps no user xattrs: %w", err)
	}
	return err
}

func removeXattr(fd int, name string) error {
	err := unix.Fremovexattr(fd, name)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil // nothing there to remove
	}
	return err
}

// setTimes sets the time of change of name in dirfd or, for an empty name, of dirfd itself. A time that the kernel's
// structure cannot hold becomes the epoch, because nothing depends on it.
func setTimes(dirfd int, name string, t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		ts = unix.Timespec{}
	}
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags = unix.AT_EMPTY_PATH
	}
	if err := unix.UtimesNanoAt(dirfd, name, []unix.Timespec{ts, ts}, flags); err != nil {
		return fmt.Errorf("set time: %w", err)
	}
	return nil
}
