package runtime

import (
	"errors"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rcrun/rcrun/internal/wire"
)

// newPty makes a terminal in the devpts filesystem mounted at the descriptor devpts. The payload cannot interfere,
// because neither end is opened by a path of the container.
func newPty(devpts int, size *specs.Box) (master, slave *os.File, err error) {
	fd, err := openWithin(devpts, "ptmx", unix.O_RDWR|unix.O_NOCTTY)
	if err != nil {
		return nil, nil, err
	}
	master = os.NewFile(uintptr(fd), "pty master")
	defer func() {
		if err != nil {
			master.Close()
		}
	}()
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	// Without O_NOCTTY the terminal would become this process's own.
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, flags)
	if errno != 0 {
		return nil, nil, errno
	}
	slave = os.NewFile(peer, "pty slave")
	if size != nil {
		if err := resize(fd, uint16(size.Height), uint16(size.Width)); err != nil {
			slave.Close()
			return nil, nil, err
		}
	}
	return master, slave, nil
}

func resize(fd int, rows, cols uint16) error {
	return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
}

// openConsole makes the payload's terminal and binds it at /dev/console. The slave takes the place of the standard
// files. It returns the master.
func (s *sandbox) openConsole(m *mounter) (*os.File, error) {
	if s.devpts == nil {
		return nil, wire.Errorf(stageInit, "open terminal", "", errors.New("the container has no devpts"))
	}
	master, slave, err := newPty(int(s.devpts.Fd()), s.config.Spec.Process.ConsoleSize)
	if err != nil {
		return nil, wire.Errorf(stageInit, "open terminal", "/dev/pts/ptmx", err)
	}
	if err := m.bindConsole(slave); err != nil {
		master.Close()
		slave.Close()
		return nil, wire.Errorf(stageInit, "bind terminal", "/dev/console", err)
	}
	wire.CloseFiles(s.stdio)
	s.stdio = []*os.File{slave, slave, slave}
	return master, nil
}

func (m *mounter) bindConsole(slave *os.File) error {
	if m.dev < 0 {
		return nil
	}
	mount, err := cloneTree(int(slave.Fd()), "", false)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	target, err := m.root.mountPoint("/dev/console", false)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return attach(mount, target)
}
