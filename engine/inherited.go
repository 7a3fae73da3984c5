package engine

import "golang.org/x/sys/unix"

// DropInherited takes from a command what its caller's environment would do to a container: open files, and a umask.
func DropInherited() {
	closeInherited()
	keepOwnFiles()
}

// closeInherited keeps what a shell has open beside the standard streams from the processes we start: a lock, or the
// pipe of a job, would be held for as long as the container lives.
func closeInherited() {
	unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) // a kernel without it leaves things as they are
}

// keepOwnFiles drops what a umask denies the owner: we could not open what we make, and a directory of that kind would
// stand in the way of all commands to come.
func keepOwnFiles() {
	unix.Umask(unix.Umask(0) &^ 0o700)
}
