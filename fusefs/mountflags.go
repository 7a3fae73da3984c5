package fusefs

import (
	"errors"
	"os"
	"strings"
	"sync"

	"github.com/rcrun/rcrun/unionmount"
	"golang.org/x/sys/unix"
)

const mountInfo = "/proc/self/mountinfo"

// mountFlags follows the flags of the mount that is served, because the server sets access times by them, and the
// kernel does not tell it the flags. The kernel says when the mounts of a namespace have changed, and reading the
// list of mounts sends no request to any server.
type mountFlags struct {
	target string
	apply  func(unionmount.AccessTimes)

	mu     sync.Mutex // guards what follows
	device string     // of the mount, as mountinfo has it
	flags  string     // seen last
}

// followFlags follows the flags of the mount at target, until stop is called. It does nothing where there is none.
func followFlags(target string, apply func(unionmount.AccessTimes)) (f *mountFlags, stop func(), err error) {
	f = &mountFlags{target: target, apply: apply}
	mounts, err := unix.Open(mountInfo, unix.O_RDONLY|unix.O_CLOEXEC, 0) // the poller of os.Open would wait for it, too
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: mountInfo, Err: err}
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("pipe", err), unix.Close(mounts))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.follow(mounts, ends[0])
	}()
	return f, func() {
		unix.Close(ends[1])
		<-done
		unix.Close(ends[0])
		unix.Close(mounts)
	}, nil
}

// follow looks again whenever there are other mounts, until the other end of stop is closed.
func (f *mountFlags) follow(mounts, stop int) {
	for f.look(); ; f.look() {
		fds := []unix.PollFd{{Fd: int32(mounts), Events: unix.POLLPRI}, {Fd: int32(stop)}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR || fds[1].Revents != 0 {
			return
		}
	}
}

// look reads the flags.
func (f *mountFlags) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := os.ReadFile(mountInfo)
	if err != nil {
		return // and the flags stay as they are
	}
	device, flags, ok := findMount(string(text), f.target, f.device)
	if !ok || flags == f.flags {
		return
	}
	if f.flags != "" { // at first the options of the mount hold, because fusermount does not pass on all of them
		f.apply(accessTimesOf(flags))
	}
	f.device, f.flags = device, flags
}

// findMount finds in the text of mountinfo the last mount at a path, of a device if that is known.
func findMount(text, target, device string) (on, flags string, ok bool) {
	escape := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`)
	target = escape.Replace(target)
	for line := range strings.Lines(text) {
		// id, parent, device, root, mount point, flags, ...
		fields := strings.Fields(line)
		if len(fields) > 5 && fields[4] == target && (device == "" || fields[2] == device) {
			on, flags, ok = fields[2], fields[5], true
		}
	}
	return on, flags, ok
}

// accessTimesOf reads the flags of a mount that are about access times. Without noatime and relatime they are strict.
func accessTimesOf(flags string) (a unionmount.AccessTimes) {
	strict := unionmount.StrictAtime
	for flag := range strings.SplitSeq(flags, ",") {
		switch flag {
		case "noatime":
			a |= unionmount.NoAtime
			strict = 0
		case "relatime":
			strict = 0
		case "nodiratime":
			a |= unionmount.NoDirAtime
		}
	}
	return a | strict
}

// AccessTimesOf returns what flags of mount(2) say about access times.
func AccessTimesOf(flags uintptr) (a unionmount.AccessTimes) {
	switch {
	case flags&unix.MS_STRICTATIME != 0:
		a = unionmount.StrictAtime
	case flags&unix.MS_NOATIME != 0:
		a = unionmount.NoAtime
	}
	if flags&unix.MS_NODIRATIME != 0 {
		a |= unionmount.NoDirAtime
	}
	return a
}
