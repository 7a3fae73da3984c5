package runtime

import (
	"fmt"
	"path"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

// In a user namespace no process may make device nodes, so those of the host are bound.
var (
	defaultDevices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}
	deviceLinks    = []struct{ name, target string }{
		{"fd", "/proc/self/fd"},
		{"stdin", "/proc/self/fd/0"},
		{"stdout", "/proc/self/fd/1"},
		{"stderr", "/proc/self/fd/2"},
		{"core", "/proc/kcore"},
		{"ptmx", "pts/ptmx"},
	}
)

// fillDev makes the default device nodes and links, unless /dev is not a filesystem of the container's own.
func (m *mounter) fillDev() error {
	if m.dev < 0 {
		return nil
	}
	for _, device := range defaultDevices {
		if err := m.bindDevice(device, device); err != nil {
			return wire.Errorf(stageInit, "bind device", device, err)
		}
	}
	for _, link := range deviceLinks {
		if err := unix.Symlinkat(link.target, m.dev, link.name); err != nil && err != unix.EEXIST {
			return wire.Errorf(stageInit, "make link", "/dev/"+link.name, err)
		}
	}
	return nil
}

// addDevices binds the devices that the specification names.
func (m *mounter) addDevices(devices []specs.LinuxDevice) error {
	for _, device := range devices {
		source, err := hostDevice(device)
		if err == nil {
			err = m.bindDevice(source, device.Path)
		}
		if err != nil {
			return wire.Errorf(stageInit, "bind device", device.Path, err)
		}
	}
	return nil
}

func (m *mounter) bindDevice(source, destination string) error {
	mount, err := cloneTree(unix.AT_FDCWD, source, false)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	target, err := m.root.mountPoint(destination, false)
	if err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	defer unix.Close(target)
	return attach(mount, target)
}

// hostDevice finds the host's node of a device: the one of the same name if it is the same device, otherwise by number.
func hostDevice(device specs.LinuxDevice) (string, error) {
	kind, dir := uint32(unix.S_IFCHR), "char"
	if device.Type == "b" {
		kind, dir = unix.S_IFBLK, "block"
	}
	byNumber := path.Join("/dev", dir, fmt.Sprintf("%d:%d", device.Major, device.Minor))
	for _, node := range []string{device.Path, byNumber} {
		var st unix.Stat_t
		if unix.Stat(node, &st) == nil && st.Mode&unix.S_IFMT == kind &&
			st.Rdev == unix.Mkdev(uint32(device.Major), uint32(device.Minor)) {
			return node, nil
		}
	}
	return "", fmt.Errorf("the host has no node of %s device %d:%d", dir, device.Major, device.Minor)
}
