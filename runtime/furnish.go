package runtime

import (
	"errors"
	"os"
	goruntime "runtime"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/fault"
	"github.com/rcrun/rcrun/internal/wire"
)

// ready is the outcome of furnishing the container.
type ready struct {
	warnings []string
}

// furnish makes everything that the container consists of, except its first process, while the host's filesystems are
// still there. Then it leaves them for the container's root. master is the master of the payload's terminal, or nil.
//
// The sandbox does this, and not the container's first process: the mounts are made in the sandbox's mount namespace
// and so belong to its user namespace (see settleInit). With Config.OpenMounts they are made in the mount namespace of
// the first process.
func (s *sandbox) furnish(trees []*os.File) (r ready, master *os.File, err error) {
	root, err := s.rootToFurnish()
	if err != nil {
		return r, nil, err
	}
	m := &mounter{root: root, ids: s.ids, trees: trees, dev: -1, devpts: -1, open: s.openFilesystem}
	defer m.close()
	err = s.inside(containerNamespaces, s.config.OpenMounts, func() error {
		master, err = s.furnishInside(m)
		return err
	})
	if err != nil {
		return r, master, err
	}
	if s.config.OpenMounts { // the sandbox's own mount namespace has only the root
		if root, err = openRoot(); err != nil {
			return r, master, wire.Errorf(stageInit, "open root", ".", err)
		}
		defer root.dir.Close()
	}
	return ready{warnings: m.warnings}, master, enterRoot(root)
}

// rootToFurnish returns the container's root: the working directory, or a copy of its mount for init's mount namespace.
func (s *sandbox) rootToFurnish() (root, error) {
	if !s.config.OpenMounts {
		r, err := openRoot()
		if err != nil {
			return root{}, wire.Errorf(stageInit, "open root", ".", err)
		}
		return r, nil
	}
	tree, err := cloneTree(unix.AT_FDCWD, ".", true)
	if err != nil {
		return root{}, wire.Errorf(stageInit, "copy the mount of", "/", err)
	}
	p := s.init.program
	p.reset()
	p.add("copy the mount namespace", unix.SYS_UNSHARE, unix.CLONE_NEWNS)
	if err := s.init.run(); err != nil {
		unix.Close(tree)
		return root{}, stageError(stageInit, err, nil)
	}
	return root{os.NewFile(uintptr(tree), "/")}, nil
}

// furnishInside is the part of furnish that runs within the container's namespaces.
func (s *sandbox) furnishInside(m *mounter) (master *os.File, err error) {
	spec := s.config.Spec
	if s.config.OpenMounts {
		if err := m.root.attachOverRoot(); err != nil {
			return nil, wire.Errorf(stageInit, "attach root", "/", err)
		}
	}
	if err := m.furnish(spec); err != nil {
		return nil, err
	}
	if m.devpts >= 0 {
		s.devpts = os.NewFile(uintptr(m.devpts), "devpts")
	}
	if spec.Process.Terminal {
		if master, err = s.openConsole(m); err != nil {
			return nil, err
		}
	}
	if err := m.seal(spec); err != nil || !s.config.OpenMounts {
		return master, err
	}
	return master, enterRoot(m.root)
}

// attachOverRoot attaches a detached root on top of the calling thread's root.
func (r root) attachOverRoot() error {
	target, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return attach(r.fd(), target)
}

// containerNamespaces are the namespaces that a container may have of its own, without user and mount namespaces.
const containerNamespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS |
	unix.CLONE_NEWCGROUP

// inside calls do on a thread that has joined those of the container's namespaces that are in mask and, if mounts says
// so, its mount namespace. The thread is not used again.
func (s *sandbox) inside(mask int, mounts bool, do func() error) error {
	done := make(chan error)
	go func() {
		goruntime.LockOSThread()
		err := s.join(mask, mounts)
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

// join has the calling thread join namespaces of the container.
func (s *sandbox) join(mask int, mounts bool) error {
	flags := ownNamespaces(s.config.Spec, mask)
	if mounts {
		// Only a thread that shares its root directory with no other thread can join a mount namespace.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return wire.Errorf(stageSandbox, "unshare the root directory", "", err)
		}
		flags |= unix.CLONE_NEWNS
	}
	if flags == 0 {
		return nil
	}
	if err := unix.Setns(int(s.init.pidfd.Fd()), flags); err != nil {
		return wire.Errorf(stageSandbox, "join the container's namespaces", "", err)
	}
	return nil
}

// furnish sets up the namespaces that the calling thread has joined, and makes the mounts.
func (m *mounter) furnish(spec *specs.Spec) error {
	if err := setUpNamespaces(spec); err != nil {
		return err
	}
	if err := m.propagateRoot(spec.Linux.RootfsPropagation); err != nil {
		return err
	}
	return m.fill(spec)
}

// openFilesystem opens the configuration of a new filesystem (fsopen(2)). With Config.OpenMounts init opens it: the
// filesystem then belongs to the user namespace of the container, which may change its options.
func (s *sandbox) openFilesystem(fstype string) (int, error) {
	switch {
	case s.config.OpenMounts:
		p := s.init.program
		p.reset()
		opening := p.add("open "+fstype, unix.SYS_FSOPEN, p.text(fstype), unix.FSOPEN_CLOEXEC)
		if err := s.init.run(); err != nil {
			return -1, err
		}
		return int(opening.result), nil
	case fstype == "proc":
		return s.openProc()
	}
	return unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
}

// openProc opens a new proc filesystem for the pid namespace that the calling thread's children are born into. A child
// does it, because the kernel takes the pid namespace of the process that opens it.
func (s *sandbox) openProc() (int, error) {
	p, err := newProgram(1, 1<<10)
	if err != nil {
		return -1, err
	}
	opening := p.add("open proc", unix.SYS_FSOPEN, p.text("proc"), unix.FSOPEN_CLOEXEC)
	c, err := fork(p, unix.CLONE_FILES, runAndExit)
	if err != nil {
		return -1, err
	}
	defer c.release()
	defer c.closeTheirs()
	defer c.pidfd.Close()
	if _, err := c.wait(); err != nil {
		return -1, err
	}
	if err := p.outcome(); err != nil {
		return -1, err
	}
	return int(opening.result), nil
}

// setUpNamespaces sets what belongs to the namespaces rather than to the root, through the host's proc.
func setUpNamespaces(spec *specs.Spec) error {
	if newNamespaces(spec, unix.CLONE_NEWNET) != 0 {
		if err := loopbackUp(); err != nil {
			return wire.Errorf(stageInit, "bring up loopback", "lo", err)
		}
	}
	if newNamespaces(spec, unix.CLONE_NEWUTS) != 0 {
		if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
			return wire.Errorf(stageInit, "set host name", spec.Hostname, err)
		}
		if spec.Domainname != "" {
			if err := unix.Setdomainname([]byte(spec.Domainname)); err != nil {
				return wire.Errorf(stageInit, "set domain name", spec.Domainname, err)
			}
		}
	}
	for key, value := range spec.Linux.Sysctl {
		if err := writeProc(sysctlFile(key), value); err != nil {
			return wire.Errorf(stageInit, "set sysctl "+key+" in", sysctlFile(key), err)
		}
	}
	return nil
}

func loopbackUp() error {
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(sock)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(sock, unix.SIOCSIFFLAGS, lo)
}

// sysctlFile returns the file of a sysctl such as net.ipv4.ip_forward. In a name with slashes
// (net/ipv4/conf/eth0.1/...) dots are part of the name.
func sysctlFile(key string) string {
	if !strings.Contains(key, "/") {
		key = strings.ReplaceAll(key, ".", "/")
	}
	return "/proc/sys/" + key
}

// writeProc writes to a file of the host's proc filesystem.
func writeProc(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// fill makes everything that is mounted beneath the root.
func (m *mounter) fill(spec *specs.Spec) error {
	if err := m.makeCopies(spec.Mounts); err != nil {
		return err
	}
	if err := m.mountAll(spec.Mounts); err != nil {
		return err
	}
	if err := m.fillDev(); err != nil {
		return err
	}
	return m.addDevices(spec.Linux.Devices)
}

// seal masks and protects what the payload may not see or change.
func (m *mounter) seal(spec *specs.Spec) error {
	if err := m.protect(spec.Linux.ReadonlyPaths); err != nil {
		return err
	}
	if err := m.mask(spec.Linux.MaskedPaths); err != nil {
		return err
	}
	if spec.Root != nil && spec.Root.Readonly {
		if err := setAttributes(m.root.fd(), unix.MOUNT_ATTR_RDONLY, 0, 0, false); err != nil {
			return wire.Errorf(stageInit, "make read-only", "/", err)
		}
	}
	return nil
}

func (m *mounter) propagateRoot(name string) error {
	if name == "" {
		return nil
	}
	propagation, ok := propagations[name]
	if !ok {
		unknown := fault.Errorf(errdefs.ErrInvalidArgument, "unknown propagation %q", name)
		return wire.Errorf(stageInit, "set propagation of", "/", unknown)
	}
	if err := setAttributes(m.root.fd(), 0, 0, propagation&^unix.MS_REC, false); err != nil {
		return wire.Errorf(stageInit, "set propagation of", "/", err)
	}
	return nil
}

func (m *mounter) close() {
	if m.dev >= 0 {
		unix.Close(m.dev)
	}
	m.root.dir.Close()
}

// enterRoot makes the root the root directory of the sandbox, and of the container's first process, which still shares
// its mount namespace. Then it detaches the host's filesystems.
func enterRoot(root root) error {
	steps := []struct {
		op string
		do func() error
	}{
		{"enter root", func() error { return unix.Fchdir(root.fd()) }},
		{"pivot root", func() error { return unix.PivotRoot(".", ".") }},
		{"detach the host's root", func() error { return unix.Unmount(".", unix.MNT_DETACH) }},
		{"enter root", func() error { return unix.Chdir("/") }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return wire.Errorf(stageInit, step.op, "/", err)
		}
	}
	return nil
}
