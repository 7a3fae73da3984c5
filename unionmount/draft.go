package unionmount

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/filecopy"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/rmtree"
	"github.com/rcrun/rcrun/unionmount/internal/encoding"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
)

// draft is an entry of the upper that is being made: among the drafts of the work directory or, if one system call
// makes all of it, in its place.
type draft struct {
	u           *Union
	dirfd       int
	name        string
	fd          int         // O_RDWR if it is a regular file on disk, else O_PATH; -1 before it is made
	st          unix.Stat_t // of the file on disk as it was made
	unwanted    bool        // to be removed by discard
	bare        bool        // as Node.bare
	dataInLower bool        // its data is in a lower, as in Node
	placed      bool        // it was published, or stays without a name
}

// newDraft returns a draft in the work directory.
func (u *Union) newDraft() *draft {
	return &draft{u: u, dirfd: u.work.Drafts, name: u.work.NewName(), fd: -1}
}

// newDraftFor returns a draft of an entry for a name where the upper has nothing but the given mark. It is made in
// that place if one system call is enough.
func (u *Union) newDraftFor(id layerfmt.Stat, m mark, acls birthACLs, dirfd int, name string) *draft {
	if m == markNone && u.upper.AtOnce(id) && id.Mode&u.umask == 0 && acls.none() {
		return &draft{u: u, dirfd: dirfd, name: name, fd: -1}
	}
	return u.newDraft()
}

// make makes the file that stands for an entry of the given identity, with the target of a symbolic link.
func (d *draft) make(id layerfmt.Stat, target string) error {
	return d.makeAs(d.u.upper.Backing(id), id, target)
}

// makeAs is make with the type and permissions of the file on disk.
func (d *draft) makeAs(mode uint32, id layerfmt.Stat, target string) (err error) {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err = unix.Mkdirat(d.dirfd, d.name, mode&0o777)
	case unix.S_IFLNK:
		err = unix.Symlinkat(target, d.dirfd, d.name)
	case unix.S_IFREG:
		d.fd, err = beneath.Open(d.dirfd, d.name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|d.u.noAtime(), mode&0o777)
	default:
		err = unix.Mknodat(d.dirfd, d.name, mode&(unix.S_IFMT|0o777), int(id.Rdev))
	}
	if err != nil {
		return err
	}
	d.unwanted = true
	if d.fd < 0 {
		if d.fd, err = beneath.Open(d.dirfd, d.name, unix.O_PATH, 0); err != nil {
			return err
		}
	} else if id.Mode&unix.S_IFMT == unix.S_IFLNK { // for which a file stands
		if err := filecopy.WriteAll(d.fd, []byte(target), 0); err != nil {
			return err
		}
	}
	return d.identify(id)
}

// identify gives the file the owner, mode and device of id.
func (d *draft) identify(id layerfmt.Stat) (err error) {
	if d.st, err = sys.Stat(d.fd); err != nil {
		return err
	}
	if err := d.u.upper.Xattrs.Forget(d.st.Ino); err != nil { // the xattrs of a file that had the number before
		return err
	}
	return d.u.upper.Identify(d.fd, &d.st, id)
}

// keepPerm sets the permission bits of mode again, because writing to the draft may have dropped suid or sgid.
func (d *draft) keepPerm(mode uint32) error {
	if mode&unix.S_IFMT != unix.S_IFREG || mode&(unix.S_ISUID|unix.S_ISGID) == 0 {
		return nil
	}
	st, err := sys.Stat(d.fd)
	if err != nil {
		return err
	}
	return encoding.FixPerm(d.fd, &st, mode)
}

func (d *draft) isDir() bool { return d.st.Mode&unix.S_IFMT == unix.S_IFDIR }

// makeOpaque marks the draft, a directory, so that it hides what the lowers have in it.
func (d *draft) makeOpaque() error { return d.u.upper.MakeOpaque(d.fd) }

// publish moves the draft to a name where the upper has nothing but the given mark.
func (d *draft) publish(dirfd int, name string, m mark) error {
	if d.dirfd == dirfd && d.name == name {
		d.unwanted, d.placed = false, true
		return nil
	}
	if m == markEntry && d.isDir() {
		// A directory cannot be renamed over a device: they change places, and discard removes the whiteout.
		err := unix.Renameat2(d.dirfd, d.name, dirfd, name, unix.RENAME_EXCHANGE)
		if err != unix.EINVAL {
			d.placed = err == nil
			return err
		}
		if err := hideBeside(dirfd, name); err != nil {
			return err
		}
		m = markFile
	}
	if err := unix.Renameat(d.dirfd, d.name, dirfd, name); err != nil {
		return err
	}
	d.unwanted, d.placed = false, true
	return clearMark(dirfd, name, m)
}

// take returns the descriptor of the draft. From then on the caller owns it.
func (d *draft) take() int {
	fd := d.fd
	d.fd = -1
	return fd
}

// discard closes the draft, and removes it if it was not published. If that fails, the file takes space until the
// next Open.
func (d *draft) discard() {
	if d.fd >= 0 {
		if !d.placed {
			d.u.upper.Xattrs.Forget(d.st.Ino)
		}
		unix.Close(d.fd)
	}
	if d.unwanted {
		rmtree.At(d.dirfd, d.name)
	}
}

// clearMark removes the whiteout file of a name that exists again.
func clearMark(dirfd int, name string, m mark) error {
	if m != markFile {
		return nil
	}
	return unix.Unlinkat(dirfd, layerfmt.WhiteoutPrefix+name, 0)
}
