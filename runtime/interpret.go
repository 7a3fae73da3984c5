package runtime

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// All functions of this file run in a forked child, where the Go runtime does not work (see child). They are nosplit,
// so that none of them asks the runtime for stack, and make raw system calls only.

// cloneAndInterpret forks, and leaves a pidfd of the child in the header. In the parent it returns the child's pid; in
// the child it never returns.
//
//go:norace
//go:nosplit
func cloneAndInterpret(flags uintptr, mem unsafe.Pointer, start int) (pid uintptr, errno unix.Errno) {
	h := (*header)(mem)
	pid, _, errno = unix.RawSyscall6(unix.SYS_CLONE, flags|unix.CLONE_PIDFD|uintptr(unix.SIGCHLD), 0,
		uintptr(unsafe.Pointer(&h.pidfd)), 0, 0, 0)
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	interpret(mem, start)
	return
}

// interpret runs the program, and exits if start says so. Otherwise it writes to the control socket that it is done,
// and runs the next program for each byte that it reads from there, until the socket is closed.
//
//go:norace
//go:nosplit
func interpret(mem unsafe.Pointer, start int) {
	h := (*header)(mem)
	buffer := uintptr(unsafe.Pointer(&h.byte))
	for {
		ok := runCalls(mem, h)
		if !ok {
			h.failed = 1
		}
		if start == runAndExit && ok {
			exit(0)
		}
		if start == runAndExit {
			exit(1)
		}
		control := uintptr(h.control) // read before the parent is told: then it may write the next program's header
		unix.RawSyscall(unix.SYS_WRITE, control, buffer, 1)
		for {
			n, _, errno := unix.RawSyscall(unix.SYS_READ, control, buffer, 1)
			if errno == 0 && n == 1 {
				break
			}
			if errno != unix.EINTR {
				exit(1)
			}
		}
	}
}

// runCalls makes the calls of the program and tells whether they succeeded. After callFork the header shows how far the
// child has come; of the parent it shows only that it failed.
//
//go:norace
//go:nosplit
func runCalls(mem unsafe.Pointer, h *header) bool {
	silent := false
	for i := uint32(0); i < h.count; i++ {
		if !silent {
			h.current = i
		}
		c := (*step)(unsafe.Add(mem, headerSize+int(i)*stepSize))
		if c.from != 0 {
			c.args[0] = (*step)(unsafe.Add(mem, headerSize+int(c.from-1)*stepSize)).result
		}
		switch c.number {
		case callFork:
			c.result, _, c.errno = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
			if c.errno == 0 && c.result == 0 {
				i = uint32(c.args[0]) - 1
				continue
			}
			h.payload, silent = int32(c.result), true
		case callReap:
			reap(h)
		case callFail:
			h.current = i
			return false
		default:
			c.result, _, c.errno = unix.RawSyscall6(c.number, c.args[0], c.args[1], c.args[2], c.args[3],
				c.args[4], c.args[5])
		}
		if failed(c) {
			h.current = i
			return false
		}
	}
	h.current = h.count
	return true
}

// failed tells whether a call did not do what the program asks of it.
//
//go:norace
//go:nosplit
func failed(c *step) bool {
	if c.errno == 0 {
		return c.exact && c.result != c.want
	}
	return c.errno != c.tolerated[0] && c.errno != c.tolerated[1] && c.errno != c.tolerated[2]
}

//go:norace
//go:nosplit
func exit(code uintptr) {
	for {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, code, 0, 0)
	}
}

// reap is the first process of a container with Config.Init: it forwards signals to the payload, waits for the orphans
// of the container and ends as the payload does. The signals are blocked and fetched by rt_sigtimedwait, so it also
// gets those that the kernel would not deliver to the first process of a pid namespace without a handler.
//
//go:norace
//go:nosplit
func reap(h *header) {
	for {
		sig, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&h.signals)),
			uintptr(unsafe.Pointer(&h.info)), 0, sigsetSize, 0, 0)
		if errno != 0 {
			if errno != unix.EINTR {
				exit(1) // the filter forbids it
			}
			continue
		}
		if sig == uintptr(unix.SIGCHLD) {
			reapEnded(h)
		} else {
			unix.RawSyscall(unix.SYS_KILL, uintptr(h.payload), sig, 0) // it may have ended
		}
	}
}

// reapEnded waits for the processes that have ended, and exits with the payload's code if it is among them.
//
//go:norace
//go:nosplit
func reapEnded(h *header) {
	for {
		pid, _, errno := unix.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&h.status)),
			unix.WNOHANG, 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 || pid == 0 {
			return
		}
		if int32(pid) != h.payload {
			continue
		}
		if signal := h.status & 0x7f; signal != 0 {
			exit(uintptr(128 + signal))
		}
		exit(uintptr(h.status >> 8 & 0xff))
	}
}
