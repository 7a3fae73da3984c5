// Package own tells what belongs to the caller from what another user may have put in its place: directories of state,
// and the processes at the other end of a socket.
//
// # Decisions and rationale
//
//   - A directory of state belongs to the caller, and no other user may write to it; otherwise another user could put
//     sockets, records or images there.
//   - The directories above it must not let other users replace it either: what other users may write to must have the
//     sticky bit, as /tmp has. The owner of such a directory (of a home, of a project's space) is trusted, and so is
//     the caller's primary group, because with most distributions it has no other member and programs make directories
//     that it may write to.
//   - Root is no exception: with the environment of another user it would take that user's directories.
package own

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// MakeDir makes a directory for its owner alone, with all that is missing above it, or checks the existing directory.
func MakeDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return CheckDir(path)
}

// CheckDir returns an error if a directory does not belong to the caller, or other users may write to it.
func CheckDir(path string) error {
	var link, dir unix.Stat_t
	if err := unix.Lstat(path, &link); err != nil {
		return &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	if err := unix.Stat(path, &dir); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	caller := uint32(os.Geteuid())
	switch {
	case link.Mode&unix.S_IFMT == unix.S_IFLNK && link.Uid != caller && link.Uid != 0:
		return fmt.Errorf("%s is a symbolic link of another user's (uid %d)", path, link.Uid)
	case dir.Uid != caller:
		return fmt.Errorf("%s is not owned by the current user (uid %d), but by uid %d", path, caller, dir.Uid)
	case dir.Mode&0o022 != 0:
		return fmt.Errorf("other users may write to %s (mode %04o): mend it with \"chmod go-w %s\"",
			path, dir.Mode&0o7777, path)
	}
	return nil
}

// CheckPeer returns an error if the process at the other end of a connected socket belongs to another user. The kernel
// records which user called connect(2) or listen(2).
func CheckPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("find out who is at the other end: %w", err)
	}
	var peer *unix.Ucred
	var peerErr error
	err = raw.Control(func(fd uintptr) {
		peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = peerErr
	}
	if err != nil {
		return fmt.Errorf("find out who is at the other end: %w", err)
	}
	if caller := os.Geteuid(); peer.Uid != uint32(caller) {
		return fmt.Errorf("the process at the other end is that of uid %d, not of the current user (uid %d)",
			peer.Uid, caller)
	}
	return nil
}
