package runtime

import (
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
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

// newNamespaces returns the flags of the namespaces that spec wants to be new, out of those in mask.
func newNamespaces(spec *specs.Spec, mask int) int {
	flags := 0
	for _, ns := range spec.Linux.Namespaces {
		if ns.Path == "" {
			flags |= namespaceFlags[ns.Type]
		}
	}
	return flags & mask
}

// ownNamespaces returns the flags of all namespaces that spec names, new or joined, out of those in mask.
func ownNamespaces(spec *specs.Spec, mask int) int {
	flags := 0
	for _, ns := range spec.Linux.Namespaces {
		flags |= namespaceFlags[ns.Type]
	}
	return flags & mask
}

// joinNamespaces has the calling thread enter the namespaces that spec names by path. What it forks inherits them.
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

// validate refuses what a specification may ask for and this runtime would silently leave out.
func validate(spec *specs.Spec) error {
	switch {
	case spec == nil || spec.Process == nil || spec.Linux == nil:
		return errors.New("specification has no process or no linux section")
	case spec.Hooks != nil:
		return errors.New("hooks are not supported")
	case spec.Process.ApparmorProfile != "" || spec.Process.SelinuxLabel != "" || spec.Linux.MountLabel != "":
		return errors.New("AppArmor profiles and SELinux labels are not supported")
	}
	for _, ns := range spec.Linux.Namespaces {
		if namespaceFlags[ns.Type] == 0 {
			return fmt.Errorf("%s namespaces are not supported", ns.Type)
		}
		if ns.Path != "" && (ns.Type == specs.UserNamespace || ns.Type == specs.MountNamespace) {
			return fmt.Errorf("joining a %s namespace is not supported", ns.Type)
		}
	}
	return nil
}
