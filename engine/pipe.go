package engine

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newPipe returns a pipe of which one end stays here and the other becomes a standard stream of some program. Unlike
// os.Pipe it leaves the latter blocking: a program does not expect EAGAIN on its standard streams.
func newPipe() (read, write *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("create pipe: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}
