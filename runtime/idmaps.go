package runtime

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/internal/process"
)

// idMaps holds the ids that the user namespace has. A map of a single id is an ordinary case, and so is a map without
// id 0.
type idMaps struct {
	UIDs, GIDs idmap.Ranges
	Setgroups  bool // whether supplementary groups may be changed
}

// readIDMaps reads the maps of the calling process from the proc filesystem of the host.
func readIDMaps() (idMaps, error) {
	uids, err := idmap.OwnUIDs()
	if err != nil {
		return idMaps{}, err
	}
	gids, err := idmap.OwnGIDs()
	if err != nil {
		return idMaps{}, err
	}
	setgroups, err := os.ReadFile("/proc/self/setgroups")
	allowed := err == nil && strings.TrimSpace(string(setgroups)) == "allow"
	return idMaps{UIDs: uids.Inside(), GIDs: gids.Inside(), Setgroups: allowed}, nil
}

func (m idMaps) hasUID(id uint32) bool { return m.UIDs.Contains(id) }
func (m idMaps) hasGID(id uint32) bool { return m.GIDs.Contains(id) }

// becomeRoot makes all threads of the process user and group 0 of its namespace, as far as they are mapped. It keeps
// all capabilities and the supplementary groups, because the caller may be able to read bind mounts through these
// groups only.
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
	return process.DieWithParent()
}
