package runtime

import (
	"errors"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

const (
	stageInit = "init"
	wireFD    = 3
)

// InitMain is what the stage InitStage runs: it completes the container from within its namespaces and becomes the
// payload. It returns an exit code if that fails.
func InitMain() int {
	goruntime.LockOSThread()
	if len(os.Args) > 1 && os.Args[1] == reaperArg {
		return reaperMain()
	}
	return stageMain(stageInit, becomePayload)
}

// stageMain runs a stage that speaks over its wire; what goes wrong is told there.
func stageMain(stage string, run func(*wire.Conn) error) int {
	conn, err := wire.FromFile(os.NewFile(wireFD, "wire"))
	if err != nil {
		os.Stderr.WriteString("rcrun: " + stage + ": " + err.Error() + "\n")
		return 1
	}
	defer conn.Close()
	if err := run(conn); err != nil {
		conn.SendError(stage, wire.Errorf(stage, "run", "", err)) // nobody is left to tell if this fails
		return 1
	}
	return 0
}

func becomePayload(conn *wire.Conn) error {
	var config initConfig
	if _, err := conn.Expect(msgConfig, &config, 0); err != nil {
		return err
	}
	unix.Umask(0o022) // the mount points that are made do not depend on the caller's
	trees, err := receiveTrees(conn, config.Spec.Mounts)
	if err != nil {
		return err
	}
	if err := setUpContainer(conn, config, trees); err != nil {
		return err
	}
	if _, err := conn.Expect(msgStart, nil, 0); err != nil {
		return err
	}
	return config.Payload.run(stageInit)
}

func receiveTrees(conn *wire.Conn, mounts []specs.Mount) ([]*os.File, error) {
	var trees []*os.File
	for _, mount := range mounts {
		if !isBind(mount) {
			continue
		}
		files, err := conn.Expect(msgTree, nil, 1)
		if err != nil {
			return nil, err
		}
		trees = append(trees, files[0])
	}
	return trees, nil
}

// setUpContainer makes everything but the payload, and reports it as ready.
func setUpContainer(conn *wire.Conn, config initConfig, trees []*os.File) error {
	spec := config.Spec
	if err := setUpNamespaces(spec); err != nil {
		return err
	}
	root, err := openRoot()
	if err != nil {
		return wire.Errorf(stageInit, "open root", ".", err)
	}
	m := &mounter{root: root, ids: config.Payload.IDs, trees: trees, dev: -1, devpts: -1}
	defer m.close()
	if err := m.propagateRoot(spec.Linux.RootfsPropagation); err != nil {
		return err
	}
	if err := m.fill(spec); err != nil {
		return err
	}
	ready := initReady{Warnings: m.warnings, Devpts: m.devpts >= 0}
	var master *os.File
	if config.Payload.Process.Terminal {
		if master, err = m.openConsole(config.Payload.Process.ConsoleSize); err != nil {
			return err
		}
		defer master.Close()
		ready.Console = true
	}
	if err := m.seal(spec); err != nil {
		return err
	}
	if err := enterRoot(root); err != nil {
		return err
	}
	if err := makeWorkingDirectory(config.Payload.Process.Cwd); err != nil {
		return err
	}
	return report(conn, ready, m.devpts, master)
}

// report sends what the sandbox keeps of the container.
func report(conn *wire.Conn, ready initReady, devpts int, master *os.File) error {
	if err := conn.Send(msgReady, ready); err != nil {
		return err
	}
	if ready.Devpts {
		fd, err := unix.FcntlInt(uintptr(devpts), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return err
		}
		mount := os.NewFile(uintptr(fd), "devpts")
		defer mount.Close()
		if err := conn.Send(msgDevpts, nil, mount); err != nil {
			return err
		}
	}
	if ready.Console {
		return conn.Send(msgConsole, nil, master)
	}
	return nil
}

// fill makes all that is mounted beneath the root.
func (m *mounter) fill(spec *specs.Spec) error {
	if err := m.mountAll(spec.Mounts); err != nil {
		return err
	}
	if err := m.fillDev(); err != nil {
		return err
	}
	return m.addDevices(spec.Linux.Devices)
}

// seal closes off what the payload may not see or change.
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
		return wire.Errorf(stageInit, "set propagation of", "/", errors.New("unknown propagation "+strconv.Quote(name)))
	}
	if err := setAttributes(m.root.fd(), 0, 0, propagation&^unix.MS_REC, false); err != nil {
		return wire.Errorf(stageInit, "set propagation of", "/", err)
	}
	return nil
}

func (m *mounter) close() {
	for _, fd := range []int{m.dev, m.devpts} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	m.root.dir.Close()
}

// setUpNamespaces sets what belongs to the namespaces rather than to the root, through the host's proc.
func setUpNamespaces(spec *specs.Spec) error {
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
	if adjust := spec.Process.OOMScoreAdj; adjust != nil {
		if err := writeProc("/proc/self/oom_score_adj", strconv.Itoa(*adjust)); err != nil {
			return wire.Errorf(stageInit, "set", "/proc/self/oom_score_adj", err)
		}
	}
	return nil
}

// sysctlFile returns the file of a sysctl such as net.ipv4.ip_forward. In a name with slashes (net/ipv4/conf/eth0.1/...)
// dots are part of it.
func sysctlFile(key string) string {
	if !strings.Contains(key, "/") {
		key = strings.ReplaceAll(key, ".", "/")
	}
	return "/proc/sys/" + key
}

// makeWorkingDirectory makes the payload's working directory where it is missing, also below a mount, as the
// container's root; through no magic link, as it is entered. Where it cannot be made, entering it tells why.
func makeWorkingDirectory(cwd string) error {
	if cwd == "" {
		return nil
	}
	root, err := openRoot()
	if err != nil {
		return wire.Errorf(stageInit, "open root", "/", err)
	}
	defer root.dir.Close()
	fd, err := root.mountPoint(cwd, true)
	if err == nil {
		return unix.Close(fd)
	}
	if err != unix.EROFS && err != unix.ELOOP { // ELOOP: a magic link
		return wire.Errorf(stageInit, "make working directory", cwd, err)
	}
	return nil
}

// enterRoot makes the root the process's own and lets go of the host's file systems.
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
