package rootless

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/rootless-containers/rootlesskit/v3/pkg/parent/idtools"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/idmap"
)

// Caller holds what decides which ids a user may map.
type Caller struct {
	UID, GID         uint32
	SubUIDs, SubGIDs idmap.Ranges

	// Absolute paths of the programs that map subordinate ids; empty for a caller that may write any map itself.
	NewUIDMap, NewGIDMap string

	// Problem is the reason why there are no subordinate ids; zero when there are some.
	Problem Problem
}

// Problem is something that the host lacks.
type Problem struct {
	What string // a clause
	Fix  string // the command that mends it
}

func (p Problem) String() string { return fmt.Sprintf("%s: mend it with %q", p.What, p.Fix) }

// CurrentCaller returns the Caller of the calling process.
func CurrentCaller() Caller {
	c := Caller{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	name := userName(c.UID)
	uids, gids, err := idtools.GetSubIDRanges(int(c.UID), name)
	c.SubUIDs, c.SubGIDs = ranges(uids), ranges(gids)
	if mayWriteMaps() {
		uidsHere, gidsHere := inside(idmap.OwnUIDs()), inside(idmap.OwnGIDs())
		// The files list ranges of the host's ids, which the namespace that this process is in need not have.
		if err != nil || !within(c.SubUIDs, uidsHere) || !within(c.SubGIDs, gidsHere) {
			c.SubUIDs, c.SubGIDs = uidsHere, gidsHere
		}
		if c.SubUIDs.Total() <= 1 || c.SubGIDs.Total() <= 1 {
			c.Problem = Problem{What: "the user namespace of this process has no other",
				Fix: "unshare --map-root-user --map-auto"}
		}
		return c
	}
	c.Problem = c.findHelpers(name, err != nil || len(c.SubUIDs) == 0 || len(c.SubGIDs) == 0)
	return c
}

// findHelpers fills in the programs that map subordinate ids. It returns the first reason why there are none to map, in
// the order in which a user can mend them.
func (c *Caller) findHelpers(name string, noRanges bool) Problem {
	helpers := []struct {
		name       string
		path       *string
		capability uint
	}{{"newuidmap", &c.NewUIDMap, unix.CAP_SETUID}, {"newgidmap", &c.NewGIDMap, unix.CAP_SETGID}}
	for _, h := range helpers {
		path, err := lookPath(h.name)
		if err != nil {
			return Problem{What: h.name + " is not installed", Fix: "sudo apt-get install uidmap"}
		}
		*h.path = path
	}
	if noRanges {
		return noRange(c.UID, name)
	}
	for _, h := range helpers {
		if problem := checkPower(*h.path, h.capability); problem != (Problem{}) {
			return problem
		}
	}
	return Problem{}
}

func noRange(uid uint32, name string) Problem {
	if name == "" {
		name = strconv.FormatUint(uint64(uid), 10)
	}
	return Problem{What: "/etc/subuid and /etc/subgid have no range for " + name, Fix: addRangeCommand(name)}
}

// userName returns the name of a user, or "" if the machine has no name for it, because ranges may be listed by number.
func userName(uid uint32) string {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return ""
	}
	return u.Username
}

// ranges converts ranges, and drops those that are empty or beyond 32 bits.
func ranges(subs []idtools.SubIDRange) idmap.Ranges {
	var out idmap.Ranges
	for _, s := range subs {
		if s.Start < 0 || s.Length <= 0 || int64(s.Start)+int64(s.Length) > 1<<32-1 {
			continue
		}
		out = append(out, idmap.Range{First: uint32(s.Start), Size: uint32(s.Length)})
	}
	return out
}

// mayWriteMaps tells whether the process is root with the capabilities to write any id map itself.
func mayWriteMaps() bool {
	if os.Geteuid() != 0 {
		return false
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	const both = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	return data[0].Effective&both == both
}

// within tells whether each of ranges lies in one of whole.
func within(ranges, whole idmap.Ranges) bool {
	for _, r := range ranges {
		holds := func(w idmap.Range) bool { return r.First >= w.First && r.End() <= w.End() }
		if !slices.ContainsFunc(whole, holds) {
			return false
		}
	}
	return true
}

// inside returns the ids that exist in the caller's own user namespace. Root without a range of its own uses them and
// so shares its ids with the host, as engines that run as root do. Where the map cannot be read, only the caller's own
// id can be mapped.
func inside(own idmap.Map, err error) idmap.Ranges {
	if err != nil {
		return nil
	}
	return own.Inside()
}

// checkPower returns what prevents the program at path from mapping ids for an ordinary user.
func checkPower(path string, capability uint) Problem {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return Problem{What: fmt.Sprintf("%s cannot be examined (%v)", path, err), Fix: "ls -l " + path}
	}
	caps := make([]byte, 64)
	n, err := unix.Getxattr(path, "security.capability", caps)
	if err != nil {
		n = 0 // no capability, or a filesystem without xattrs: then only suid counts
	}
	if !privileged(st.Uid, st.Mode, caps[:n], capability) {
		return Problem{What: path + " is neither suid root nor has a file capability", Fix: "sudo chmod u+s " + path}
	}
	return Problem{}
}

// lookPath is exec.LookPath that also searches the directories of administration programs, which the PATH of users
// often lacks.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil && strings.HasPrefix(path, "/") {
		return path, nil
	}
	for _, dir := range []string{"/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, nil
		}
	}
	return "", err
}

// privileged tells whether a program of the given owner, mode and security.capability xattr gains the capability when
// an ordinary user runs it.
func privileged(owner, mode uint32, caps []byte, capability uint) bool {
	if owner == 0 && mode&unix.S_ISUID != 0 {
		return true
	}
	// The xattr is a little-endian magic word followed by pairs (permitted, inheritable) of capability bits.
	const permitted = 4
	if len(caps) < permitted+4 {
		return false
	}
	return binary.LittleEndian.Uint32(caps[permitted:])&(1<<capability) != 0
}

// addRangeCommand returns the command by which root gives a user subordinate ids that no other user has.
func addRangeCommand(name string) string {
	const size = 65536
	start := uint64(100000)
	for _, path := range []string{"/etc/subuid", "/etc/subgid"} {
		text, err := os.ReadFile(path)
		if err == nil { // a missing file has no ranges to avoid
			start = max(start, endOfRanges(text))
		}
	}
	span := fmt.Sprintf("%d-%d", start, start+size-1)
	return fmt.Sprintf("sudo usermod --add-subuids %s --add-subgids %s %s", span, span, name)
}

// endOfRanges returns the first id after all ranges of a subuid file, of all users.
func endOfRanges(text []byte) uint64 {
	end := uint64(0)
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 3 {
			continue
		}
		start, err1 := strconv.ParseUint(fields[1], 10, 32)
		size, err2 := strconv.ParseUint(fields[2], 10, 32)
		if err1 == nil && err2 == nil {
			end = max(end, start+size)
		}
	}
	return end
}
