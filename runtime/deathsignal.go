package runtime

import "golang.org/x/sys/unix"

// tie appends the call that has the kernel kill the process when the thread that made it ends. A change of credentials
// takes the request back, so tie must follow each of them.
func (p *program) tie() {
	p.add("tie the process to its parent", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
}

// dieWithParent ties the process to the thread that made it. It fails if the process of that thread, of which parent is
// a pidfd, has already ended.
func (p *program) dieWithParent(parent int) {
	p.tie()
	poll := object(p, []unix.PollFd{{Fd: int32(parent), Events: unix.POLLIN}})
	now := object(p, []unix.Timespec{{}})
	p.add("find its parent", unix.SYS_PPOLL, poll, 1, now, 0, 0).mustReturn(0)
}
