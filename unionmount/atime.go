package unionmount

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// AccessTimes says when files and directories get a new access time because they are read, in bits. Without any it is
// left to the filesystem of the upper, which ordinarily gives one to what has changed since the last, and once a day:
// relatime.
//
// What only a lower has gets none, as on the kernel's overlay. That a symbolic link is read cannot be kept from the
// upper's filesystem. No access time is set by utimensat(2), which would change the ctime as well: those of StrictAtime
// that the filesystem below does not give are kept in memory, for as long as the node lives.
type AccessTimes uint32

const (
	// NoAtime gives none.
	NoAtime AccessTimes = 1 << iota
	// NoDirAtime gives none to directories.
	NoDirAtime
	// StrictAtime gives one at every reading.
	StrictAtime
)

// SetAccessTimes changes when there are new access times.
func (u *Union) SetAccessTimes(a AccessTimes) {
	old := AccessTimes(u.atimes.Swap(uint32(a)))
	if (old^a)&NoAtime != 0 {
		u.fds.setNoAtime(a&NoAtime != 0)
	}
}

func (u *Union) accessTimes() AccessTimes { return AccessTimes(u.atimes.Load()) }

// noAtime returns the flag with which files of the upper are opened that are to keep their access time.
func (u *Union) noAtime() int {
	if u.accessTimes()&NoAtime != 0 {
		return unix.O_NOATIME
	}
	return 0
}

// openQuietly opens an entry of dirfd without giving it a new access time, where the caller may do that.
func openQuietly(dirfd int, name string, flags int) (int, error) {
	fd, err := openat(dirfd, name, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) { // O_NOATIME is for the file's owner
		fd, err = openat(dirfd, name, flags, 0)
	}
	return fd, err
}

// wasRead notes that the data of a node was read, or that a directory was listed.
func (u *Union) wasRead(n *Node) {
	if a := u.accessTimes(); a&StrictAtime != 0 && n.inUpper.Load() {
		n.readAt.Store(time.Now().UnixNano())
	}
}

// shownAtime returns the access time of a node: that on disk, or a later one in memory.
func (n *Node) shownAtime(disk unix.Timespec) unix.Timespec {
	if at := n.readAt.Load(); at != 0 && before(disk, unix.NsecToTimespec(at)) {
		return unix.NsecToTimespec(at)
	}
	return disk
}

// wasListed gives a directory of the upper the access time that it would have if it had been read there: listings are
// read once, without that, and also for other purposes. That it cannot be given is no reason not to list. Entries of n
// are held.
func (u *Union) wasListed(n *Node) {
	if !n.inUpper.Load() || u.accessTimes()&(NoAtime|NoDirAtime) != 0 {
		return
	}
	u.wasRead(n)
	h, err := u.backing(n, slotUpper)
	if err != nil {
		return
	}
	defer u.fds.release(h)
	if st, err := statFD(h.fd); err != nil || !atimeIsDue(&st) {
		return
	}
	fd, err := openat(h.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var tooSmall [1]byte
	unix.Getdents(fd, tooSmall[:]) // an error, but it counts
}

// atimeIsDue tells whether relatime gives a file a new access time when it is read.
func atimeIsDue(st *unix.Stat_t) bool {
	return !before(st.Mtim, st.Atim) || !before(st.Ctim, st.Atim) || time.Since(time.Unix(st.Atim.Unix())) >= 24*time.Hour
}

// before tells whether a time was before another: of any year, unlike their nanoseconds since 1970.
func before(a, b unix.Timespec) bool { return a.Sec < b.Sec || a.Sec == b.Sec && a.Nsec < b.Nsec }

// setNoAtime has the descriptors that data of the upper is read by give new access times or not.
func (c *fdCache) setNoAtime(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, h := range c.handles {
		if key.slot != slotData {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(h.fd), unix.F_GETFL, 0)
		if err != nil {
			continue
		}
		flags &^= unix.O_NOATIME
		if on {
			flags |= unix.O_NOATIME
		}
		unix.FcntlInt(uintptr(h.fd), unix.F_SETFL, flags) // fails for files of others, as opening them so does
	}
}
