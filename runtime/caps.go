package runtime

import (
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/process"
)

// capSet is a set of capabilities, one bit each.
type capSet uint64

func (s capSet) has(c capability.Cap) bool { return s&(1<<uint(c)) != 0 }

// parseCaps reads names such as CAP_CHOWN. It leaves out those that the running kernel does not know, because a profile
// that was made for a newer kernel is still good.
func parseCaps(names []string) (capSet, error) {
	all, err := allCaps()
	if err != nil {
		return 0, err
	}
	known := map[string]capability.Cap{}
	for _, c := range capability.ListKnown() {
		known["CAP_"+strings.ToUpper(c.String())] = c
	}
	var set capSet
	for _, name := range names {
		c, ok := known[name]
		if !ok {
			return 0, fault.Errorf(errdefs.ErrInvalidArgument, "unknown capability %q", name)
		}
		set |= 1 << uint(c)
	}
	return set & all, nil
}

// allCaps returns the capabilities of the running kernel.
func allCaps() (capSet, error) {
	caps, err := process.Capabilities()
	if err != nil {
		return 0, err
	}
	var set capSet
	for _, c := range caps {
		set |= 1 << c
	}
	return set, nil
}

// list returns the numbers of the capabilities in the set.
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

// parseCapSets reads the sets of a specification. A specification without any grants no capability.
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

// dropBounding appends the calls that take irrevocably from the process what is not in the bounding set, and its
// ambient capabilities.
func (s capSets) dropBounding(p *program) error {
	all, err := allCaps()
	if err != nil {
		return err
	}
	for _, c := range (all &^ s.bounding).list() {
		p.add("drop bounding capabilities", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c)
	}
	p.add("drop ambient capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
	return nil
}

// apply appends the calls that give the process its final sets.
func (s capSets) apply(p *program) {
	p.setCaps("set capabilities", s.effective, s.permitted, s.inheritable)
	for _, c := range s.ambient.list() {
		p.add("set ambient capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c)
	}
}

// setCaps appends the call that sets the capabilities of the process.
func (p *program) setCaps(name string, effective, permitted, inheritable capSet) {
	header := object(p, []unix.CapUserHeader{{Version: unix.LINUX_CAPABILITY_VERSION_3}})
	data := [2]unix.CapUserData{}
	for i := range data {
		shift := 32 * i
		data[i] = unix.CapUserData{
			Effective:   uint32(effective >> shift),
			Permitted:   uint32(permitted >> shift),
			Inheritable: uint32(inheritable >> shift),
		}
	}
	p.add(name, unix.SYS_CAPSET, header, object(p, data[:]))
}
