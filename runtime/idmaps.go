package runtime

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// idMaps is what the user namespace can name. A map of a single id is an ordinary case, and so is one that has no 0.
type idMaps struct {
	UIDs, GIDs []idRange
	Setgroups  bool // whether supplementary groups may be changed
}

type idRange struct {
	First, Size uint32 // as the namespace has them
}

// readIDMaps reads the maps of the calling process from the proc file system of the host.
func readIDMaps() (idMaps, error) {
	var m idMaps
	var err error
	if m.UIDs, err = readRanges("/proc/self/uid_map"); err != nil {
		return idMaps{}, err
	}
	if m.GIDs, err = readRanges("/proc/self/gid_map"); err != nil {
		return idMaps{}, err
	}
	setgroups, err := os.ReadFile("/proc/self/setgroups")
	m.Setgroups = err == nil && strings.TrimSpace(string(setgroups)) == "allow"
	return m, nil
}

func readRanges(file string) ([]idRange, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var ranges []idRange
	for line := range strings.Lines(string(text)) {
		var r idRange
		var outside uint32
		if _, err := fmt.Sscan(line, &r.First, &outside, &r.Size); err != nil {
			return nil, fmt.Errorf("parse %s: %w", file, err)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

func (m idMaps) hasUID(id uint32) bool { return contains(m.UIDs, id) }
func (m idMaps) hasGID(id uint32) bool { return contains(m.GIDs, id) }

func contains(ranges []idRange, id uint32) bool {
	for _, r := range ranges {
		if id >= r.First && id-r.First < r.Size {
			return true
		}
	}
	return false
}

// becomeRoot makes all threads of the process user and group 0 of its namespace as far as they are mapped, keeping
// all capabilities and the supplementary groups: bind mounts may be readable through these alone.
func (m idMaps) becomeRoot() error {
	if m.hasGID(0) {
		if err := unix.Setresgid(0, 0, 0); err != nil {
			return err
		}
	}
	if m.hasUID(0) {
		if err := unix.Setresuid(0, 0, 0); err != nil {
			return err
		}
	}
	return dieWithParent()
}

// dieWithParent has the kernel kill the process when the thread that made it ends. A change of credentials takes the
// request back, so it follows each of them.
func dieWithParent() error {
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
}
