package unionmount

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/beneath"
)

// originXattr is set on copies in the upper; its value is an origin.
const originXattr = "user.rcrun.origin"

// origin is what a copy is to show of the file that it was made from, because no file can be given it.
type origin struct {
	ino  uint64        // st_ino; 0 of what is no copy
	born unix.Timespec // time of birth; zero where it is not known
}

// encode returns "INO" or "INO:SECONDS.NANOSECONDS".
func (o origin) encode() string {
	ino := strconv.FormatUint(o.ino, 10)
	if o.born == (unix.Timespec{}) {
		return ino
	}
	return fmt.Sprintf("%s:%d.%09d", ino, o.born.Sec, o.born.Nsec)
}

func parseOrigin(value string) (o origin, err error) {
	ino, born, timed := strings.Cut(value, ":")
	if o.ino, err = strconv.ParseUint(ino, 10, 64); err != nil || !timed {
		return o, err
	}
	sec, nsec, _ := strings.Cut(born, ".")
	s, err1 := strconv.ParseInt(sec, 10, 64)
	ns, err2 := strconv.ParseUint(nsec, 10, 30)
	if err := errors.Join(err1, err2); err != nil {
		return o, fmt.Errorf("%s %q: bad time: %w", originXattr, value, err)
	}
	o.born = unix.NsecToTimespec(int64(ns))
	o.born.Sec += s
	return o, nil
}

// setOrigin notes what the copy of n behind fd is to show. Meta of n is held.
func (u *Union) setOrigin(n *Node, fd int) error {
	born, err := u.birthHeld(n)
	if err != nil {
		return err
	}
	return u.upper.xattrs.set(fd, originXattr, origin{n.ino, born}.encode(), 0)
}

// Birth returns when a file was made, zero where its filesystem does not know.
func (u *Union) Birth(n *Node) (unix.Timespec, error) {
	n.meta.RLock()
	defer n.meta.RUnlock()
	return u.birthHeld(n)
}

// birthHeld is Birth with meta held.
func (u *Union) birthHeld(n *Node) (unix.Timespec, error) {
	if n.foreign != nil && !n.inUpper.Load() {
		return unix.Timespec{}, nil
	}
	h, err := u.backing(n, n.firstSlot())
	if err != nil {
		return unix.Timespec{}, err
	}
	defer u.fds.release(h)
	if n.inUpper.Load() {
		if noted, ok := u.stage.numbers.get(n.upperKey.ino); ok && !carriesXattrs(n.kind) && noted.from.ino == n.ino {
			return noted.from.born, nil
		}
		if value, err := u.upper.xattrs.read(beneath.File{FD: h.fd}, originXattr); err == nil {
			from, err := parseOrigin(string(value))
			return from.born, n.fault("read origin of", err)
		}
	}
	born, err := birthOf(h.fd)
	return born, n.fault("stat", err)
}

// birthOf returns when the file behind fd was made, zero where its filesystem does not know.
func birthOf(fd int) (unix.Timespec, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st); err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return unix.Timespec{}, err
	}
	return timespec(st.Btime), nil
}
