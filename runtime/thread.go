package runtime

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's struct sigaction as far as it is needed here. The order of its fields differs among
// machines, but the handler is always first.
type sigaction struct {
	handler uintptr
	_       [5]uintptr
}

const (
	sigDefault = 0 // SIG_DFL
	setMask    = 2 // SIG_SETMASK
	sigsetSize = 8
	lastSignal = 64
)

// resetSignals appends the calls that give every signal its default action. Signals stay blocked until unblockSignals.
func (p *program) resetSignals() {
	action := object(p, []sigaction{{handler: sigDefault}})
	for sig := uintptr(1); sig <= lastSignal; sig++ {
		if sig != uintptr(unix.SIGKILL) && sig != uintptr(unix.SIGSTOP) {
			p.add("reset signals", unix.SYS_RT_SIGACTION, sig, action, 0, sigsetSize)
		}
	}
}

func (p *program) unblockSignals() {
	p.add("unblock signals", unix.SYS_RT_SIGPROCMASK, setMask, object(p, []uint64{0}), 0, sigsetSize)
}

// setMaskOf changes the signals that the calling thread blocks.
func setMaskOf(set, old *uint64) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(set)),
		uintptr(unsafe.Pointer(old)), sigsetSize, 0, 0)
	return errno
}

// hide appends the call that keeps the container from inspecting and changing the process: ptrace(2) and the files in
// /proc/PID then require CAP_SYS_PTRACE in the user namespace that owns the memory of the process, which is the
// sandbox's.
func (p *program) hide() {
	p.add("hide from the container", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
}

// joinKeyring appends the call that replaces the caller's session keyring, with the caller's keys, by an empty one. A
// host may have no keyrings (ENOSYS), or forbid them by a filter that also holds for the payload (EPERM). A user may
// have too many keyrings (EDQUOT): then the payload may keep the caller's only if its own filter forbids it to use any.
func (p *program) joinKeyring(filter seccompFilter) {
	c := p.add("join a new session keyring", unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0).
		tolerate(unix.ENOSYS, unix.EPERM)
	if filter.KeysHeld {
		c.tolerated[2] = unix.EDQUOT
	}
}
