package engine

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newPipe returns a pipe of which one end stays here and the other becomes a standard stream of some program. Unlike
// os.Pipe it leaves the latter blocking: a program does not expect EAGAIN on its standard streams.
func newPipe() (read, write *os.File, err error) {
	fds, err := makePipe()
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// newPipeFrom returns a pipe of which one end (0 to read, 1 to write) stays here. That end has deadlines, and closing
// it ends what reads or writes there. The other is blocking, as those of newPipe are.
func newPipeFrom(end int) (ours, theirs *os.File, err error) {
	fds, err := makePipe()
	if err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fds[end], true); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("create pipe: %w", err), unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[end]), "pipe"), os.NewFile(uintptr(fds[1-end]), "pipe"), nil
}

func makePipe() (fds [2]int, err error) {
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return fds, fmt.Errorf("create pipe: %w", err)
	}
	return fds, nil
}
