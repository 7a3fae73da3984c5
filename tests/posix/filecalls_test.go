package posix

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fileCalls are calls of open files, and what else does not change a tree of names.
var fileCalls = map[string]call{
	"utimens": plain(5, utimens), "clocks": {1, clocks}, "statfs": {1, statfs}, "procfd": {1, procFD},
	"exec": {1, execute}, "handle": {1, handle},
	"fappend":   onFD(2, func(fd int, a []string) error { _, err := unix.Write(fd, []byte(a[1])); return err }),
	"fgetxattr": onFD(2, func(fd int, a []string) error { _, err := unix.Fgetxattr(fd, a[1], nil); return err }),
	"syncfs":    onFD(1, func(fd int, _ []string) error { return unix.Syncfs(fd) }),
	"flock":     onFD(2, func(fd int, a []string) error { return unix.Flock(fd, flags(a[1])) }),
	"ofdlock":   onFD(4, func(fd int, a []string) error { return lockRange(fd, unix.F_OFD_SETLK, a) }),
	"lock":      onFD(4, func(fd int, a []string) error { return lockRange(fd, unix.F_SETLK, a) }),

	"mmap": {4, mapFile}, "munmap": {1, unmapFile}, "mread": {3, readMapped}, "mwrite": {3, writeMapped},
	"sendfile": {3, sendFile}, "splice": {3, spliceFile}, "vmsplice": {2, vmsplice},
	"clone": {2, func(p *process, a []string) (string, error) {
		return "",
			unix.IoctlFileClone(p.fd(a[1]), p.fd(a[0]))
	}},
	"getflags": {1, getFlags},
	"setflags": onFD(2, func(fd int, a []string) error {
		return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS,
			number(a[1]))
	}),
}

// utimens sets both times to seconds and nanoseconds.
func utimens(a []string) error {
	var times [2]unix.Timespec
	for i := range times {
		times[i] = unix.Timespec{Sec: int64(number(a[1+2*i])), Nsec: int64(number(a[2+2*i]))}
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, a[0], times[:], unix.AT_SYMLINK_NOFOLLOW)
}

// clocks shows times that a script has set; of others, that they are those of this run.
func clocks(_ *process, a []string) (string, error) {
	var st unix.Stat_t
	err := unix.Lstat(a[0], &st)
	return clock(st.Atim) + " " + clock(st.Mtim), err
}

func clock(t unix.Timespec) string {
	if since := time.Since(time.Unix(t.Unix())); since > -time.Hour && since < time.Hour {
		return "now"
	}
	return fmt.Sprintf("%d.%09d", t.Sec, t.Nsec)
}

func statfs(_ *process, a []string) (string, error) {
	var st unix.Statfs_t
	err := unix.Statfs(a[0], &st)
	return fmt.Sprintf("names=%d blocks=%d files=%d size=%d fragment=%d", st.Namelen, st.Blocks, st.Files, st.Bsize,
		st.Frsize), err
}

// procFD shows by which path the kernel knows an open file, from the root of the filesystem on.
func procFD(p *process, a []string) (string, error) {
	path, err := readlink(p, []string{fmt.Sprintf("/proc/self/fd/%d", p.fd(a[0]))})
	return strings.TrimPrefix(path, p.fs.root), err
}

// execute runs a program and tells how it ended, or why it did not start.
func execute(_ *process, a []string) (string, error) {
	cmd := exec.Command("./" + a[0])
	cmd.Env = []string{}
	err := cmd.Run()
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return "", errno
	}
	return fmt.Sprint(cmd.ProcessState), nil
}

// handle takes the handle of a file and tells its length and type apart from none at all.
func handle(_ *process, a []string) (string, error) {
	_, _, err := unix.NameToHandleAt(unix.AT_FDCWD, a[0], 0)
	return "", err
}

// lockRange locks a range of bytes, without waiting: FD TYPE START LENGTH.
func lockRange(fd, how int, a []string) error {
	types := map[string]int16{"shared": unix.F_RDLCK, "exclusive": unix.F_WRLCK, "unlock": unix.F_UNLCK}
	return unix.FcntlFlock(uintptr(fd), how, &unix.Flock_t{Type: types[a[1]], Start: int64(number(a[2])),
		Len: int64(number(a[3]))})
}

// mapFile maps the first bytes of a file: MAP FD LENGTH r|w|private.
func mapFile(p *process, a []string) (string, error) {
	prot, how := unix.PROT_READ, unix.MAP_SHARED
	if a[3] != "r" {
		prot |= unix.PROT_WRITE
	}
	if a[3] == "private" {
		how = unix.MAP_PRIVATE
	}
	memory, err := unix.Mmap(p.fd(a[1]), 0, number(a[2]), prot, how)
	if err == nil {
		p.maps[a[0]] = memory
	}
	return "", err
}

func unmapFile(p *process, a []string) (string, error) {
	memory := p.maps[a[0]]
	delete(p.maps, a[0])
	return "", unix.Munmap(memory)
}

func readMapped(p *process, a []string) (string, error) {
	from := p.maps[a[0]][number(a[1]):]
	return fmt.Sprintf("%q", bytes.TrimRight(from[:number(a[2])], "\x00")), nil
}

func writeMapped(p *process, a []string) (string, error) {
	copy(p.maps[a[0]][number(a[1]):], a[2])
	return "", nil
}

// sendFile copies the first bytes of a file to where another one is: FROM TO LENGTH.
func sendFile(p *process, a []string) (string, error) {
	var from int64
	n, err := unix.Sendfile(p.fd(a[1]), p.fd(a[0]), &from, number(a[2]))
	return fmt.Sprint(n), err
}

// withPipe calls do with the ends of a pipe.
func withPipe(do func(out, in int) error) error {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	return do(ends[0], ends[1])
}

// spliceFile is sendFile through a pipe.
func spliceFile(p *process, a []string) (string, error) {
	var n int64
	err := withPipe(func(out, in int) error {
		var from, to int64
		got, err := unix.Splice(p.fd(a[0]), &from, in, nil, number(a[2]), 0)
		if err != nil {
			return err
		}
		n, err = unix.Splice(out, nil, p.fd(a[1]), &to, int(got), 0)
		return err
	})
	return fmt.Sprint(n), err
}

// vmsplice writes memory to a file through a pipe: FD DATA.
func vmsplice(p *process, a []string) (string, error) {
	var n int64
	err := withPipe(func(out, in int) error {
		data := []byte(a[1])
		part := unix.Iovec{Base: &data[0]}
		part.SetLen(len(data))
		if _, err := unix.Vmsplice(in, []unix.Iovec{part}, 0); err != nil {
			return err
		}
		var err error
		n, err = unix.Splice(out, nil, p.fd(a[0]), nil, len(data), 0)
		return err
	})
	return fmt.Sprint(n), err
}

// shownFlags are those of chattr(1) that cases set: s, i, a, d and A.
const shownFlags = 0x8 | 0x10 | 0x20 | 0x40 | 0x80

func getFlags(p *process, a []string) (string, error) {
	value, err := unix.IoctlGetUint32(p.fd(a[0]), unix.FS_IOC_GETFLAGS)
	return fmt.Sprintf("%#x", value&shownFlags), err
}
