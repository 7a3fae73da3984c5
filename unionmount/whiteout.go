package unionmount

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/rmtree"
)

// presence is what the upper has at a name that will be removed.
type presence int

const (
	absent presence = iota
	presentFile
	presentDir
)

// presentIn tells what the upper has at the name at which an object was found.
func (o *object) presentIn() presence {
	switch {
	case !o.inUpper || o.indexed:
		return absent
	case o.top.IsDir():
		return presentDir
	}
	return presentFile
}

// vanish removes name from the upper directory dirfd and, if the lowers have it, leaves a whiteout there.
func (u *Union) vanish(dirfd int, name string, has presence, whiteout bool) error {
	switch {
	case whiteout && u.work.Devices:
		return u.putDevice(dirfd, name, has)
	case whiteout:
		return u.putWhiteoutFile(dirfd, name, has)
	case has == presentFile:
		return unix.Unlinkat(dirfd, name, 0)
	case has == presentDir:
		return u.discardDir(dirfd, name)
	}
	return nil
}

// putDevice replaces what is at name by a whiteout, in one step.
func (u *Union) putDevice(dirfd int, name string, has presence) error {
	if has == absent {
		return u.work.PutDevice(dirfd, name)
	}
	tmp := u.work.NewName()
	if err := u.work.PutDevice(u.work.Drafts, tmp); err != nil {
		return err
	}
	var flags uint
	if has == presentDir {
		flags = unix.RENAME_EXCHANGE
	}
	if err := unix.Renameat2(u.work.Drafts, tmp, dirfd, name, flags); err != nil {
		unix.Unlinkat(u.work.Drafts, tmp, 0) // if this fails, the next Open removes it
		if err == unix.EINVAL && has == presentDir {
			return u.putWhiteoutFile(dirfd, name, has)
		}
		return err
	}
	// After a rename over a file nothing is left among the drafts, unless the file was a whiteout already: between
	// links of one file, rename(2) does nothing.
	return rmtree.At(u.work.Drafts, tmp)
}

// putWhiteoutFile makes the whiteout file before it removes the entry, which shows until then.
func (u *Union) putWhiteoutFile(dirfd int, name string, has presence) error {
	if err := makeWhiteoutFile(dirfd, name); err != nil {
		return err
	}
	return u.vanish(dirfd, name, has, false)
}

func makeWhiteoutFile(dirfd int, name string) error {
	file := layerfmt.WhiteoutPrefix + name
	if len(file) > unix.NAME_MAX {
		return unix.ENAMETOOLONG // a lower name too long for the only form of whiteout that can be made here
	}
	fd, err := beneath.Open(dirfd, file, unix.O_CREAT|unix.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// hideBeside replaces a whiteout that has the name itself by a whiteout file, so that a directory can have the name.
// It is for filesystems that cannot let two files change places, such as NFS. The name shows at no time what the
// lowers have.
func hideBeside(dirfd int, name string) error {
	if err := makeWhiteoutFile(dirfd, name); err != nil {
		return err
	}
	return unix.Unlinkat(dirfd, name, 0)
}

// discardDir removes a directory in which nothing shows, but which may hold whiteouts.
func (u *Union) discardDir(dirfd int, name string) error {
	err := unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR)
	if err != unix.ENOTEMPTY && err != unix.EEXIST {
		return err
	}
	tmp := u.work.NewName()
	if err := unix.Renameat(dirfd, name, u.work.Drafts, tmp); err != nil {
		return err
	}
	return rmtree.At(u.work.Drafts, tmp)
}
