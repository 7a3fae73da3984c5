package runtime

import (
	"fmt"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// capSet is a set of capabilities, one bit each.
type capSet uint64

func (s capSet) has(c capability.Cap) bool { return s&(1<<uint(c)) != 0 }

// parseCaps reads names such as CAP_CHOWN. Those that the running kernel does not know are left out, as a profile
// made for a newer one is still good.
func parseCaps(names []string) (capSet, error) {
	last, err := capability.LastCap()
	if err != nil {
		return 0, fmt.Errorf("read the last capability: %w", err)
	}
	known := map[string]capability.Cap{}
	for _, c := range capability.ListKnown() {
		known["CAP_"+strings.ToUpper(c.String())] = c
	}
	var set capSet
	for _, name := range names {
		c, ok := known[name]
		if !ok {
			return 0, fmt.Errorf("unknown capability %q", name)
		}
		if c <= last {
			set |= 1 << uint(c)
		}
	}
	return set, nil
}

// allCaps are the capabilities of the running kernel.
func allCaps() (capSet, error) {
	last, err := capability.LastCap()
	if err != nil {
		return 0, fmt.Errorf("read the last capability: %w", err)
	}
	return capSet(1)<<uint(last+1) - 1, nil
}

// list returns the set's numbers.
func (s capSet) list() []uintptr {
	var caps []uintptr
	for c := range uintptr(64) {
		if s.has(capability.Cap(c)) {
			caps = append(caps, c)
		}
	}
	return caps
}

// capSets are the capabilities of a payload.
type capSets struct {
	bounding, effective, permitted, inheritable, ambient capSet
}

// parseCapSets reads the sets of a specification; none at all is no capability.
func parseCapSets(c *specs.LinuxCapabilities) (capSets, error) {
	if c == nil {
		return capSets{}, nil
	}
	var s capSets
	for _, set := range []struct {
		names []string
		into  *capSet
	}{
		{c.Bounding, &s.bounding}, {c.Effective, &s.effective}, {c.Permitted, &s.permitted},
		{c.Inheritable, &s.inheritable}, {c.Ambient, &s.ambient},
	} {
		parsed, err := parseCaps(set.names)
		if err != nil {
			return capSets{}, err
		}
		*set.into = parsed
	}
	return s, nil
}

// dropBounding takes from the calling thread for good what is not in the bounding set, and its ambient capabilities.
func (s capSets) dropBounding() error {
	all, err := allCaps()
	if err != nil {
		return err
	}
	for _, c := range (all &^ s.bounding).list() {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return err
		}
	}
	return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
}

// apply gives the calling thread its final sets.
func (s capSets) apply() error {
	if err := setCaps(s.effective, s.permitted, s.inheritable); err != nil {
		return err
	}
	for _, c := range s.ambient.list() {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// setCaps sets the capabilities of the calling thread.
func setCaps(effective, permitted, inheritable capSet) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{}
	for i := range data {
		shift := 32 * i
		data[i] = unix.CapUserData{
			Effective:   uint32(effective >> shift),
			Permitted:   uint32(permitted >> shift),
			Inheritable: uint32(inheritable >> shift),
		}
	}
	return unix.Capset(&header, &data[0])
}

// permittedCaps are those that the calling thread holds or may take.
func permittedCaps() (capSet, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, err
	}
	return capSet(data[0].Permitted) | capSet(data[1].Permitted)<<32, nil
}
