package unionmount

import (
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/layerfmt"
	"github.com/rcrun/rcrun/internal/rmtree"
)

// presence is what the upper has at a name that is to go.
type presence int

const (
	absent presence = iota
	presentFile
	presentDir
)

// presentIn tells what of an object the upper has under the object's name.
func (o *object) presentIn() presence {
	switch {
	case !o.inUpper || o.indexed:
		return absent
	case o.top.isDir():
		return presentDir
	}
	return presentFile
}

// isWhiteout tells whether the file that would stand for an entry in l means that there is none.
func (l *layer) isWhiteout(id layerfmt.Stat) bool {
	return id.Rdev == 0 && l.policy.backing(id)&unix.S_IFMT == unix.S_IFCHR
}

// vanish removes name from the upper directory dirfd and, if the lowers have it, leaves a whiteout there.
func (u *Union) vanish(dirfd int, name string, has presence, whiteout bool) error {
	switch {
	case whiteout && u.stage.devices:
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
		return u.stage.putDevice(dirfd, name)
	}
	tmp := u.stage.name()
	if err := u.stage.putDevice(u.stage.dir, tmp); err != nil {
		return err
	}
	var flags uint
	if has == presentDir {
		flags = unix.RENAME_EXCHANGE
	}
	if err := unix.Renameat2(u.stage.dir, tmp, dirfd, name, flags); err != nil {
		unix.Unlinkat(u.stage.dir, tmp, 0) // else it goes with the next Open
		if err == unix.EINVAL && has == presentDir {
			return u.putWhiteoutFile(dirfd, name, has)
		}
		return err
	}
	// Of a file nothing is left in the stage, unless it was a whiteout already: between links of one file, rename(2)
	// does nothing.
	return rmtree.At(u.stage.dir, tmp)
}

// putWhiteoutFile makes the whiteout first: until the entry is removed, too, it still shows.
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
	fd, err := openat(dirfd, file, unix.O_CREAT|unix.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// hideBeside puts a whiteout file in the place of the whiteout that has the name itself, so that a directory can have it:
// where the filesystem cannot let two files change places, as with NFS. At no time the name shows what is below.
func hideBeside(dirfd int, name string) error {
	if err := makeWhiteoutFile(dirfd, name); err != nil {
		return err
	}
	return unix.Unlinkat(dirfd, name, 0)
}

// discardDir removes a directory of which nothing is to be seen but which may hold whiteouts.
func (u *Union) discardDir(dirfd int, name string) error {
	err := unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR)
	if err != unix.ENOTEMPTY && err != unix.EEXIST {
		return err
	}
	tmp := u.stage.name()
	if err := unix.Renameat(dirfd, name, u.stage.dir, tmp); err != nil {
		return err
	}
	return rmtree.At(u.stage.dir, tmp)
}
