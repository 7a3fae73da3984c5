package engine

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/rcrun/rcrun/internal/idmap"
	"github.com/rcrun/rcrun/rootless"
	"github.com/rcrun/rcrun/runtime"
)

// defaultPath is PATH in a container whose image and user name none.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// spec translates the container into an OCI runtime specification.
func (c *Container) spec(ids rootless.Map) (*specs.Spec, error) {
	security, err := parseSecurity(c.HostConfig.SecurityOpt)
	if err != nil {
		return nil, err
	}
	spec := runtime.DefaultSpec(commandOf(&c.Config)...)
	if err := c.setPrivileges(spec.Process, c.HostConfig.Privileged); err != nil {
		return nil, err
	}
	if err := c.setIsolation(spec, security); err != nil {
		return nil, err
	}
	spec.Hostname, spec.Domainname = c.Config.Hostname, c.Config.Domainname
	spec.Root = &specs.Root{Path: "rootfs", Readonly: c.HostConfig.ReadonlyRootfs}
	spec.Linux.UIDMappings, spec.Linux.GIDMappings = specMappings(ids.UIDs), specMappings(ids.GIDs)
	mounts, err := c.userMounts()
	if err != nil {
		return nil, err
	}
	spec.Mounts = slices.Concat(spec.Mounts, c.generatedMounts(), mounts)

	spec.Process.Terminal = c.Config.Tty
	spec.Annotations = c.HostConfig.Annotations
	spec.Process.Rlimits = c.HostConfig.rlimits()
	if err := checkUser(c.user(), ids); err != nil {
		return nil, err
	}
	spec.Process.Env = c.environment(c.user(), c.Config.Tty)
	spec.Process.Cwd = c.workingDir()
	spec.Process.User.Username, spec.Process.User.Umask = c.user(), c.HostConfig.Umask
	spec.Process.NoNewPrivileges = security.noNewPrivileges
	return spec, nil
}

// setIsolation sets what --privileged, --network=host and --security-opt change of the defaults.
func (c *Container) setIsolation(spec *specs.Spec, security security) (err error) {
	for i, mount := range spec.Mounts {
		if mount.Destination == "/dev/shm" {
			spec.Mounts[i].Options = setOption(mount.Options, "size=", strconv.FormatInt(c.HostConfig.ShmSize, 10))
		}
	}
	if c.network() == networkHost {
		isNetwork := func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace }
		spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, isNetwork)
	}
	c.setPaths(spec.Linux)
	spec.Linux.Sysctl = c.HostConfig.Sysctls
	switch {
	case security.seccomp.text != nil:
		spec.Linux.Seccomp, err = runtime.LoadSeccomp(security.seccomp.text, spec)
	case security.seccomp.builtin || !security.seccomp.unconfined && !c.HostConfig.Privileged:
		spec.Linux.Seccomp, err = runtime.DefaultSeccomp(spec)
	}
	return err
}

// setPaths sets the paths that the container cannot see or write: those that it names, or else the usual ones, or with
// all privileges none.
func (c *Container) setPaths(linux *specs.Linux) {
	if c.HostConfig.Privileged {
		linux.MaskedPaths, linux.ReadonlyPaths = nil, nil
	}
	if paths := c.HostConfig.MaskedPaths; paths != nil {
		linux.MaskedPaths = paths
	}
	if paths := c.HostConfig.ReadonlyPaths; paths != nil {
		linux.ReadonlyPaths = paths
	}
}

// setOption replaces the value of the mount option that starts with name.
func setOption(options []string, name, value string) []string {
	options = slices.DeleteFunc(slices.Clone(options), func(o string) bool { return strings.HasPrefix(o, name) })
	return append(options, name+value)
}

// user is the user that the payload runs as: the one that was asked for, else with keep-id the caller, else root. Root
// is given by its number, because the groups of a number are looked up as those of a name are.
func (c *Container) user() string {
	switch {
	case c.Config.User != "":
		return c.Config.User
	case c.HostConfig.UsernsMode == rootless.ModeKeepID:
		return fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	}
	return "0"
}

func specMappings(maps idmap.Map) []specs.LinuxIDMapping {
	var out []specs.LinuxIDMapping
	for _, m := range maps {
		out = append(out, specs.LinuxIDMapping{ContainerID: m.Container, HostID: m.Host, Size: m.Size})
	}
	return out
}

func (c *Container) workingDir() string {
	if c.Config.WorkingDir == "" {
		return "/"
	}
	return c.Config.WorkingDir
}

// environment is what a process of a user's gets: Docker's defaults, and over them what the image and the user say.
// HOME is added by the runtime, which knows the user's entry in the container's passwd file, unless that home cannot be
// used.
func (c *Container) environment(user string, tty bool) []string {
	defaults := []string{defaultPath, "HOSTNAME=" + c.Config.Hostname}
	if tty {
		defaults = append(defaults, "TERM=xterm")
	}
	if isRoot(user) {
		if home := c.homeOfRoot(); home != "" {
			defaults = append(defaults, "HOME="+home)
		}
	}
	var env []string
	for _, variable := range c.Config.Env {
		if strings.Contains(variable, "=") {
			env = append(env, variable)
		}
	}
	return mergeEnv(env, defaults)
}

// validateUserns refuses modes of the user namespace that there are not.
func (h *HostConfig) validateUserns() error {
	mode := string(h.UsernsMode)
	if slices.Contains([]string{"", rootless.ModeHost, rootless.ModeKeepID, rootless.ModeNoMap}, mode) {
		return nil
	}
	return invalidf("invalid user namespace mode %q: use host, keep-id or nomap", mode)
}

// validateSysctls refuses names that lead out of the kernel's settings.
func (h *HostConfig) validateSysctls() error {
	for name := range h.Sysctls {
		file := name
		if !strings.Contains(name, "/") {
			file = strings.ReplaceAll(name, ".", "/")
		}
		if file == "" || path.Clean("/"+file) != "/"+file {
			return invalidf("invalid sysctl %q: want a name such as net.ipv4.ip_forward", name)
		}
	}
	return nil
}
