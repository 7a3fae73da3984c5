package workdir

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// OriginXattr is set on copies in the upper; its value is an origin.
const OriginXattr = "user.rcrun.origin"

// Origin is what a copy shows of the file that it was made from, because it cannot be set in a file.
type Origin struct {
	Ino  uint64        // st_ino; 0 if the file is no copy
	Born unix.Timespec // time of birth; zero if it is not known
}

// Encode returns "INO" or "INO:SECONDS.NANOSECONDS".
func (o Origin) Encode() string {
	ino := strconv.FormatUint(o.Ino, 10)
	if o.Born == (unix.Timespec{}) {
		return ino
	}
	return fmt.Sprintf("%s:%d.%09d", ino, o.Born.Sec, o.Born.Nsec)
}

// ParseOrigin reads what Encode returns.
func ParseOrigin(value string) (o Origin, err error) {
	ino, born, timed := strings.Cut(value, ":")
	if o.Ino, err = strconv.ParseUint(ino, 10, 64); err != nil || !timed {
		return o, err
	}
	sec, nsec, _ := strings.Cut(born, ".")
	s, err1 := strconv.ParseInt(sec, 10, 64)
	ns, err2 := strconv.ParseUint(nsec, 10, 30)
	if err := errors.Join(err1, err2); err != nil {
		return o, fmt.Errorf("%s %q: bad time: %w", OriginXattr, value, err)
	}
	o.Born = unix.NsecToTimespec(int64(ns))
	o.Born.Sec += s
	return o, nil
}
