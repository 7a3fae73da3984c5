package runtime

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onThread makes a system call that changes the calling thread alone, where the standard library would change all.
func onThread(call, a, b, c uintptr) error {
	if _, _, errno := unix.RawSyscall(call, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

// setgroupsOnThread sets the supplementary groups of the calling thread.
func setgroupsOnThread(groups []uint32) error {
	first := unsafe.Pointer(unsafe.SliceData(groups))
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); errno != 0 {
		return errno
	}
	return nil
}

// sigaction is the kernel's struct sigaction as far as it is needed here; its order differs among machines, but the
// handler is always first.
type sigaction struct {
	handler uintptr
	rest    [5]uintptr
}

const (
	sigDefault = 0 // SIG_DFL
	sigIgnore  = 1 // SIG_IGN
	setMask    = 2 // SIG_SETMASK
	sigsetSize = 8
	lastSignal = 64
)

// resetSignals gives the payload what a program expects: no signal ignored, none blocked. Handlers need no reset;
// execve does it.
func resetSignals() error {
	for sig := uintptr(1); sig <= lastSignal; sig++ {
		if sig == uintptr(unix.SIGKILL) || sig == uintptr(unix.SIGSTOP) {
			continue
		}
		var old sigaction
		if err := sigactionOf(sig, nil, &old); err != nil {
			return err
		}
		if old.handler != sigIgnore {
			continue
		}
		if err := sigactionOf(sig, &sigaction{handler: sigDefault}, nil); err != nil {
			return err
		}
	}
	var none uint64
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&none)), 0, sigsetSize, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func sigactionOf(sig uintptr, set, old *sigaction) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), sigsetSize, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// capsetAllThreads sets the capabilities of all threads of the process.
func capsetAllThreads(header *unix.CapUserHeader, data *[2]unix.CapUserData) error {
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(data)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
