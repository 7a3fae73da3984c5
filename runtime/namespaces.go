package runtime

import (
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/fault"
)

// namespaceFlags are the kinds of namespaces that a container may have to itself.
var namespaceFlags = map[specs.LinuxNamespaceType]int{
	specs.UserNamespace:    unix.CLONE_NEWUSER,
	specs.MountNamespace:   unix.CLONE_NEWNS,
	specs.PIDNamespace:     unix.CLONE_NEWPID,
	specs.IPCNamespace:     unix.CLONE_NEWIPC,
	specs.UTSNamespace:     unix.CLONE_NEWUTS,
	specs.CgroupNamespace:  unix.CLONE_NEWCGROUP,
	specs.NetworkNamespace: unix.CLONE_NEWNET,
}

// newNamespaces returns the flags of the namespaces in mask that spec wants to be new.
func newNamespaces(spec *specs.Spec, mask int) int {
	flags := 0
	for _, ns := range spec.Linux.Namespaces {
		if ns.Path == "" {
			flags |= namespaceFlags[ns.Type]
		}
	}
	return flags & mask
}

// ownNamespaces returns the flags of the namespaces in mask that spec names, new or joined.
func ownNamespaces(spec *specs.Spec, mask int) int {
	flags := 0
	for _, ns := range spec.Linux.Namespaces {
		flags |= namespaceFlags[ns.Type]
	}
	return flags & mask
}

// joinNamespaces has the calling thread enter the namespaces that spec names by path. Processes that it forks inherit
// them.
func joinNamespaces(spec *specs.Spec) error {
	for _, ns := range spec.Linux.Namespaces {
		if ns.Path == "" {
			continue
		}
		if err := joinNamespace(ns); err != nil {
			return fmt.Errorf("join %s namespace %s: %w", ns.Type, ns.Path, err)
		}
	}
	return nil
}

func joinNamespace(ns specs.LinuxNamespace) error {
	f, err := os.Open(ns.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Setns(int(f.Fd()), namespaceFlags[ns.Type])
}

// validate refuses a specification that asks for what this runtime would silently leave out.
func validate(spec *specs.Spec) error {
	if spec == nil || spec.Process == nil || spec.Linux == nil {
		return fault.Errorf(errdefs.ErrInvalidArgument, "the specification has no process or no linux section")
	}
	if err := specFields.Check(spec, ""); err != nil {
		return err
	}
	if err := checkNamespaces(spec.Linux.Namespaces); err != nil {
		return err
	}
	if (spec.Hostname != "" || spec.Domainname != "") && newNamespaces(spec, unix.CLONE_NEWUTS) == 0 {
		return fault.Errorf(errdefs.ErrInvalidArgument, "hostname and domainname need a new uts namespace")
	}
	return nil
}

func checkNamespaces(namespaces []specs.LinuxNamespace) error {
	for _, ns := range namespaces {
		if namespaceFlags[ns.Type] == 0 {
			return fault.Errorf(errdefs.ErrNotImplemented, "%s namespaces are not supported", ns.Type)
		}
		if ns.Path != "" && (ns.Type == specs.UserNamespace || ns.Type == specs.MountNamespace) {
			return fault.Errorf(errdefs.ErrNotImplemented, "joining a %s namespace is not supported", ns.Type)
		}
	}
	return nil
}
