package engine

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/rcrun/rcrun/runtime"
)

// setPrivileges gives the process the capabilities that --privileged, --cap-add and --cap-drop ask for. All of them
// hold in the container's user namespace only.
func (c *Container) setPrivileges(process *specs.Process, privileged bool) error {
	caps, err := chooseCaps(c.HostConfig.CapAdd, c.HostConfig.CapDrop, privileged)
	if err != nil {
		return err
	}
	process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	return nil
}

// chooseCaps starts from Docker's default set and applies drop and add, of which a name in both is added; ALL means
// all of them.
func chooseCaps(add, drop []string, privileged bool) ([]string, error) {
	known := runtime.KnownCapabilities()
	if privileged {
		return known, nil
	}
	added, allAdded, err := capNames(add, known)
	if err != nil {
		return nil, err
	}
	dropped, allDropped, err := capNames(drop, known)
	if err != nil {
		return nil, err
	}
	start := runtime.DefaultCapabilities()
	switch {
	case allAdded:
		start = known
	case allDropped:
		start = nil
	}
	caps := slices.DeleteFunc(slices.Clone(start), func(name string) bool { return slices.Contains(dropped, name) })
	for _, name := range added {
		if !slices.Contains(caps, name) {
			caps = append(caps, name)
		}
	}
	return caps, nil
}

// capNames brings names into the form CAP_NAME; all tells whether ALL is among them.
func capNames(names, known []string) (caps []string, all bool, err error) {
	for _, name := range names {
		upper := strings.ToUpper(name)
		if upper == "ALL" {
			all = true
			continue
		}
		full := "CAP_" + strings.TrimPrefix(upper, "CAP_")
		if !slices.Contains(known, full) {
			return nil, false, fmt.Errorf("unknown capability %q", name)
		}
		caps = append(caps, full)
	}
	return caps, all, nil
}
