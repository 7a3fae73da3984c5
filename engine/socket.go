package engine

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// listen makes a socket in dir. The path goes through /proc/self/fd, since that of a socket may have no more than 107
// bytes.
func listen(dir, name string) (*net.UnixListener, error) {
	handle, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("listen in run directory: %w", err)
	}
	defer handle.Close()
	os.Remove(filepath.Join(dir, name)) // of a process that was killed
	listener, err := net.ListenUnix("unix", socketAddr(handle, name))
	if err != nil {
		return nil, fmt.Errorf("listen in %s: %w", dir, err)
	}
	listener.SetUnlinkOnClose(false) // the path is not valid any more by then
	return listener, nil
}

// dialIn connects to a socket in a directory.
func dialIn(dir, name string) (*net.UnixConn, error) {
	handle, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	return net.DialUnix("unix", nil, socketAddr(handle, name))
}

func socketAddr(dir *os.File, name string) *net.UnixAddr {
	return &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name), Net: "unix"}
}
