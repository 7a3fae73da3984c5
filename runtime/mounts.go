package runtime

import (
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

// mounter makes the mounts of a container beneath its root, while the host's filesystems are still there, because the
// kernel lets a user namespace mount proc and sysfs only where it sees another one.
type mounter struct {
	root     root
	ids      idMaps
	trees    []*os.File                       // the bind sources, in the order of the specification
	dev      int                              // the mount of /dev if it is a filesystem of the container's own, else -1
	devpts   int                              // the mount of devpts, or -1
	open     func(fstype string) (int, error) // opens the configuration of a new filesystem
	warnings []string
}

// mountAll makes the mounts in the order of the specification.
func (m *mounter) mountAll(mounts []specs.Mount) error {
	for _, spec := range mounts {
		if err := m.mountOne(spec); err != nil {
			return wire.Errorf(stageInit, "mount "+kindOf(spec)+" on", spec.Destination, err)
		}
	}
	return nil
}

func kindOf(spec specs.Mount) string {
	if isBind(spec) {
		return spec.Source
	}
	return spec.Type
}

func (m *mounter) mountOne(spec specs.Mount) error {
	o := parseMountOptions(spec)
	mount, err := m.prepare(spec, o)
	if err != nil {
		return err
	}
	if !m.keep(spec, mount) {
		defer unix.Close(mount)
	}
	directory, err := isDir(mount)
	if err != nil {
		return err
	}
	target, err := m.root.mountPoint(spec.Destination, directory)
	if err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	defer unix.Close(target)
	return attach(mount, target)
}

// keep records the mounts that later steps need, and tells whether it has recorded this one.
func (m *mounter) keep(spec specs.Mount, mount int) bool {
	switch {
	case spec.Type == "tmpfs" && path.Clean(spec.Destination) == "/dev":
		m.dev = mount
	case spec.Type == "devpts":
		m.devpts = mount
	default:
		return false
	}
	return true
}

// prepare returns the mount that the specification asks for, with its attributes, not attached yet.
func (m *mounter) prepare(spec specs.Mount, o mountOptions) (int, error) {
	if o.bind {
		return m.bind(o)
	}
	mount, err := m.fresh(spec, o)
	if err != nil || o.propagation == 0 {
		return mount, err
	}
	return mount, setAttributes(mount, 0, 0, o.propagation&^unix.MS_REC, false)
}

// bind returns the next of the trees that the sandbox has cloned. The kernel locks the attributes that the host has set
// on a mount, so these options can only add attributes.
func (m *mounter) bind(o mountOptions) (int, error) {
	if len(m.trees) == 0 {
		return -1, fmt.Errorf("bind source was not opened")
	}
	tree := m.trees[0]
	m.trees = m.trees[1:]
	defer tree.Close()
	mount, err := unix.FcntlInt(tree.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, err
	}
	propagation := o.propagation
	if propagation == 0 {
		propagation = unix.MS_PRIVATE | unix.MS_REC
	}
	err = setAttributes(mount, 0, 0, propagation&^unix.MS_REC, propagation&unix.MS_REC != 0)
	if err == nil {
		err = setAttributes(mount, o.set, o.clear&unix.MOUNT_ATTR__ATIME, 0, o.recursive)
	}
	if err != nil {
		unix.Close(mount)
		return -1, fmt.Errorf("set options: %w", err)
	}
	return mount, nil
}

// fresh makes a new filesystem. Where the kernel refuses it, the host's own takes its place if that is safe: inside
// another container, whose /proc is masked, or with the network of the host.
func (m *mounter) fresh(spec specs.Mount, o mountOptions) (int, error) {
	switch spec.Type {
	case "proc":
		mount, err := m.newMount("proc", "proc", o.set, o.data)
		if refused(err) {
			m.warnings = append(m.warnings, "the kernel refuses a new proc filesystem here, "+
				"because parts of the outer /proc are masked; the outer /proc is bound in its place and shows "+
				"the outer processes")
			return m.outer("/proc", o.set)
		}
		return mount, err
	case "sysfs":
		mount, err := m.newMount("sysfs", "sysfs", o.set, o.data)
		if refused(err) {
			return m.outer("/sys", o.set|unix.MOUNT_ATTR_RDONLY)
		}
		return mount, err
	case "cgroup", "cgroup2":
		return m.cgroup(o)
	case "devpts":
		return m.newMount("devpts", "devpts", o.set, m.mappedOnly(o.data))
	default:
		return m.newMount(spec.Type, spec.Source, o.set, o.data)
	}
}

// newMount makes a filesystem and returns its mount, which is not attached yet.
func (m *mounter) newMount(fstype, source string, attrs uint64, options []string) (int, error) {
	fs, err := m.open(fstype)
	if err != nil {
		return -1, err
	}
	return configureMount(fs, source, attrs, options)
}

// cgroup makes a view of the container's cgroup. Only the unified hierarchy can be mounted in a user namespace. On a
// host with another one there is nothing to show, so an empty directory keeps payloads from searching further.
func (m *mounter) cgroup(o mountOptions) (int, error) {
	var st unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &st); err != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		return m.newMount("tmpfs", "cgroup", o.set|unix.MOUNT_ATTR_RDONLY, []string{"mode=0755", "size=4k"})
	}
	mount, err := m.newMount("cgroup2", "cgroup2", o.set, nil)
	if refused(err) {
		return m.outer("/sys/fs/cgroup", o.set|unix.MOUNT_ATTR_RDONLY)
	}
	return mount, err
}

// outer binds a filesystem of the host with further attributes. The host has decided how it notes access times.
func (m *mounter) outer(path string, set uint64) (int, error) {
	mount, err := cloneTree(unix.AT_FDCWD, path, true)
	if err != nil {
		return -1, fmt.Errorf("bind the outer %s: %w", path, err)
	}
	if err := setAttributes(mount, set&^unix.MOUNT_ATTR__ATIME, 0, unix.MS_PRIVATE, true); err != nil {
		unix.Close(mount)
		return -1, err
	}
	return mount, nil
}

// mappedOnly leaves out a gid= that the id map does not have, because a terminal of another group is better than none.
func (m *mounter) mappedOnly(options []string) []string {
	var kept []string
	for _, option := range options {
		var gid uint32
		if strings.HasPrefix(option, "gid=") {
			if _, err := fmt.Sscanf(option, "gid=%d", &gid); err == nil && !m.ids.hasGID(gid) {
				continue
			}
		}
		kept = append(kept, option)
	}
	return kept
}
