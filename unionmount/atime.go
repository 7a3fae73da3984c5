package unionmount

import (
	"time"

	"github.com/rcrun/rcrun/internal/beneath"
	"github.com/rcrun/rcrun/unionmount/internal/fdcache"
	"github.com/rcrun/rcrun/unionmount/internal/sys"
	"golang.org/x/sys/unix"
)

// AccessTimes are bits that say when reading a file or directory sets its access time. Without any, the filesystem of
// the upper decides. It usually sets it if the file has changed since the last access time, and once a day: relatime.
//
// A file that only a lower has gets no access time, as on the kernel's overlay. The filesystem of the upper sets the
// access time of a symbolic link in any case. No access time is set by utimensat(2), because that would change the
// ctime as well. With StrictAtime, access times that the filesystem does not set are kept in memory as long as the
// node lives.
type AccessTimes uint32

const (
	// NoAtime sets none.
	NoAtime AccessTimes = 1 << iota
	// NoDirAtime sets none of directories.
	NoDirAtime
	// StrictAtime sets one at every read.
	StrictAtime
)

// SetAccessTimes changes when access times are set.
func (u *Union) SetAccessTimes(a AccessTimes) {
	old := AccessTimes(u.atimes.Swap(uint32(a)))
	if (old^a)&NoAtime != 0 {
		u.fds.SetNoAtime(a&NoAtime != 0)
	}
}

func (u *Union) accessTimes() AccessTimes { return AccessTimes(u.atimes.Load()) }

// noAtime returns the flag for opening files of the upper: O_NOATIME if reading must not set their access time.
func (u *Union) noAtime() int {
	if u.accessTimes()&NoAtime != 0 {
		return unix.O_NOATIME
	}
	return 0
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

// wasListed sets the access time of a directory of the upper as if it had been read there. The listing itself is read
// only once, also for other purposes, and without setting it. An error is ignored, because the directory can be
// listed all the same. Entries of n are held.
func (u *Union) wasListed(n *Node) {
	if !n.inUpper.Load() || u.accessTimes()&(NoAtime|NoDirAtime) != 0 {
		return
	}
	u.wasRead(n)
	h, err := u.backing(n, fdcache.Upper)
	if err != nil {
		return
	}
	defer u.fds.Release(h)
	if st, err := sys.Stat(h.FD); err != nil || !atimeIsDue(&st) {
		return
	}
	fd, err := beneath.Open(h.FD, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var tooSmall [1]byte
	unix.Getdents(fd, tooSmall[:]) // fails, but sets the access time
}

// atimeIsDue tells whether relatime gives a file a new access time when it is read.
func atimeIsDue(st *unix.Stat_t) bool {
	if !before(st.Mtim, st.Atim) || !before(st.Ctim, st.Atim) {
		return true
	}
	return time.Since(time.Unix(st.Atim.Unix())) >= 24*time.Hour
}

// before tells whether one time was before another. It compares times of all years, which nanoseconds since 1970 in
// 64 bits do not have.
func before(a, b unix.Timespec) bool { return a.Sec < b.Sec || a.Sec == b.Sec && a.Nsec < b.Nsec }
